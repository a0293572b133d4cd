"""Every error says what to do, and what it says can be done.

`python tests/support/error_sites.py` prints the list that is walked here.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from support.error_sites import OWN_HINT, Site, classes, plain_raises, sites

from planner.cli.main import cli, run

INTERNAL = {
    "planner/planning/engines/rules.py",
    "planner/planning/engines/mixes.py",  # data that ship
    "planner/planning/engines/layouts.py",
    "planner/planning/engines/pool_rules.py",
    "planner/planning/engines/expert_backends.py",
    "planner/planning/engines/model_classes.py",
    "planner/memory/engines/versions.py",
    "planner/planning/engines/speculation.py",
    "planner/planning/engines/offloads.py",
    "planner/throughput/acceptance.py",
    "planner/throughput/engine_kernels.py",
    "planner/base/files.py",  # an installation without its data
    "planner/planning/question/input.py",
    "planner/models/through_transformers/worker.py",
    "planner/planning/price/price.py",
    "planner/planning/solver/highs.py",
    "planner/base/records.py",
    "planner/lab/validation/memory_rows.py",
    "planner/plot/draw.py",
    "planner/planning/engines/checkpoints.py",
    "planner/planning/engines/writers.py",
    "planner/cli/main.py",
    "planner/formats/schemes.py",
    "planner/planning/practice/recipes.py",
    "planner/lab/measuring/timing.py",
    "planner/lab/measuring/rows.py",
    "planner/messages/stored.py",  # pydantic tells them
    "planner/requests/traces.py",  # told with the number of the line
}
"""Files whose plain exceptions are about this program, or are caught before a user sees them."""
ELSEWHERE = {"--tensor-type"}
"""Flags of other programs."""
COMMAND = re.compile(r"`plan ([^`]+)`|(?:^|[:;] )plan ((?:[a-z]+ )+--?[^,;]+)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
WORDS = {"again"}


def said(kind: Callable[[Site], bool]) -> list[Site]:
    return [site for site in sites() if kind(site)]


def test_the_walk_finds_the_errors() -> None:
    assert len(sites()) > 600
    assert {"DataError", "ReadError", "LostWorkerError", "Hinted"} <= classes()
    assert "ValueError" not in classes()
    assert all(re.search("Error$|Hinted$", name) for name in classes()), "files are found by them"


def test_every_error_has_a_hint() -> None:
    assert [
        site.place
        for site in said(lambda s: s.kind not in OWN_HINT)
        if site.hint in (None, "''", "None")
    ] == []


def test_hints_differ() -> None:
    """No text stands for all of them: each is about its own error."""
    hinted = said(lambda s: s.kind not in OWN_HINT)
    counted = Counter(site.hint for site in hinted)
    assert len(counted) > 0.6 * len(hinted)
    assert counted.most_common(1)[0][1] < 0.05 * len(hinted)


def test_a_hint_is_not_its_message() -> None:
    assert [
        site.place for site in sites() if site.hint is not None and site.hint == site.message
    ] == []


def test_plain_exceptions_are_about_the_program() -> None:
    assert {file for file, _ in plain_raises()} - INTERNAL == set()


def flags_of(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts} | {"--help"}


EVERY_FLAG = set().union(*(flags_of(command) for command in cli.commands.values()))


def test_what_hints_name_is_there() -> None:
    """Flags are flags of a command, and of that command where the hint names one."""
    texts = {re.sub(r"\{\}", "X", text) for site in sites() for text in site.texts}
    assert len(texts) > 600
    assert {text: wrong for text in texts if (wrong := absent(text))} == {}


def absent(text: str) -> list[str]:
    """Flags and commands of ``text`` that are none, or none of that command."""
    wrong = [
        flag
        for flag in FLAG.findall(text)
        if flag + "-" not in text
        and flag + "-X" not in text
        and flag not in EVERY_FLAG | ELSEWHERE | {"--cluster"}
    ]
    for match in COMMAND.finditer(text):
        words = (match[1] or match[2]).split()
        if words[0] in ("list", "lab") and words[1:]:
            words = words[1:]  # a group's commands are the program's
        name = words[0] if words[0] in cli.commands else "plan"
        if (
            words[0] not in cli.commands
            and not words[0].startswith(("-", "…"))
            and words[0] not in WORDS
        ):
            wrong.append(words[0])
        wrong += set(FLAG.findall(" ".join(words))) - flags_of(cli.commands[name])
    return wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("pass --no-such-flag", ["--no-such-flag"]),
        ("pass --devices 2", []),
        ("see `plan nothing`", ["nothing"]),
        ("run `plan devices --with-mtp`", ["--with-mtp"]),
        ("run `plan list devices --with-mtp`", ["--with-mtp"]),
        ("run `plan lab nothing`", ["nothing"]),
    ],
)
def test_what_is_absent_is_found(text: str, wrong: list[str]) -> None:
    assert absent(text) == wrong


OK = ["smollm2-135m", "l40s", "--devices", "1"]
SMALL = ["--quiet", "--batch", "1", "--context", "512"]


def exchanged(word: str) -> Callable[[list[str], str], list[str]]:
    """The command with ``word`` replaced by the first name that the hint offers."""

    def follow(arguments: list[str], hint: str) -> list[str]:
        found = re.search(r"(?:did you mean |valid names: |one of )`?([^,?`… ]+)", hint)
        assert found, hint
        return [found[1] if a == word else a for a in arguments]

    return follow


def named(arguments: list[str], hint: str) -> list[str]:
    """The command that the hint spells out."""
    found = re.search(r"(?:`|: |^)plan ([^`]+)`?$", hint)
    assert found, hint
    return shlex.split(found[1])


def backticked(arguments: list[str], hint: str) -> list[str]:
    """The command between backticks."""
    found = re.search(r"`plan ([^`]+)`", hint)
    assert found, hint
    return shlex.split(found[1])


def with_flag(arguments: list[str], hint: str) -> list[str]:
    """The command with the flag and value that the hint gives, in place of the one given."""
    found = re.search(r"(--[a-z-]+)(?: ([\w.,+%>=-]+))?", hint)
    assert found, hint
    kept, skip = [], False
    for word in arguments:
        if skip:
            skip = False
        elif word == found[1] and found[2]:
            skip = True
        else:
            kept.append(word)
    return [*kept, found[1], *([found[2]] if found[2] else [])]


def without_flag(arguments: list[str], hint: str) -> list[str]:
    """The command without the flag that the hint says to leave out."""
    found = re.search(r"leave (?:out )?(--[a-z-]+)", hint)
    assert found, hint
    at = arguments.index(found[1])
    takes = not arguments[at + 1 : at + 2] or not arguments[at + 1].startswith("-")
    return arguments[:at] + arguments[at + 1 + takes :]


FOLLOWED: list[tuple[list[str], Callable[[list[str], str], list[str]]]] = [
    (["smollm2-135", "l40s", *SMALL], exchanged("smollm2-135")),
    (["smollm2-135m", "l40", *SMALL], exchanged("l40")),
    ([*OK, *SMALL, "--schemes", "fp8-blok"], exchanged("fp8-blok")),
    ([*OK, *SMALL, "--kv", "fp9"], exchanged("fp9")),
    ([*OK, *SMALL, "--objective", "latncy"], exchanged("latncy")),
    ([*OK, *SMALL, "--max-loss", "bf17"], exchanged("bf17")),
    ([*OK, *SMALL, "--engine", "vlm"], exchanged("vlm")),
    ([*OK, *SMALL, "--contxt", "600"], exchanged("--contxt")),
    (["estimat", *OK, *SMALL], exchanged("estimat")),
    (["modls"], exchanged("modls")),
    (["Formats"], exchanged("Formats")),
    (["help"], backticked),
    (["version"], backticked),
    (["l40s", "smollm2-135m", "--devices", "1", *SMALL], named),
    (["estimate", "l40s", "smollm2-135m", "--devices", "1", *SMALL], named),
    (["memory", "l40s", "smollm2-135m", "--quiet"], named),
    (["serve", "l40s", "smollm2-135m", "--quiet"], named),
    (["explain", "l40s", "smollm2-135m", "--module", "mlp-down", "--quiet"], named),
    (["frontier", "l40s", "smollm2-135m", "--devices", "1", "--points", "2", "--quiet"], named),
    (["experts", "l40s", "olmoe-1b-7b", "--quiet"], named),
    (["train", "l40s", "smollm2-135m", "--quiet"], named),
    (["inventory", "l40s"], backticked),
    (["devices", "smollm2-135m"], backticked),
    (["inventory", "smollm2-135m", "--expand"], with_flag),
    ([*OK, *SMALL, "--schemes", ","], with_flag),
    ([*OK, *SMALL, "--drop-policies", ","], with_flag),
    ([*OK, "--quiet", "--batch", "x"], with_flag),
    (
        ["numerics", "smollm2-135m"],
        lambda words, hint: [*named(words, hint), "--schemes", "int8-w8a8", "--units", "int8-imma"],
    ),
    (["models", "surplus"], backticked),
    (["inventory"], backticked),
    (["claims", "--only", "zzz"], exchanged("zzz")),
    (["sensitivity", "smollm2-135m", "--names", "ggu"], exchanged("ggu")),
    (["sensitivity", "smollm2-135m", "--exclude", ","], with_flag),
    (["memory", "smollm2-135m", "l40s", "--quiet", "--max-num-seqs", "8"], with_flag),
    (["memory", "smollm2-135m", "l40s", "--quiet", "--with-mtp"], without_flag),
    (
        ["serve", "smollm2-135m", "l40s", "--quiet", "--draft-tokens", "2", "--draft-layers", "1"],
        lambda words, hint: [*with_flag(words, hint), "0.6"],
    ),
]


@pytest.mark.sample(14)
@pytest.mark.parametrize(
    ("arguments", "follow"), FOLLOWED, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_a_hint_can_be_followed(
    arguments: list[str],
    follow: Callable[[list[str], str], list[str]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    error, hint = capfd.readouterr().err.splitlines()
    assert error.startswith("error: ")
    mended = follow(arguments, hint.removeprefix("hint: "))
    assert mended != arguments
    code = run(mended)
    out, err = capfd.readouterr()
    assert code == 0, (hint, mended, err)
    assert out
