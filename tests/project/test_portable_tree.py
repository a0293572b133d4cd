"""Every file of the repository can be checked out on Linux, macOS and Windows, byte for byte."""

from collections import Counter
from pathlib import Path

import pytest
from support.wheels import ROOT

SKIPPED = {
    ".git",
    ".venv",
    ".engines",
    "out",
    "dist",
    "build",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
    "shared",
}
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
}
REFUSED = set('<>:"|?*\\')
LONGEST = 160
"""Windows takes paths of 260 letters; the folder that holds the checkout needs some of them."""


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name in SKIPPED:
            continue
        found.append(path)
        if path.is_dir() and not path.is_symlink():
            found += _below(path)
    return found


PATHS = [path.relative_to(ROOT) for path in _below(ROOT)]


def portable(path: Path) -> str:
    """Why a system cannot have a file of that name; empty where all can."""
    if len(str(path)) > LONGEST:
        return "is too long"
    if not path.name.isascii() or REFUSED & set(path.name):
        return "has a letter that not every system takes"
    if path.name != path.name.rstrip(" ."):
        return "ends in a blank or a full stop"
    return "is a device of Windows" if path.name.split(".")[0].lower() in RESERVED else ""


def test_the_files_were_found() -> None:
    assert len(PATHS) > 2000
    assert {Path("README.md"), Path("planner/base/errors.py"), Path("tests/golden")} <= set(PATHS)


def test_every_system_can_have_every_file() -> None:
    assert {str(path): why for path in PATHS if (why := portable(path))} == {}


@pytest.mark.parametrize(
    "name", ["aux.py", "con", "a:b.txt", "naïve.md", "what?.md", "end.", "x" * 200, "LPT1.csv"]
)
def test_a_name_that_some_system_refuses_is_seen(name: str) -> None:
    assert portable(Path(name))


def test_no_two_files_differ_by_case_alone() -> None:
    """macOS and Windows keep one of them."""
    folded = Counter(str(path).lower() for path in PATHS)
    assert [name for name, count in folded.items() if count > 1] == []


def test_no_file_is_a_link() -> None:
    """Windows makes a text of it."""
    assert [str(path) for path in PATHS if (ROOT / path).is_symlink()] == []


def test_lines_end_as_they_are_stored() -> None:
    """Git for Windows would end them as Windows does: digests of shipped files would be others, and
    every device file would be checked anew at each start."""
    rules = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert "* text=auto eol=lf" in rules
    texts = [path for path in PATHS if path.suffix in (".py", ".toml", ".json", ".csv", ".md")]
    assert len(texts) > 1500
    assert [str(path) for path in texts if b"\r\n" in (ROOT / path).read_bytes()] == []
