"""What commands write: JSON on stdout, files whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from planner.base.errors import InputError, needs
from planner.cli.streams import writes_everything


def print_json(data: object) -> None:
    """JSON on stdout, keys in the order of the records; no NaN or infinity can pass."""
    click.echo(
        json.dumps(data, indent=2, ensure_ascii=not writes_everything(sys.stdout), allow_nan=False)
    )


def write_atomically(
    path: Path, text: str, *, suffixes: tuple[str, ...] = (".html", ".htm"), flag: str = "--report"
) -> None:
    """Write beside the target, then rename: nothing is left half written.

    Raises:
        InputError: see :func:`check_target`.
        OSError: the folder cannot be written to.
    """
    from planner.base.atomic_files import replace_text

    check_target(path, suffixes=suffixes, flag=flag)
    replace_text(path, text)


def check_drawing(path: Path, *, flag: str) -> None:
    """Refuse a picture that could not be drawn or written, before the work for it is done.

    Raises:
        InputError: see :func:`check_target`. MissingPackageError: matplotlib is not installed.
    """
    check_target(path, suffixes=(".svg",), flag=flag)
    needs("matplotlib", extra="plot")


def check_target(path: Path, *, suffixes: tuple[str, ...], flag: str) -> None:
    """Refuse a file that could not be written, before the work for it is done.

    Raises:
        InputError: another ending, no such folder, a folder of that name, or a device or pipe.
    """
    from planner.base.files import NOT_A_FILE, is_special

    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"{flag} {str(path)!r}: only {' or '.join(suffixes)} is written",
            hint=f"name a file that ends in {suffixes[0]}",
        )
    if not path.parent.is_dir():
        raise InputError(
            f"{flag}: folder {str(path.parent)!r} does not exist", hint="make the folder first"
        )
    if path.is_dir():
        raise InputError(f"{flag} {str(path)!r} is a folder", hint="name a file")
    if is_special(path):
        raise InputError(f"{flag} {str(path)!r} is {NOT_A_FILE}", hint="name a file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{flag}: folder {str(path.parent)!r} cannot be written to",
            hint="choose another folder or mend its permissions",
        )
