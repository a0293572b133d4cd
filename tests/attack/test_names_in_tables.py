"""Names that a spreadsheet would compute or a terminal obey, in every table that is written."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from unicodedata import category

import pytest

import planner
from planner.base.csv_text import csv_cell, csv_value
from planner.base.errors import InputError
from planner.cli.capacity import table as capacity_table
from planner.report.render.sweep_page import sweep_report
from planner.sweeping.sweep import answers

ESTIMATE = {
    "verb": "estimate",
    "model": "qwen2.5-0.5b",
    "device": "l40s",
    "engine": "any",
    "devices": 1,
    "tp": 1,
    "scheme": "bf16",
    "context": 2048,
    "batch": 1,
}


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("\u202etxet", "\\u202etxet"),
        ("\udc80", "\\udc80"),
        ("\t=1", "\\t=1"),
        ("模型 é", "模型 é"),
        ("a\u00a0b", "a\u00a0b"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_control_characters_are_spelt_out(value: str, cell: str) -> None:
    assert csv_cell(value) == cell
    assert csv_value(cell) == cell


@pytest.mark.parametrize("name", ["a\x1b[31mred", "'=A1", "=A1", "two\nlines", "plain"])
def test_a_sweep_of_such_a_service_is_repeated_from_its_table(name: str, tmp_path: Path) -> None:
    asked, output, told = [{**ESTIMATE, "service": name}], tmp_path / "t.csv", []
    first = planner.sweep(asked, output=output)
    assert "\x1b" not in output.read_text(encoding="utf-8")
    again = planner.sweep(asked, output=output, notify=told.append)
    assert "has the answers" in told[-1]
    assert again.equals(first)
    with pytest.raises(InputError, match="exists"):
        planner.sweep([{**ESTIMATE, "service": "another"}], output=output)


def test_a_capacity_says_its_names_as_text() -> None:
    found = planner.capacity("qwen2.5-0.5b", "l40s", rate=1.0, ttft_seconds=1.0, workload="chat")
    named = replace(found, options=tuple(replace(one, name="=cmd|x\x1b") for one in found.options))
    rows = list(csv.DictReader(io.StringIO(capacity_table(named))))
    assert {row["name"] for row in rows} == {"'=cmd|x\\x1b"}


@pytest.mark.parametrize("suffix", [".html", ".svg"])
def test_a_page_and_its_figure_alone_hold_no_control_characters(suffix: str) -> None:
    asked = [
        {**ESTIMATE, "service": name, "batch": batch}
        for name in ("\u202ertl\x1b", "b")
        for batch in (1, 2)
    ]
    text = sweep_report(answers(asked).columns, suffix, "\x07title")
    assert "rtl" in text
    assert not [sign for sign in text if category(sign) in ("Cc", "Cf") and sign != "\n"]
