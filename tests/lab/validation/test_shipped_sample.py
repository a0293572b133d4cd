"""The sample of measured rows in the package: its rule, its size, and that it is predicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.base.errors import UnknownNameError
from planner.lab.validation.op_rows import is_held_out
from planner.lab.validation.reader import MeasuredTable, read_directory
from planner.lab.validation.run import SAMPLE, validate
from planner.lab.validation.sampling import RULES, rule_of, sample_rows, write_sample
from planner.lab.validation.table_kinds import PREDICTED, kind_of

TABLES = {table.name: table for table in read_directory(SAMPLE)}


def test_size_and_kinds() -> None:
    size = sum(path.stat().st_size for path in SAMPLE.iterdir())
    assert size <= 200_000
    assert 300 <= sum(len(t.rows or ()) for t in TABLES.values()) <= 1500
    assert {kind.name for t in TABLES.values() if (kind := kind_of(t.columns, PREDICTED))} >= {
        "op_gemm",
        "op_quantize",
        "op_moe",
        "op_mla",
        "op_attn_context",
        "op_attn_generation",
        "op_comm",
        "op_moe_a2a",
        "e2e_silicon",
        "e2e_published",
    }


def test_sources_are_stated() -> None:
    text = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert "Apache License 2.0" in text
    assert "aiconfigurator-core 0.12.0" in text
    for table in TABLES.values():
        assert table.rows
        if "source" in table.columns:
            assert all(row["source"] for row in table.rows)


@pytest.mark.parametrize(
    "rule", [r for r in RULES if r.unseen is not None], ids=lambda rule: rule.stem
)
def test_no_fit_saw_the_operator_rows(rule: object) -> None:
    rows = TABLES[rule.stem].rows or ()
    assert rows
    assert all(is_held_out(rule.unseen(row)) for row in rows)


def test_the_rule_takes_the_smallest_digests_whatever_the_order() -> None:
    rule = rule_of("op_moe")
    assert rule is not None
    rows = tuple(
        {"device": "d", "software": "s", "kernel": "k", "moe_dtype": "f", "num_tokens": str(n)}
        for n in range(50)
    )
    table = MeasuredTable("op_moe", tuple(rows[0]), rows)
    turned = MeasuredTable("op_moe", tuple(rows[0]), rows[::-1])
    found = sample_rows(table, rule)
    assert len(found) == rule.each
    assert sorted(r["num_tokens"] for r in found) == sorted(
        r["num_tokens"] for r in sample_rows(turned, rule)
    )
    marked = tuple({**row, "exclude": "why"} for row in rows)
    assert sample_rows(MeasuredTable("op_moe", (*rows[0], "exclude"), marked), rule) == []


def test_writing_again_is_a_subset(tmp_path: Path) -> None:
    counts = write_sample(SAMPLE, tmp_path)
    for name, table in TABLES.items():
        again = next(t for t in read_directory(tmp_path) if t.name == name)
        assert len(again.rows or ()) == counts[name]
        assert again.rows == table.rows


def test_validate_reads_it_by_default_and_by_stem() -> None:
    report = validate(only="op_gemm,op_comm")
    assert {g.table for g in report.groups} == {"op_gemm", "op_comm"}
    gemm = [o for o in report.outcomes if o.table == "op_gemm" and o.regime == "held-out"]
    errors = sorted(abs(o.error_percent) for o in gemm)
    assert len(errors) >= 100
    assert errors[len(errors) // 2] < 9
    stem = validate(only="e2e_jetson_older")
    assert {g.table for g in stem.groups} == {"e2e_jetson_older"}


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(UnknownNameError) as caught:
        validate(only="op_gem")
    assert "op_gemm" in caught.value.hint
