"""Standard output and error that are closed, full, read no longer, or of few letters."""

import errno
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from planner.cli.streams import PLAIN

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["qwen2.5-0.5b", "h100-sxm", "--devices", "1", "--batch", "8"]
LONG = [*SMALL, "--json", "--quiet"]
FRONTIER = ["frontier", "smollm2-135m", "l40s", "--devices", "1", "--points", "3", "--quiet"]
COMMANDS = [
    [*SMALL, "--quiet"],
    LONG,
    ["models"],
    ["models", "--json"],
    ["--help"],
    ["--version"],
    FRONTIER,
    ["schema"],
    ["memory", "llama-3.1-8b", "h100-sxm", "--quiet"],
]


def environment(**changes: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return {**inherited, "PYTHONPATH": str(ROOT), **changes}


def start(arguments: list[str], **streams: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "planner", *arguments],
        env=environment(),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash; ``plan`` is the command, and the exit codes of the pipe are the last line."""
    script = f'plan() {{ "{sys.executable}" -m planner "$@"; }}\n{line}\necho "${{PIPESTATUS[@]}}"'
    return subprocess.run(
        ["bash", "-c", script], env=environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "line",
    [
        "plan models | head -1",
        "plan deepseek-v3 h100-sxm --context 131072 --quiet | head -1",
        f"plan {' '.join(FRONTIER)} | head -1",
    ],
)
def test_head_takes_one_line(line: str) -> None:
    done = shell(line)
    first, codes = done.stdout.splitlines()
    assert first
    assert codes == "0 0"
    assert done.stderr == ""


@pytest.mark.exhaustive
def test_head_takes_ten_bytes_of_json() -> None:
    done = shell(f"plan {' '.join(LONG)} | head -c 10")
    assert done.stdout == '{\n  "schem0 0\n'
    assert done.stderr == ""


@pytest.mark.sample(2)
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nobody_reads_from_the_start(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = start(arguments, stdout=writer)
    os.close(writer)
    _, said = child.communicate()
    assert (child.returncode, said) == (0, b"")


@pytest.mark.exhaustive
def test_what_is_written_does_not_end_with_its_reader(tmp_path: Path) -> None:
    """A file that was asked for is there, whoever reads the answer."""
    page = tmp_path / "page.html"
    reader, writer = os.pipe()
    os.close(reader)
    child = start([*SMALL, "--report", str(page), "--quiet"], stdout=writer)
    os.close(writer)
    assert child.communicate()[1] == b""
    assert child.returncode == 0
    assert "</html>" in page.read_text(encoding="utf-8")


@pytest.mark.exhaustive
def test_nobody_reads_the_errors() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for arguments, code in (
        (["no-such-model", "h100-sxm"], 2),
        (["models"], 0),
        (SMALL, 0),
        ([*SMALL, "--engine", "vllm", "--tpot-ms", "0.01"], 1),
    ):
        child = start(arguments, stderr=writer)
        child.communicate()
        assert child.returncode == code, arguments
    os.close(writer)


@pytest.mark.sample(1)
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_were_never_open(closed: str) -> None:
    for command, code in ((" ".join(SMALL), "0"), ("models", "0"), ("no-such-model h100-sxm", "2")):
        done = shell(
            f"plan {command} --quiet {closed}" if command != "models" else f"plan models {closed}"
        )
        assert done.stdout.splitlines()[-1] == code, command
        assert "Traceback" not in done.stderr


@pytest.mark.sample(1)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", COMMANDS[:5], ids=" ".join)
def test_a_full_disk_is_an_error(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        child = start(arguments, stdout=full)
        said = child.communicate()[1].decode().splitlines()
    assert child.returncode == 2
    assert said == [
        f"error: standard output: {os.strerror(errno.ENOSPC)}",
        "hint: make room there, or send the output to another file",
    ]


ENCODED = (
    tuple(SMALL),
    ("devices", "h100-sxm"),
    ("serve", "llama-3.1-8b", "h100-sxm", "--devices", "1"),
    tuple(LONG),
)


@cache
def encoded(arguments: tuple[str, ...], name: str) -> tuple[int, bytes, bytes]:
    """(exit code, output, errors) of a command whose streams have an encoding."""
    done = subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        capture_output=True,
        env=environment(PYTHONIOENCODING=name),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("arguments", "encoding"),
    [
        *((arguments, "latin-1") for arguments in ENCODED[:3]),
        (ENCODED[0], "cp437"),
        (ENCODED[0], "koi8-r"),
        *(
            pytest.param(arguments, name, marks=pytest.mark.exhaustive)
            for arguments in ENCODED[1:3]
            for name in ("cp437", "koi8-r")
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else " ".join(v),
)
def test_every_encoding_can_show_an_answer(arguments: tuple[str, ...], encoding: str) -> None:
    (code, *own), (whole_code, *whole) = encoded(arguments, encoding), encoded(arguments, "utf-8")
    assert (code, whole_code) == (0, 0), own
    for shown, wanted in zip(own, whole, strict=True):
        text, expected = shown.decode(encoding), wanted.decode()
        assert "\\x" not in text
        for sign in sorted(set(expected)):
            try:
                sign.encode(encoding)
            except UnicodeEncodeError:
                assert sign in PLAIN, f"{sign!r} has no plain form"
                expected = expected.replace(sign, PLAIN[sign])
        assert text == expected


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "encoding",
    [
        "latin-1",
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("cp437", "koi8-r")),
    ],
)
def test_json_loses_nothing(encoding: str) -> None:
    found = encoded(ENCODED[3], encoding)[1].decode(encoding)
    assert json.loads(found) == json.loads(encoded(ENCODED[3], "utf-8")[1])
