"""What is no regular file: a pipe would be waited for, and a device cannot be replaced whole."""

from __future__ import annotations

from pathlib import Path

from planner.errors import DataError

NOT_A_FILE = "not a regular file"


def check_regular(path: Path, *, hint: str, there: bool = False) -> None:
    """Refuse to read what is no regular file, before anything waits for it; ``there``: what does
    not exist is none either, else opening it says so.

    Raises:
        DataError: it is none. OSError: it cannot be looked at.
    """
    if not path.is_file() and (there or path.exists()):
        raise DataError(f"{path}: {NOT_A_FILE}", hint=hint)


def is_special(path: Path) -> bool:
    """Whether ``path`` is there and is neither a file nor a folder: /dev/null, a pipe, a socket.
    It cannot be replaced whole, and reading it may wait for ever."""
    return path.exists() and not path.is_file() and not path.is_dir()
