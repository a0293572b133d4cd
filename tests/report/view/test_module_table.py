"""The time column adds up to TPOT as it is shown, to the last digit."""

from dataclasses import replace
from math import fsum, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import plan_of

import planner
from planner.planning.plan.record import Plan
from planner.report.phrases import phrases
from planner.report.view.module_table import (
    JOINT,
    PROMPTS,
    STAGES,
    UNSPLIT,
    decimals,
    kind_rows,
    kinds_text,
    module_table,
    other_seconds,
    shares_of_total,
)


def piped() -> Plan:
    return planner.estimate("llama-3.1-8b", "h100-sxm", devices=2, pp=2, context=8192)


@pytest.fixture(scope="module", params=[plan_of, piped], ids=["one device", "two stages"])
def plan(request: pytest.FixtureRequest) -> Plan:
    """Planned when a test needs it, not where tests are collected."""
    found: Plan = request.param()
    return found


@pytest.mark.parametrize("width", [60, 80, 200])
def test_what_is_shown_adds_up(plan: Plan, width: int) -> None:
    table = module_table(phrases("en"), plan, width)
    at = table.heads.index("ms")
    cells = [row[at] for row in table.rows]
    digits = len(cells[-1].partition(".")[2])
    tpot = plan.performance.tpot_seconds.value * 1e3
    assert cells[-1] == f"{tpot:.{digits}f}"
    assert round(fsum(map(float, cells[:-1])), 6) == float(cells[-1])
    assert digits == decimals(tpot)


def test_what_decided_and_what_bounds_are_columns_in_the_fields_words() -> None:
    plan = planner.plan("smollm2-135m", "l40s", devices=1, batch=8)
    table = module_table(phrases("en"), plan)
    assert table.heads[-2:] == ("chosen because", "bottleneck")
    rows = table.rows[: len(kind_rows(plan, 22))]
    assert {row[-1] for row in rows} <= {"compute", "memory", "launch", "network", "conversion"}
    assert "fixed" in {row[-2] for row in rows}
    chinese = module_table(phrases("zh"), plan).rows
    assert "固定" in {row[-2] for row in chinese}


@pytest.mark.parametrize("longest", [1, 22, 30])
def test_rows_and_the_rest_are_tpot(plan: Plan, longest: int) -> None:
    rows = kind_rows(plan, longest)
    others = other_seconds(plan)
    total = fsum([*(row.decode_seconds for row in rows), *(s for _, s in others)])
    assert isclose(total, plan.performance.tpot_seconds.value, rel_tol=1e-12)
    assert isclose(
        fsum(row.loss for row in rows),
        fsum(m.loss for m in plan.modules),
        rel_tol=1e-12,
        abs_tol=1e-15,
    )
    assert sum(row.weight_bytes for row in rows) == sum(m.weight_bytes for m in plan.modules)
    assert sorted((k, row.scheme) for row in rows for k in row.kinds) == sorted(
        (m.kind, m.scheme) for m in plan.modules
    )


def test_prefill_interference_has_a_row_of_its_own() -> None:
    plan = piped()
    (stages, waiting), (prompts, between) = other_seconds(plan)
    assert (stages, prompts) == (STAGES, PROMPTS)
    assert between == plan.performance.interruption_seconds
    assert waiting > 0
    assert between > 0
    assert other_seconds(plan_of())[0][0] == JOINT
    old = replace(plan, performance=replace(plan.performance, interruption_seconds=None))
    assert other_seconds(old) == [(UNSPLIT, pytest.approx(waiting + between))]


def test_kinds_of_a_row_are_told_by_their_ends() -> None:
    assert kinds_text(["experts-gate-up", "experts-down"]) == "experts-gate-up, -down"
    assert kinds_text(["mla-q", "mla-kv", "attention-out"]) == "mla-q, -kv, attention-out"
    assert kinds_text(["attention-qkv", "attention-out"]) == "attention-qkv, -out"
    assert kinds_text(["embedding", "router"]) == "embedding, router"


@given(st.lists(st.floats(-5, 900), min_size=1, max_size=20), st.integers(0, 3))
def test_rounded_parts_add_up_to_the_rounded_sum(values: list[float], digits: int) -> None:
    shown = shares_of_total(values, digits)
    unit = 10.0**-digits
    total = sum(round(float(text) / unit) for text in shown)
    assert total == round(fsum(values) / unit)
    assert all(
        abs(float(text) - value) < 1.000001 * unit
        for text, value in zip(shown, values, strict=True)
    )
