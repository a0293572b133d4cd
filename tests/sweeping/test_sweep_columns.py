"""The columns of a sweep's table: described, with units, safe in a spreadsheet."""

import csv
from pathlib import Path

import pytest

import planner
from planner.sweeping.columns import COLUMNS
from planner.sweeping.described import DESCRIBED
from planner.sweeping.output import finished, write_table


def test_cells_that_a_spreadsheet_would_compute_are_text(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {name: [None, None] for name, _ in COLUMNS}
    columns |= {
        "status": ["infeasible", "failed"],
        "reason": ["=cmd|' /C calc'!A0", "-1+1"],
        "service": ["@SUM(A1)", "+chat"],
        "max_loss": ["-0.5", "\t=1"],
        "tpot_seconds": [-1.0, 2.5e-5],
        "batch": [1, 2],
        "needs_new_weights": [True, False],
    }
    path = tmp_path / "t.csv"
    write_table(path, columns, {})
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == ["'=cmd|' /C calc'!A0", "'-1+1"]
    assert [row["service"] for row in rows] == ["'@SUM(A1)", "'+chat"]
    assert [row["max_loss"] for row in rows] == ["-0.5", "\\t=1"]
    assert [row["tpot_seconds"] for row in rows] == ["-1.0", "2.5e-05"]
    assert finished(path, columns) == columns


def test_every_column_is_described_with_its_unit() -> None:
    assert list(DESCRIBED) != []
    assert set(DESCRIBED) == {name for name, _ in COLUMNS}
    for name, kind in COLUMNS:
        unit, text = DESCRIBED[name]
        assert text, name
        assert bool(unit) or kind != "number", name
        for end, wanted in (("_bytes", "B"), ("_seconds", "s")):
            if name.endswith(end):
                assert unit == wanted, name


def test_parquet_says_units_title_and_version(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "s.toml"
    file.write_text(
        'title = "Which?"\n[[question]]\nverb = "estimate"\nmodel = "qwen2.5-0.5b"\n'
        'device = "l40s"\nengine = "any"\ndevices = 1\ntp = 1\nscheme = "bf16"\n'
        "batch = 1\ncontext = 2048\n",
        encoding="utf-8",
    )
    planner.sweep(file, output=tmp_path / "t.parquet")
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.metadata[b"title"] == b"Which?"
    assert schema.metadata[b"version"].decode() == planner.__version__
    assert schema.field("tpot_seconds").metadata[b"unit"] == b"s"
    assert b"80 %" in schema.field("usd_per_million_output_tokens_low").metadata[b"description"]
    assert all(schema.field(name).metadata[b"description"] for name in schema.names)
