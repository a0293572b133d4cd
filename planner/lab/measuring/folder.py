"""The folder that a measurement is written to: checked before anything is measured, written in
steps that each leave whole files."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from planner.base.atomic_files import gone_at_the_end, removed, replace_text
from planner.base.errors import InputError
from planner.jobs.locks import give_back, held_lock
from planner.lab.measuring.rows import SOURCE_COLUMNS, SOURCES, TABLES, Row, columns

PROFILE = "host.toml"
OURS = frozenset({PROFILE, *(f"{name}.csv" for name in (*TABLES, SOURCES))})
"""Files that a measurement writes."""
RESERVED, RESERVED_BYTES = ".reserved", 1 << 20
"""A file of the size that tables may need: a full disk is seen before minutes of measuring."""
LOCK = ".lock"
"""A file that keeps other measurements out while one is written."""


class MeasurementFolder:
    """``path``, made where it is missing.

    Raises:
        InputError: it cannot be made or written, holds other files, or (without ``force``) an
            earlier measurement. DataError: another run is writing it.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self.path = path
        made, folder_lock = False, None
        try:
            made = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            folder_lock = held_lock(path / LOCK, path)
            self._stale = self._looked_at(force)
            removed(path / RESERVED)
            gone_at_the_end(path / RESERVED)
            with (path / RESERVED).open("xb") as file:  # never through a link
                file.write(bytes(RESERVED_BYTES))
        except BaseException as error:
            if folder_lock is not None:
                removed(path / RESERVED)
                give_back(folder_lock)
            if made:
                with contextlib.suppress(OSError):  # another run may have begun in it
                    path.rmdir()
            if isinstance(error, OSError):
                raise _unwritable(path, error) from None
            raise
        self._held = folder_lock

    def _looked_at(self, force: bool) -> set[str]:
        """Names of an earlier measurement."""
        names = {entry.name for entry in self.path.iterdir()} - {RESERVED, LOCK}
        others = sorted(names - OURS)
        if others:
            raise InputError(
                f"{self.path} holds other files ({', '.join(others[:3])})",
                hint="give a new or an empty folder: -o DIR",
            )
        if names and not force:
            raise InputError(
                f"{self.path} holds an earlier measurement ({', '.join(sorted(names)[:3])})",
                hint="give a new folder, or --force to replace it",
            )
        return names

    def write(self, rows: Sequence[Row], profile: str) -> None:
        """Tables of all rows so far, and the profile; what an earlier measurement left goes.

        Raises:
            InputError: a file cannot be written; those before it, and older ones, are whole.
        """
        removed(self.path / RESERVED)
        texts = tables(rows) | {PROFILE: profile}
        for name, text in texts.items():
            self._write(name, text)
        for name in self._stale - texts.keys():
            (self.path / name).unlink(missing_ok=True)
        self._stale = set()

    def close(self) -> None:
        """Leave nothing that is no table."""
        removed(self.path / RESERVED)
        give_back(self._held)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def _write(self, name: str, text: str) -> None:
        target = self.path / name
        try:
            replace_text(target, text, exclusive=True)
        except OSError as error:
            raise _unwritable(target, error) from None


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """{file: text} of the tables that have rows, and of where their rows come from."""
    keys: dict[tuple[str, str, str], str] = {}
    for row in rows:
        keys.setdefault((row["table"], row["device"], row["software"]), f"M{len(keys) + 1:02}")
    texts = {}
    for name in TABLES:
        mine = [
            row | {"src": keys[name, row["device"], row["software"]]}
            for row in rows
            if row["table"] == name
        ]
        if mine:
            texts[f"{name}.csv"] = _csv(columns(name), mine)
    sources = [
        {
            "src": key,
            "device": device,
            "op": table.removeprefix("op_"),
            "software": software,
            "source": "plan measure on this machine",
            "rows": sum(
                row["table"] == table and row["device"] == device and row["software"] == software
                for row in rows
            ),
        }
        for (table, device, software), key in keys.items()
    ]
    return texts | ({f"{SOURCES}.csv": _csv(SOURCE_COLUMNS, sources)} if sources else {})


def _csv(names: Sequence[str], rows: Iterable[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: cannot be written: {error.strerror or error}",
        hint="give a folder with room that you may write to: -o DIR",
    )
