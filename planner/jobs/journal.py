"""Results as they come: an append-only file of checked lines, so that nothing measured is lost.

A line is a checksum (CRC-32 of the rest, hex), a space, a JSON object. The first is the header:
what is measured, of which checkpoint. Every line is written whole and synchronised before the next.

Not SQLite: appending and synchronising a record of 6 kB took 5 ms, a transaction of it 19 to 22 ms
with a rollback journal (4.5 ms with a write-ahead log, which network file systems do not carry); a
page of 4 KiB that was zeroed lost 1.7 of 300 records in a file of lines and 54, up to all, in a
database, and a file cut by a page lost one record and all of them.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.atomic_files import replacing
from planner.base.errors import DataError
from planner.base.files import NOT_A_FILE
from planner.jobs.locks import give_back, held_lock

if TYPE_CHECKING:
    from filelock import BaseFileLock

MAX_LINE = 1 << 24
_MOST_READ = MAX_LINE + 1
"""With its end: what is longer, such as a hole of a file, is no line and is not held in memory."""
LARGEST = 1 << 62
"""No whole number beyond is kept; doubles hold it."""
Record = dict[str, Any]
Fits = Callable[[Record], bool]
"""Whether a record is of the form that the run writes and reads."""
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def anything(record: Record) -> bool:
    """Every record is of the run's form."""
    return True


@dataclass(slots=True)
class Journal:
    """An open journal. ``done`` holds the records found in it, ``damaged`` counts damaged lines."""

    path: Path
    done: dict[str, dict[str, Any]]
    damaged: int
    noun: str = "tensors measured"
    fits: Fits = anything
    _file: int = -1
    _file_lock: BaseFileLock | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        header: dict[str, Any],
        *,
        noun: str = "tensors measured",
        fits: Fits = anything,
    ) -> Journal:
        """Open ``path`` for the run that ``header`` describes, new or to go on with. ``noun`` is
        what a record holds, in errors.

        Lines that are damaged (a process was killed while it wrote), and records that do not
        ``fits``, are dropped and counted; what they held is measured again.

        Raises:
            DataError: the journal belongs to another run or to other settings, it cannot be read or
                written, or it or its lock is a link, a pipe or a folder.
        """
        for place, what in ((path, "a journal"), (lock_path(path), "the lock of a journal")):
            if place.is_symlink() or (place.exists() and not place.is_file()):
                what_it_is = "a link" if place.is_symlink() else NOT_A_FILE
                raise DataError(
                    f"{place} is {what_it_is}",
                    hint=f"remove it: {what} is not written "
                    "through one; or name another file with -o",
                )
        journal = cls(path, {}, 0, noun, fits)
        try:
            journal._lock()
            journal._file = os.open(path, _FLAGS, 0o644)
            journal._read(header)
            journal._rewrite(header, journal.damaged)
        except BaseException:
            journal.close()
            raise
        return journal

    def _read(self, header: dict[str, Any]) -> None:
        """Fill ``done`` and ``damaged`` from the file."""
        with self.path.open("rb") as file:
            first = file.readline(_MOST_READ)
            if first.endswith(b"\n") or len(first) == _MOST_READ:
                if (first_record := _parse(first[:-1])) != header:
                    raise DataError(
                        f"{self.path}: {_difference(first_record, header)}",
                        hint="remove it to start over, or name another file with -o",
                    )
            else:
                self.damaged += bool(first)
            while line := file.readline(_MOST_READ):
                record = _parse(line[:-1]) if line.endswith(b"\n") else None
                if record is not None and self.fits(record):
                    self.done[str(record["id"])] = record
                else:
                    self.damaged += 1

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and wait until it is on the disk.

        Raises:
            DataError: the disk is full or the file cannot be written; what is in it stays.
        """
        self._write(record)
        self.done[str(record["id"])] = record

    def close(self) -> None:
        """Close the file and keep it."""
        self._close_file()
        self._unlock()

    def remove(self) -> None:
        """Close and delete: the profile is written."""
        self._close_file()
        self.path.unlink(missing_ok=True)
        self._unlock()

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _rewrite(self, header: dict[str, Any], damaged: int) -> None:
        """Bring a new or damaged file into order; a sound one is only positioned at its end."""
        if os.fstat(self._file).st_size and not damaged:
            os.lseek(self._file, 0, os.SEEK_END)
            return
        self._close_file()
        with replacing(self.path, exclusive=True) as file:
            file.writelines(_line(record) for record in (header, *self.done.values()))
        self._file = os.open(self.path, _FLAGS)
        os.lseek(self._file, 0, os.SEEK_END)

    def _lock(self) -> None:
        """Keep other runs out until this process closes the journal or ends."""
        if not self.path.parent.is_dir():  # the lock would make the folder
            raise DataError(f"{self.path}: its folder does not exist", hint="make the folder first")
        self._file_lock = held_lock(lock_path(self.path), self.path)

    def _unlock(self) -> None:
        if self._file_lock is not None:
            give_back(self._file_lock)
            self._file_lock = None

    def _write(self, record: dict[str, Any]) -> None:
        start = os.lseek(self._file, 0, os.SEEK_CUR)
        rest = memoryview(_line(record))
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, start)
            os.lseek(self._file, start, os.SEEK_SET)
            raise DataError(
                f"{self.path}: {error.strerror}; the {len(self.done)} {self.noun} so far are kept",
                hint="make room and run the same command again: it goes on from there",
            ) from None


def is_number(value: object) -> bool:
    """Whether a value of a record is a finite number."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (math.isfinite(value) if isinstance(value, float) else abs(value) < LARGEST)
    )


def are_numbers(value: object) -> bool:
    """Whether a value of a record is a table of finite numbers."""
    return isinstance(value, dict) and all(map(is_number, value.values()))


def lock_path(journal: Path) -> Path:
    """The file whose lock says that a journal is being written."""
    return journal.with_name(f".{journal.name}.lock")


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record of a line, None where it is damaged."""
    check, _, text = line.partition(b" ")
    if len(line) > MAX_LINE or check != b"%08x" % zlib.crc32(text):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "id" in record else None


def _difference(header: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
    if header is None:
        return "not a journal of this program"
    names = {
        "sha256": "checkpoint",
        "schemes": "schemes",
        "version": "version of this program",
        "tier": "tier",
        "seed": "seed",
        "inputs": "inputs",
        "sweep": "list of questions",
        "grid": "question or other positions",
        "count": "length",
    }
    differing = [names.get(k, k) for k in sorted(wanted) if header.get(k) != wanted[k]]
    return "an unfinished run of another " + (" and ".join(differing) or "kind")
