"""The package names nothing that Linux, macOS or Windows lacks, and says how texts are encoded."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "planner"
MODULES = {
    "fcntl",
    "resource",
    "termios",
    "tty",
    "pty",
    "pwd",
    "grp",
    "syslog",
    "msvcrt",
    "winreg",
    "_winapi",
}
CALLS = {
    "os": {
        "sched_getaffinity",
        "sched_setaffinity",
        "killpg",
        "getpgid",
        "setsid",
        "fork",
        "uname",
        "getuid",
        "geteuid",
        "getloadavg",
        "mkfifo",
        "mknod",
        "posix_fadvise",
        "sysconf",
        "statvfs",
        "pread",
        "preadv",
        "pwrite",
        "startfile",
        "wait4",
    },
    "signal": {
        "SIGKILL",
        "SIGALRM",
        "SIGHUP",
        "SIGUSR1",
        "SIGUSR2",
        "alarm",
        "setitimer",
        "pthread_sigmask",
        "sigwait",
        "CTRL_C_EVENT",
    },
    "select": {"poll", "epoll", "kqueue"},
    "time": {"tzset", "clock_gettime"},
}
ALLOWED = {
    "base/system.py": "asks whether they are there",
    "lab/verifying/runners/run_torch.py": "runs beside an engine, on Linux and macOS",
    "lab/verifying/runners/run_vllm.py": "runs beside vLLM, on Linux",
    "models/through_transformers/worker.py": "takes a limit of memory where there is one",
}


WORDS = "|".join(sorted(MODULES.union(*CALLS.values())))
NAMED = re.compile(rf"\b(?:{WORDS})\b")
OPENS = re.compile(r"\b(?:open|fdopen|read_text|write_text)\b")
CHILD = re.compile(r"\b(?:text|universal_newlines)\b")
"""Words without which a module names, opens or reads none of it: parsing takes most of the time."""


def _named(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What a module names that one system lacks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, one.name) for one in node.names if one.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if node.module in MODULES:
                yield node.lineno, node.module
            yield from (
                (node.lineno, f"{node.module}.{one.name}")
                for one in node.names
                if one.name in CALLS.get(node.module or "", ())
            )
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in CALLS.get(node.value.id, ())
        ):
            yield node.lineno, f"{node.value.id}.{node.attr}"


def test_no_call_that_one_system_lacks() -> None:
    assert _looked()["named"] == []


@pytest.mark.parametrize(
    "text",
    [
        "import fcntl",
        "from resource import getrusage",
        "import os\nos.killpg(1, 9)",
        "from signal import SIGKILL",
        "import signal\nsignal.SIGKILL",
    ],
)
def test_the_test_sees_such_calls(text: str) -> None:
    assert NAMED.search(text)
    assert len(list(_named(ast.parse(text)))) == 1


def test_what_is_allowed_is_there_and_needs_it() -> None:
    for name in ALLOWED:
        text = (PACKAGE / name).read_text(encoding="utf-8")
        assert list(_named(ast.parse(text))), name


def _unencoded(tree: ast.AST) -> Iterator[int]:
    """Lines that open a text without saying how it is encoded: Windows takes another."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr
            if isinstance(node.func, ast.Attribute)
            else node.func.id
            if isinstance(node.func, ast.Name)
            else ""
        )
        given = {word.arg for word in node.keywords}
        owner = (
            node.func.value.id
            if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
            else ""
        )
        if name == "open" and owner not in ("os", "Journal", "webbrowser", "tarfile", "zipfile"):
            first = 0 if isinstance(node.func, ast.Attribute) else 1
            modes = [word.value for word in node.keywords if word.arg == "mode"]
            modes += node.args[first:]
            mode = next(
                (
                    one.value
                    for one in modes
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                ),
                "r",
            )
            if "b" not in mode and "encoding" not in given:
                yield node.lineno
        elif (name == "write_text" and "encoding" not in given) or (
            name == "read_text" and not given and not node.args
        ):
            yield node.lineno


def test_every_text_says_how_it_is_encoded() -> None:
    assert _looked()["unencoded"] == []


def _translated(tree: ast.AST) -> Iterator[int]:
    """Lines that write a text whose lines would end as the system has it: the same file would have
    other bytes on Windows."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr
            if isinstance(node.func, ast.Attribute)
            else node.func.id
            if isinstance(node.func, ast.Name)
            else ""
        )
        texts = [
            one.value
            for one in (*node.args, *(word.value for word in node.keywords if word.arg == "mode"))
            if isinstance(one, ast.Constant)
        ]
        writes = name == "write_text" or (
            name in ("open", "fdopen") and set(texts) & {"w", "a", "x", "wt", "at", "xt"}
        )
        null = any(isinstance(one, ast.Attribute) and one.attr == "devnull" for one in node.args)
        if writes and not null and "newline" not in {word.arg for word in node.keywords}:
            yield node.lineno


def test_every_text_is_written_with_the_same_ends_of_lines() -> None:
    assert _looked()["translated"] == []


@pytest.mark.parametrize(
    "text",
    ["p.write_text(t, encoding='utf-8')", "open(p, 'w', encoding='utf-8')", "p.open(mode='x')"],
)
def test_the_test_sees_lines_that_end_otherwise(text: str) -> None:
    assert OPENS.search(text)
    assert len(list(_translated(ast.parse(text)))) == 1


def _unencoded_child(tree: ast.AST) -> Iterator[int]:
    """Lines that read what a program prints as a text without saying how it is encoded."""
    for node in ast.walk(tree):
        given = {word.arg for word in node.keywords} if isinstance(node, ast.Call) else set()
        if (
            given & {"text", "universal_newlines"}
            and given & {"stdout", "capture_output"}
            and "encoding" not in given
        ):
            assert isinstance(node, ast.Call)
            yield node.lineno


def test_what_programs_print_is_read_in_a_stated_encoding() -> None:
    assert _looked()["child"] == []
    seen = "run(c, capture_output=True, text=True)"
    assert CHILD.search(seen)
    assert len(list(_unencoded_child(ast.parse(seen)))) == 1


@cache
def _looked() -> dict[str, list[str]]:
    """What is found in the package; a file is parsed once, and only where its words are such."""
    found: dict[str, list[str]] = {"named": [], "unencoded": [], "translated": [], "child": []}
    for path in sorted(PACKAGE.rglob("*.py")):
        text, place = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        names = NAMED.search(text) and path.relative_to(PACKAGE).as_posix() not in ALLOWED
        looks = [
            (name, look)
            for name, look, words in (
                ("unencoded", _unencoded, OPENS),
                ("translated", _translated, OPENS),
                ("child", _unencoded_child, CHILD),
            )
            if words.search(text)
        ]
        if not names and not looks:
            continue
        tree = ast.parse(text)
        if names:
            found["named"] += [f"{place}:{line}: {name}" for line, name in _named(tree)]
        for name, look in looks:
            found[name] += [f"{place}:{line}" for line in look(tree)]
    return found


def test_a_machine_without_them_plans() -> None:
    """The modules and calls that Windows lacks are taken away, in a process of its own."""
    program = f"""
import os, select, signal, subprocess, sys
import click, numpy, pydantic, highspy, rich.console  # they bring their own ways
for name in {sorted(MODULES)!r}:
    sys.modules[name] = None
for module, names in {CALLS!r}.items():
    for name in names:
        if hasattr(sys.modules.get(module), name) and name not in ("uname", "sysconf"):
            delattr(sys.modules[module], name)
from planner.cli.main import main
sys.exit(main(["smollm2-135m", "h100-sxm", "--devices", "1", "--batch", "1", "--json"]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    assert '"tokens"' in ran.stdout or '"units"' in ran.stdout
