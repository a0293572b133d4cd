"""Journals whose lines are whole and say something else than the run would have written: what they
hold is answered or measured again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.laws import command
from support.table_entrances import ESTIMATES, left_by_sweep
from support.tape import toml_bytes

from planner.base.errors import InputError
from planner.jobs.journal import Journal, _line, are_numbers, is_number
from planner.lab.profiling.run import fits
from planner.lab.verifying.records import Reading, StepResult
from planner.sweeping.columns import COLUMNS
from planner.sweeping.output import finished

WORDS = ["sweep", "q.toml", "-o", "o.csv", "--quiet"]
ROWS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing": lambda rows: None,
    "a list": lambda rows: [rows],
    "no status": lambda rows: {k: v for k, v in rows.items() if k != "status"},
    "an empty status": lambda rows: rows | {"status": [None]},
    "another column": lambda rows: rows | {"": ["x"]},
    "a column that was asked": lambda rows: rows | {"question": [7]},
    "no list": lambda rows: rows | {"tpot_seconds": 1.0},
    "too many": lambda rows: rows | {"tpot_seconds": [1.0, 2.0]},
    "text for a number": lambda rows: rows | {"tpot_seconds": ["a"]},
    "a number for a text": lambda rows: rows | {"status": [[]]},
    "a fraction": lambda rows: rows | {"devices": [1.5]},
    "not finite": lambda rows: rows | {"tpot_seconds": [float("nan")]},
    "beyond 64 bits": lambda rows: rows | {"total_bytes": [1 << 70]},
    "below 0": lambda rows: rows | {"total_bytes": [-5]},
    "a plan without a time": lambda rows: rows | {"tpot_seconds": [None]},
    "a plan without a rate": lambda rows: {
        k: v for k, v in rows.items() if k != "output_tokens_per_second_per_device"
    },
}


@pytest.mark.parametrize("how", ROWS)
def test_answers_of_another_form_are_asked_again(how: str, tmp_path: Path) -> None:
    table, (header, first, *rest) = left_by_sweep()
    (tmp_path / "q.toml").write_bytes(toml_bytes(ESTIMATES))
    changed = first | {"rows": ROWS[how](first["rows"])}
    lines = [json.dumps(record).encode() for record in (header, changed, *rest)]
    (tmp_path / "o.csv.journal").write_bytes(b"".join(map(_signed, lines)))
    assert command(WORDS, tmp_path, may_write=("o.csv",)).code == 0
    assert (tmp_path / "o.csv").read_bytes() == table


def _signed(text: bytes) -> bytes:
    """A line with its checksum, also of what the program would not write."""
    import zlib

    return b"%08x %b\n" % (zlib.crc32(text), text)


def test_a_record_nested_beyond_the_parser_is_a_damaged_line(tmp_path: Path) -> None:
    header = {"id": "header"}
    deep = b'{"id":"x","a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    (tmp_path / "j").write_bytes(_line(header) + _signed(deep) + _line({"id": "y"}))
    journal = Journal.open(tmp_path / "j", header)
    journal.close()
    assert (list(journal.done), journal.damaged) == (["y"], 1)


def test_a_record_of_another_form_is_dropped_and_counted(tmp_path: Path) -> None:
    header = {"id": "header"}
    (tmp_path / "j").write_bytes(
        b"".join(map(_line, (header, {"id": "x", "n": "a"}, {"id": "y", "n": 1})))
    )
    journal = Journal.open(tmp_path / "j", header, fits=lambda record: is_number(record["n"]))
    journal.close()
    assert (list(journal.done), journal.damaged) == (["y"], 1)
    assert (tmp_path / "j").read_bytes() == _line(header) + _line({"id": "y", "n": 1})


def test_a_parquet_table_of_bytes_that_are_no_text_is_another_file(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name, _ in COLUMNS]
    letters = pa.array(["ab"]).buffers()[1]
    no_text = [None, letters, pa.py_buffer(b"\xff\xfe")]
    columns = {
        "text": pa.Array.from_buffers(pa.string(), 1, no_text),
        "time": pa.array([1 << 62], pa.timestamp("us")),
    }
    for column in columns.values():
        pq.write_table(pa.table(dict.fromkeys(names, column)), tmp_path / "o.parquet")
        with pytest.raises(InputError, match="exists"):
            finished(tmp_path / "o.parquet", {name: [None] for name in names})


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, True),
        (-1.5, True),
        ((1 << 62) - 1, True),
        (1 << 62, False),
        (1e300, True),
        (True, False),
        (float("inf"), False),
        ("1", False),
        (None, False),
        ([1], False),
    ],
)
def test_numbers_of_records(value: object, number: bool) -> None:
    assert is_number(value) is number
    assert are_numbers({"a": value}) is number


def test_steps_of_a_verification() -> None:
    step = StepResult({"kl": Reading(0.1, 0.01, 3)}, {"types": {}})
    whole = {"subject": "plan", **step.to_dict()}
    assert StepResult.fits(whole)
    for changed in (
        {"subject": 1},
        {"values": []},
        {"values": {"kl": [1, 2]}},
        {"facts": None},
        {"values": {"kl": [1, 2, "x"]}},
        {"values": {"kl": 1}},
    ):
        assert not StepResult.fits(whole | changed), changed


def test_matrices_of_a_profile() -> None:
    shape = {"amax": 1.0, "rms": 0.1, "kurtosis": 3.0, "outlier_channels": 2}
    errors = {"weight_error": {"fp8-block": 1e-3}, "flushed": {}, "overflow": {}}
    for whole in (
        shape,
        shape | errors,
        {"skipped": "all zero"},
        {"loss": {"nvfp4": 0.1}},
        {"joint": 0.1, "flips": 0.2},
    ):
        assert fits({"id": "x"} | whole), whole
    for other in (
        {},
        {"skipped": None},
        {"loss": [1]},
        {"loss": {"nvfp4": "x"}},
        {"joint": 0.1},
        shape | {"rms": "x"},
        shape | errors | {"flushed": None},
        shape | {"weight_error": {}},
    ):
        assert not fits({"id": "x"} | other), other
