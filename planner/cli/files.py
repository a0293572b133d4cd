"""What commands write: JSON on stdout, files whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from planner.base.errors import InputError, needs
from planner.cli.refusals import say
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
            say("only_written", flag=flag, file=repr(str(path)), suffixes=" or ".join(suffixes)),
            hint=say("ends_in", suffix=suffixes[0]),
        )
    if not path.parent.is_dir():
        raise InputError(
            say("no_folder", flag=flag, folder=repr(str(path.parent))), hint=say("make_folder")
        )
    if path.is_dir():
        raise InputError(say("is_folder", flag=flag, file=repr(str(path))), hint=say("name_a_file"))
    if is_special(path):
        raise InputError(f"{flag} {str(path)!r} is {NOT_A_FILE}", hint="name a file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            say("not_writable", flag=flag, folder=repr(str(path.parent))),
            hint=say("other_folder_or_permissions"),
        )
