"""The table of a sweep as a file: CSV or Parquet, written whole or not at all, and read again where
the same sweep is asked for."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from planner.base.atomic_files import replacing
from planner.base.csv_text import csv_cell, csv_value
from planner.base.errors import DataError, InputError, MissingPackageError
from planner.base.files import NOT_A_FILE, is_special
from planner.sweeping.columns import ANSWER, COLUMNS, KINDS, Kind, complete
from planner.sweeping.described import DESCRIBED

SUFFIXES = (".parquet", ".csv")
Columns = Mapping[str, Sequence[Any]]


def check_output(path: Path) -> None:
    """Refuse a file that could not be written, before the work for it is done.

    Raises:
        InputError: another ending, no such folder, a folder, device or pipe of that name, or no
            right to write.
        MissingPackageError: Parquet without pyarrow.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"output {str(path)!r}: only {' or '.join(SUFFIXES)} is written",
            hint="name a file that ends in .csv",
        )
    if not path.parent.is_dir():
        raise InputError(
            f"output: folder {str(path.parent)!r} does not exist", hint="make the folder first"
        )
    if path.is_dir():
        raise InputError(f"output {str(path)!r} is a folder", hint="name a file")
    if is_special(path):
        raise InputError(f"output {str(path)!r} is {NOT_A_FILE}", hint="name a file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"output: folder {str(path.parent)!r} cannot be written to",
            hint="choose another folder or mend its permissions",
        )
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            error = MissingPackageError("pyarrow", extra="parquet")
            error.hint += ", or name a .csv file"
            raise error from None


def finished(path: Path, columns: Columns) -> dict[str, list[Any]] | None:
    """The table at ``path`` where it answers the questions of ``columns``, all of them and no
    other, in the columns of this version; None where there is no file, or a killed run of the
    same sweep has just written it (its journal is there).

    Raises:
        InputError: another file is there.
    """
    if not path.exists() or journal_path(path).exists():
        return None
    names = [name for name, _ in COLUMNS]
    parquet = path.suffix.lower() == ".parquet"
    there = (_read_parquet if parquet else _read_csv)(path)
    answered = {name for name, _ in ANSWER}
    questions = {name: list(columns[name]) for name in names if name not in answered}
    if (
        there is None
        or list(there) != names
        or not complete(there)
        or any(
            there[name] != (column if parquet else [_as_read(cell) for cell in column])
            for name, column in questions.items()
        )
    ):
        raise exists(path)
    return {**there, **questions}


def exists(path: Path) -> InputError:
    """The error for a file that must not be replaced."""
    return InputError(
        f"output {str(path)!r} exists", hint="--force replaces it; or name another file with -o"
    )


def journal_path(output: Path) -> Path:
    """Where answers are kept until the table is written."""
    return output.with_name(output.name + ".journal")


def write_table(path: Path, columns: Columns, about: Mapping[str, str]) -> None:
    """Write beside the target, then rename. The same columns give the same bytes. ``about`` is what
    a Parquet file says of itself.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    try:
        with replacing(path, exclusive=True) as file:
            if path.suffix.lower() == ".parquet":
                _write_parquet(file, columns, about)
            else:
                _write_csv(file, columns)
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; the table is not written, the answers "
            f"are kept in {journal_path(path)}",
            hint="make room and run the same command again",
        ) from None


def _write_csv(file: BinaryIO, columns: Columns) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _ in COLUMNS])
    writer.writerows(zip(*(_csv_cells(columns[name], kind) for name, kind in COLUMNS), strict=True))
    text.detach()


def _csv_cells(values: Sequence[Any], kind: Kind) -> Sequence[Any]:
    """A column; texts that a spreadsheet would compute are text, numbers are left to csv."""
    if kind != "text":
        return values
    known = {value: csv_cell(value) for value in dict.fromkeys(values)}
    return [known[value] for value in values]


_MOST_HEAD = 1 << 16
"""Characters of the line that names the columns."""


def _read_csv(path: Path) -> dict[str, list[Any]] | None:
    """The columns of a table that :func:`write_table` wrote; None where it is no such table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head = file.readline(_MOST_HEAD)
            if not head.endswith("\n"):  # no table: perhaps a hole without end
                return None
            (names,), rows = csv.reader([head]), list(csv.reader(file))
        cells = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        return {
            name: [_value(text, KINDS[name]) for text in column]
            for name, column in zip(names, cells, strict=True)
        }
    except (OSError, ValueError, KeyError, csv.Error):
        return None


def _as_read(value: Any) -> Any:
    """What is read of a cell that was written of ``value``."""
    return csv_value(str(csv_cell(value))) if isinstance(value, str) else value


def _value(text: str, kind: Kind) -> Any:
    """The value of a cell."""
    if not text:
        return None
    if kind == "truth":
        return {"True": True, "False": False}[text]
    return csv_value(text) if kind == "text" else int(text) if kind == "whole" else float(text)


def _write_parquet(file: BinaryIO, columns: Columns, about: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"whole": pa.int64(), "number": pa.float64(), "text": pa.string(), "truth": pa.bool_()}
    fields = [
        pa.field(
            name,
            kinds[kind],
            metadata=dict(zip(("unit", "description"), DESCRIBED[name], strict=True)),
        )
        for name, kind in COLUMNS
    ]
    schema = pa.schema(fields, metadata=dict(about))
    arrays = [pa.array(columns[field.name], type=field.type) for field in fields]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), file, compression="zstd")


def _read_parquet(path: Path) -> dict[str, list[Any]] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        return {name: table[name].to_pylist() for name in table.column_names}
    except (OSError, ValueError, KeyError, OverflowError, pa.ArrowException):  # bytes that are no
        return None  # text, times beyond any calendar, two columns of one name
