"""The folder of a measurement: refused before anything is measured, whole at every step."""

from __future__ import annotations

import csv
import errno
import io
from pathlib import Path
from typing import NoReturn

import pytest

from planner.base.atomic_files import replacing
from planner.base.errors import DataError, InputError
from planner.lab.measuring import folder as module
from planner.lab.measuring.folder import MeasurementFolder, tables
from planner.lab.measuring.rows import TABLES, columns, row
from planner.lab.measuring.timing import Timing
from planner.lab.validation.table_kinds import PREDICTED

ONE = row(
    "op_gemm",
    "host",
    "torch 2.9",
    Timing(1.5e-4, 0.1, 5),
    2,
    kernel="linear",
    w_a_dtype="bfloat16",
    m=1,
    n=64,
    k=32,
)
OTHER = row("op_bandwidth", "host", "numpy 2.4", Timing(1e-3, 0.0, 3), 2, op="read", bytes=1000)


def test_tables_have_the_columns_that_readers_know() -> None:
    known = {kind.name: kind.columns for kind in PREDICTED}
    for name in ("op_gemm", "op_quantize", "op_attn_context", "op_attn_generation"):
        assert known[name] <= set(columns(name))
    assert all(len(set(columns(name))) == len(columns(name)) for name in TABLES)


def test_a_row_fills_the_columns_of_its_table() -> None:
    with pytest.raises(ValueError, match="op_gemm"):
        row("op_gemm", "host", "torch", Timing(1.0, 0.0, 3), 1, m=1)
    assert ONE["latency_us"] == 150.0


def test_rows_come_back_from_the_text_with_their_source() -> None:
    texts = tables([ONE, OTHER, ONE | {"m": 2}])
    assert set(texts) == {"op_gemm.csv", "op_bandwidth.csv", "op_sources.csv"}
    back = list(csv.DictReader(io.StringIO(texts["op_gemm.csv"])))
    assert [r["m"] for r in back] == ["1", "2"]
    assert {r["src"] for r in back} == {"M01"}
    sources = list(csv.DictReader(io.StringIO(texts["op_sources.csv"])))
    assert [(s["src"], s["op"], s["rows"]) for s in sources] == [
        ("M01", "gemm", "2"),
        ("M02", "bandwidth", "1"),
    ]


def test_other_files_are_never_mixed_with_tables(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds other files \(notes.txt\)"):
        MeasurementFolder(tmp_path, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_two_measurements_are_never_mixed(tmp_path: Path) -> None:
    first = MeasurementFolder(tmp_path / "out", force=False)
    for force in (False, True):
        with pytest.raises(DataError, match="another run is writing it"):
            MeasurementFolder(tmp_path / "out", force=force)
    first.write([ONE], "id = 1\n")
    first.close()
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "host.toml",
        "op_gemm.csv",
        "op_sources.csv",
    }
    MeasurementFolder(tmp_path / "out", force=True).close()


def test_an_earlier_measurement_is_replaced_only_by_force(tmp_path: Path) -> None:
    first = MeasurementFolder(tmp_path / "out", force=False)
    first.write([ONE, OTHER], "id = 1\n")
    first.close()
    with pytest.raises(InputError, match="earlier measurement") as told:
        MeasurementFolder(tmp_path / "out", force=False)
    assert "--force" in told.value.hint
    again = MeasurementFolder(tmp_path / "out", force=True)
    assert (tmp_path / "out" / "op_bandwidth.csv").is_file()  # until there is something new
    again.write([ONE], "id = 2\n")
    again.close()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "host.toml",
        "op_gemm.csv",
        "op_sources.csv",
    ]


def test_nothing_is_left_where_nothing_was_measured(tmp_path: Path) -> None:
    made = MeasurementFolder(tmp_path / "a" / "b", force=False)
    assert (made.path / module.RESERVED).stat().st_size == module.RESERVED_BYTES
    made.close()
    assert not made.path.exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="out: cannot be written"):
        MeasurementFolder(tmp_path / "out", force=False)


def test_a_full_disk_names_the_file_and_keeps_what_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MeasurementFolder(tmp_path / "out", force=False)
    made.write([ONE], "id = 1\n")

    def full(target: Path, text: str, *, exclusive: bool) -> None:
        with replacing(target, exclusive=exclusive) as file:
            file.write(text[:5].encode())
            if "op_bandwidth" in target.name:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("planner.lab.measuring.folder.replace_text", full)
    with pytest.raises(InputError, match=r"op_bandwidth.csv: cannot be written: No space left"):
        made.write([ONE, OTHER], "id = 2\n")
    made.close()
    left = sorted(p.name for p in made.path.iterdir())
    assert left == ["host.toml", "op_gemm.csv", "op_sources.csv"]
    assert (made.path / "host.toml").read_text(encoding="utf-8") == "id = 1\n"


def test_a_disk_that_is_full_from_the_start_is_seen_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, mode: str) -> NoReturn:
        assert mode == "xb"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="out: cannot be written: No space left on device"):
        MeasurementFolder(tmp_path / "out", force=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_looked_into_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python before 3.14 raises where one may not search the folder above."""

    def refused(path: Path, **how: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        MeasurementFolder(tmp_path / "closed" / "out", force=False)
