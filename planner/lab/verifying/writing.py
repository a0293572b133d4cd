"""Files of a verification's folder: whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from planner.base.atomic_files import replace_text
from planner.base.errors import DataError, InputError

JOURNAL = "verify.journal"
WORK = "work"
"""The folder beside the results for what steps need: text, scripts, logs of the engine."""


def refuse_other(folder: Path) -> None:
    """Refuse a folder that an earlier run did not make.

    Raises:
        InputError: it is no folder, or holds other things.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is no folder", hint="name a folder with -o")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / JOURNAL).exists():
        raise InputError(f"{str(folder)!r} holds other files", hint="name a new folder with -o")


def prepare(folder: Path) -> None:
    """Make the folder of a verification with an empty journal, so that a run that fails at once
    goes on there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JOURNAL).touch()
    except OSError as error:
        raise InputError(
            f"folder {str(folder)!r} cannot be made: {error.strerror}",
            hint="name another folder with -o",
        ) from None


def work_folder(folder: Path) -> Path:
    """The folder for what steps need, made where it is not there.

    Raises:
        DataError: it cannot be made.
    """
    try:
        (folder / WORK).mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder / WORK} cannot be made: {error.strerror}",
            hint="make room, or name another folder with -o",
        ) from None
    return folder / WORK


def as_json(data: Any) -> str:
    """JSON for a file; ends with a newline."""
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_file(path: Path, text: str) -> None:
    """Write ``text`` whole or not at all.

    Raises:
        DataError: the disk is full, or the file cannot be written.
    """
    try:
        replace_text(path, text, exclusive=True)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}; what was measured is kept in "
            f"{path.parent / JOURNAL}",
            hint="make room and run the same command again: it goes on from there",
        ) from None
