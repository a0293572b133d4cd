"""A directory of tables as rows of text, with bounds on size; nothing in a file is executed."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.base.errors import DataError

MAX_TABLE_BYTES = 64 << 20
MAX_FIELD = 1 << 16
MAX_FILES = 1000
_BESIDE = ("readme", "license", "notice")
_BESIDE_TABLES = (".json", ".toml", ".gguf", ".journal")
"""What `plan measure` and `plan verify` write beside their tables."""


@dataclass(frozen=True, slots=True)
class MeasuredTable:
    """One file: ``name`` is its stem, ``rows`` are None where it could not be read; then ``lines``
    are those after the first, at least 1."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...] | None
    lines: int = 1


def read_directory(directory: Path) -> list[MeasuredTable]:
    """Every table in ``directory`` in order of name; what stands beside them (README, JSON) is
    passed over.

    Raises:
        DataError: no such directory, or more files than a set of tables has.
    """
    if not directory.is_dir():
        raise DataError(
            f"data directory {str(directory)!r} does not exist",
            hint="--data names a folder of CSV tables",
        )
    paths = sorted(
        p
        for p in directory.iterdir()
        if not p.name.startswith(".")
        and p.stem.lower() not in _BESIDE
        and p.suffix.lower() not in _BESIDE_TABLES
    )
    if len(paths) > MAX_FILES:
        raise DataError(
            f"{directory}: {len(paths)} files are more than {MAX_FILES}",
            hint="--data names a folder of CSV tables",
        )
    root = directory.resolve()
    return [read_table(path, root) for path in paths if not path.is_dir()]


def read_table(path: Path, root: Path) -> MeasuredTable:
    """The rows of ``path``; unreadable ones have no rows. Links out of ``root`` are not
    followed."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return MeasuredTable(path.stem, (), () if path.is_file() else None)
    if not path.resolve().is_relative_to(root) or os.path.getsize(path) > MAX_TABLE_BYTES:
        return MeasuredTable(path.stem, (), None)
    unreadable = MeasuredTable(path.stem, (), None, _lines(path))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            if len(set(header)) != len(header):
                return unreadable
            rows = tuple(_row(header, cells) for cells in lines if cells)
    except (UnicodeDecodeError, csv.Error, OSError):
        return unreadable
    return MeasuredTable(path.stem, tuple(header), rows)


def _lines(path: Path) -> int:
    """Lines after the first that are not blank, at least 1."""
    try:
        with path.open("rb") as file:
            return max(1, sum(1 for line in file if line.strip()) - 1)
    except OSError:
        return 1


def _row(header: Sequence[str], cells: Sequence[str]) -> Mapping[str, str]:
    """A row by column; missing cells are empty, surplus ones are dropped, long ones cut."""
    padded = [*cells, *[""] * (len(header) - len(cells))]
    return {name: cell.strip()[:MAX_FIELD] for name, cell in zip(header, padded, strict=False)}
