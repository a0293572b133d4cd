"""Files from outside: regular ones of a bounded size, texts as people's editors and shells save
them, and where the data folders are: inside an installed wheel, or next to the package."""

from __future__ import annotations

import codecs
from pathlib import Path

from planner.base.errors import DataError, PlannerError

NOT_A_FILE = "not a regular file"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PACKAGE = Path(__file__).resolve().parents[1]


def check_regular(path: Path, *, hint: str, there: bool = False) -> None:
    """Refuse to read what is no regular file, before anything waits for it: a pipe would be waited
    for; ``there``: what does not exist is none either, else opening it says so.

    Raises:
        DataError: it is none. OSError: it cannot be looked at.
    """
    if not path.is_file() and (there or path.exists()):
        raise DataError(f"{path}: {NOT_A_FILE}", hint=hint)


def is_special(path: Path) -> bool:
    """Whether ``path`` is there and is neither a file nor a folder: /dev/null, a pipe, a socket.
    It cannot be replaced in one step, and reading it may wait for ever."""
    return path.exists() and not path.is_file() and not path.is_dir()


def read_bounded(path: Path, limit: int, too_large: PlannerError) -> bytes:
    """The bytes of a file of at most ``limit`` bytes.

    Raises:
        PlannerError: ``too_large``, where it has more. OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise too_large
    return data


def decode_text(data: bytes) -> str:
    """The text of a file in UTF-8, with or without the mark that Excel and Notepad put before it,
    or in UTF-16 with its mark, as ``>`` of Windows PowerShell writes what a command prints.

    Raises:
        UnicodeDecodeError: it is in neither.
    """
    if data.startswith(_WIDE):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def data_folder(name: str) -> Path:
    """The folder ``name`` (``hardware_profiles`` or ``scenarios``).

    A checkout's own folder wins over a packaged copy, so that an edit is seen at once.

    Raises:
        FileNotFoundError: neither exists (a broken installation).
    """
    checkout = _PACKAGE.parent / name
    if (_PACKAGE.parent / "pyproject.toml").is_file() and checkout.is_dir():
        return checkout
    packaged = _PACKAGE / "_data" / name
    if packaged.is_dir():
        return packaged
    raise FileNotFoundError(f"data folder {name} is neither at {checkout} nor at {packaged}")
