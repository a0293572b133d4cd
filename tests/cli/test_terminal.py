"""Narrow terminals, the first words, examples, and signs of life on a terminal only."""

import io
import os
import pty
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from planner.cli import progress
from planner.cli.groups import HIDDEN
from planner.cli.main import cli, run
from planner.cli.overview import EXAMPLES, FIRST, SECTIONS
from planner.cli.progress import bar, working
from planner.report.columns import table_lines

COMMANDS = [
    ["smollm2-135m", "l40s", "--devices", "1", "--batch", "8"],
    ["models"],
    ["devices"],
    ["devices", "l40s"],
    ["formats"],
    ["formats", "--device", "l40s"],
    ["scenarios"],
    ["inventory", "llama-3.2-1b"],
    ["memory", "llama-3.2-1b", "l40s", "--engine", "vllm"],
    ["train", "llama-3.2-1b", "l40s"],
    ["experts", "qwen3-30b-a3b", "l40s", "--batch", "32"],
    ["explain", "llama-3.2-1b", "l40s", "--module", "mlp-down"],
    [
        "explain",
        "qwen2.5-0.5b",
        "jetson-orin-nano-8gb",
        "--devices",
        "1",
        "--tpot-ms",
        "60",
        "--batch",
        "8",
        "--schemes",
        "bf16,int8-w8a8",
        "--solves",
        "2",
    ],
    [
        "frontier",
        "qwen2.5-0.5b",
        "jetson-orin-nano-8gb",
        "--devices",
        "1",
        "--points",
        "4",
        "--map",
    ],
    ["serve", "llama-3.2-1b", "l40s", "--concurrency", "16", "--devices", "1"],
    ["validate", "--only", "op_gemm"],
    ["claims", "--only", "3,23"],
    ["--help"],
]


@pytest.mark.sample(8)
@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nothing_breaks_on_a_narrow_terminal(
    arguments: list[str],
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Lines fit; a single word that is too long (an address, a path) stands alone on its line."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(arguments) == 0
    out, err = capfd.readouterr()
    for line in [*out.splitlines(), *err.splitlines()]:
        assert len(line) <= width or len(line.split()) == 1, line
        assert line == line.rstrip()
        assert not line.rstrip().endswith("…") or "more" in line, line


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_sweep_fits_a_narrow_terminal(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'title = "Two devices and two schemes"\n[[grid]]\nverb = "estimate"\n'
        'model = "smollm2-135m"\ndevice = ["l40s", "jetson-orin-nano-8gb"]\n'
        'devices = 1\nbatch = 1\nscheme = ["bf16", "int8-w8a8"]\n',
        encoding="utf-8",
    )
    test_nothing_breaks_on_a_narrow_terminal(["sweep", str(file)], width, monkeypatch, capfd)


def test_figures_are_the_same_at_every_width(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A narrow listing has every figure of the wide one, none cut short."""
    found = []
    for width in ("120", "40"):
        monkeypatch.setenv("COLUMNS", width)
        assert run(["devices"]) == 0
        words = capfd.readouterr().out.split("GiB: what")[0].replace(",\n", "\n").split()
        found.append({w.strip(",") for w in words} - {"-"})
    assert found[0] - {"device"} == found[1]  # the heading of the names


def test_a_table_that_does_not_fit_becomes_paragraphs() -> None:
    rows = [("name", "size", "note"), ("first", "12", "short"), ("second", "-", "a longer remark")]
    assert table_lines(rows, left=(0, 2), width=30) == [
        "name   size note",
        "first    12 short",
        "second    - a longer remark",
    ]
    assert table_lines(rows, left=(0, 2), width=20) == [
        "first",
        "  size 12, note",
        "  short",
        "second",
        "  note a longer",
        "  remark",
    ]


def test_a_column_of_dashes_is_left_out() -> None:
    rows = [("name", "a", "b"), ("x", "-", "1"), ("y", "-", "2")]
    assert table_lines(rows, width=80) == ["name b", "x    1", "y    2"]


def test_plan_alone_shows_three_examples(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    out, err = capfd.readouterr()
    lines = [line.strip() for line in out.splitlines() if line.startswith("  plan ")]
    assert lines == [command for command, _ in FIRST]
    assert len(lines) == 3
    assert "plan --help" in out
    assert err == ""


def test_every_command_has_its_line_and_an_example() -> None:
    named = {name for _, rows in SECTIONS for name in rows}
    assert named | HIDDEN == set(cli.commands)
    assert not named & HIDDEN
    assert set(EXAMPLES) <= named | HIDDEN
    with click.Context(cli, info_name="plan", **cli.context_settings) as context:
        page = cli.get_help(context)
    for name in cli.commands:
        assert (f"\n  {name} " in page) is (name in named), name


@pytest.mark.parametrize(
    "line", [*(c for c, _ in FIRST), *(line for rows in EXAMPLES.values() for line in rows)]
)
def test_an_example_is_understood(line: str) -> None:
    """Its command exists and takes these arguments; nothing is run."""
    words = shlex.split(line.replace('eval "$(', "").replace(')"', ""))
    assert words[0] == "plan"
    with click.Context(cli, info_name="plan", **cli.context_settings) as context:
        name = words[1] if words[1] in cli.commands else "plan"
        rest = words[2:] if words[1] in cli.commands else words[1:]
        with cli.commands[name].make_context(name, rest, parent=context) as made:
            assert made.command is cli.commands[name]


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_spinner_for_long_work_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with working("counting", after_seconds=3600):
        pass
    assert shown.getvalue() == ""
    with working("counting", after_seconds=0.05):
        for _ in range(360_000):  # an hour at most
            if "counting" in shown.getvalue():
                break
            time.sleep(0.01)
    assert "counting" in shown.getvalue()


def test_no_spinner_where_quiet_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_Spinner", lambda what: pytest.fail(f"a spinner for {what}"))
    with working("counting", quiet=True, after_seconds=0):
        pass
    with (
        pytest.raises(pytest.fail.Exception, match="a spinner for counting"),
        working("counting", after_seconds=3600),
    ):
        pass


def test_numerics_gives_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    @contextmanager
    def noted(what: str) -> Iterator[None]:
        told.append(what)
        yield

    monkeypatch.setattr("planner.cli.numerics.working", noted)
    assert (
        run(
            [
                "numerics",
                "qwen2.5-0.5b",
                "--module",
                "attention-out",
                "--schemes",
                "int8-w8a8",
                "--units",
                "int8-imma",
            ]
        )
        == 0
    )
    assert told == ["adding up as every matrix unit does"]


def test_a_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stream, seen in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with bar("matrices") as tell:
            tell(3, 10, "mlp-down of layer 3")
        assert ("mlp-down of layer 3" in stream.getvalue()) is seen


def on_a_terminal(*arguments: str, **environment: str) -> bytes:
    """What a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "planner", *arguments],
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        close_fds=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment},
    ) as p:
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            found += part
        assert p.wait() == 0
    os.close(ours)
    return found


@pytest.mark.exhaustive
def test_colour_on_a_terminal_and_none_where_it_is_not_wanted() -> None:
    assert b"\x1b[1m" in on_a_terminal("devices")
    assert b"\x1b" not in on_a_terminal("devices", NO_COLOR="1")
