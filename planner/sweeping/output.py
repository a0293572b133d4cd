"""The table of a sweep as a file: CSV or Parquet, written whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from planner.drafts import draft
from planner.errors import DataError, InputError, MissingPackageError
from planner.sweeping.columns import COLUMNS

SUFFIXES = (".parquet", ".csv")
Columns = Mapping[str, Sequence[Any]]


def check_output(path: Path, *, force: bool) -> None:
    """Refuse a file that could not be written, before the work for it is done. A file that a
    killed run of the same sweep has just written (its journal is there) may be written again.

    Raises:
        InputError: another ending, no such folder, a folder of that name, no right to write, or a
            file that exists without ``force``.
        MissingPackageError: Parquet without pyarrow.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"output {str(path)!r}: only {' or '.join(SUFFIXES)} is written",
                         hint="name a file that ends in .csv")
    if not path.parent.is_dir():
        raise InputError(f"output: folder {str(path.parent)!r} does not exist",
                         hint="make the folder first")
    if path.is_dir():
        raise InputError(f"output {str(path)!r} is a folder", hint="name a file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"output: folder {str(path.parent)!r} cannot be written to",
                         hint="choose another folder or mend its permissions")
    if path.exists() and not force and not journal_path(path).exists():
        raise InputError(f"output {str(path)!r} exists",
                         hint="--force replaces it; or name another file with -o")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            error = MissingPackageError("pyarrow", extra="parquet")
            error.hint += ", or name a .csv file"
            raise error from None


def journal_path(output: Path) -> Path:
    """Where answers are kept until the table is written."""
    return output.with_name(output.name + ".journal")


def write_table(path: Path, columns: Columns) -> None:
    """Write beside the target, then rename. The same columns give the same bytes.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with draft(beside):
            (_write_parquet if path.suffix.lower() == ".parquet" else _write_csv)(beside, columns)
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; the table is not written, the answers "
                        f"are kept in {journal_path(path)}",
                        hint="make room and run the same command again") from None


def _write_csv(path: Path, columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for name, _ in COLUMNS])
        writer.writerows(zip(*(columns[name] for name, _ in COLUMNS), strict=True))


def _write_parquet(path: Path, columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"whole": pa.int64(), "number": pa.float64(), "text": pa.string(),
             "truth": pa.bool_()}
    arrays = [pa.array(columns[name], type=kinds[kind]) for name, kind in COLUMNS]
    table = pa.Table.from_arrays(arrays, names=[name for name, _ in COLUMNS])
    pq.write_table(table, path, compression="zstd")
