"""What served deployments say of an answer: of its very kind, of the nearest one, or nothing."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
from support.questions import found_of

import planner
from benchmarks.evidence import as_csv, residuals
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme
from planner.hardware.catalog import list_devices
from planner.lab.validation.records import Outcome
from planner.lookup import load_device
from planner.placement.deployment_kinds import CONCURRENCY_RANGES, LAYOUT_CLASSES
from planner.planning.price import intervals
from planner.planning.price.evidence import (
    FEWEST,
    METRICS,
    NONE,
    NOTHING,
    PUBLISHED,
    RECIPE,
    evidence,
    served_residuals,
)
from planner.planning.price.kinds import ServedKind
from planner.planning.price.price import price
from tests.support import theory


def kind_with_rows(metric: str = "tpot") -> ServedKind:
    """A kind of which enough rows were compared."""
    return next(
        r.kind
        for r in served_residuals()
        if r.metric == metric and len(r.residuals) >= FEWEST and r.table.startswith("e2e_silicon")
    )


def test_lines_are_of_known_kinds() -> None:
    lines, known = served_residuals(), {device.id for device in list_devices([])}
    assert len(lines) > 200
    for line in lines:
        kind = line.kind
        assert line.metric in METRICS
        assert kind.device in known
        assert load_device(kind.device).architecture == kind.architecture
        assert scheme(kind.precision).id == kind.precision
        assert kind.cache in KV_LAYOUTS
        assert kind.model in ("dense", "moe", "mla", "compressed")
        assert kind.layout in LAYOUT_CLASSES
        assert kind.requests in CONCURRENCY_RANGES
        assert len(line.residuals) == len(line.operators) > 0
        assert all(abs(x) < 5 for x in line.residuals)
        assert all(0 <= x < 2 for x in line.operators)


def test_a_kind_with_rows_is_measured() -> None:
    kind = kind_with_rows()
    found = evidence(kind, "tpot")
    rows = [
        100 * (exp(-x) - 1)
        for r in served_residuals()
        if r.metric == "tpot" and r.kind == kind
        for x in r.residuals
    ]
    assert found.level == "measured"
    assert found.n == len(rows)
    assert found.median_ape == pytest.approx(median(map(abs, rows)), abs=0.05)
    assert found.signed == pytest.approx(median(rows), abs=0.05)
    assert found.kind.startswith(f"{kind.engine}, {kind.device}, {kind.model}, {kind.layout}")
    assert found.table


def test_the_nearest_kind_is_named() -> None:
    kind = kind_with_rows()
    other = next(
        name
        for name in CONCURRENCY_RANGES
        if evidence(replace(kind, requests=name), "tpot").level != "measured"
    )
    found = evidence(replace(kind, requests=other), "tpot")
    assert found.level == "related"
    assert found.kind.split(", ")[-1] not in CONCURRENCY_RANGES
    assert kind.device in found.kind


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "llama.cpp"},
        {"layout": "pp"},
        {"layout": "offload"},
        {"model": "compressed"},
        {"architecture": "CDNA3", "device": "mi300x"},
        {"cache": "int8-token"},
    ],
)
def test_nothing_is_borrowed_across_engines_layouts_and_architectures(change: Any) -> None:
    found = evidence(replace(kind_with_rows(), **change), "tpot")
    assert (found.level, found.kind, found.n, found.median_ape) == ("none", NOTHING, 0, None)


def test_no_engine_in_particular_takes_the_rows_of_all() -> None:
    kind = replace(kind_with_rows(), engine="any")
    found = evidence(kind, "tpot")
    assert found.level == "related"
    assert "any" not in found.kind.split(", ")


def test_a_plan_quotes_its_kind() -> None:
    plan = theory.estimate(
        "llama-3.1-70b",
        "h200-sxm",
        scheme="fp8-tensor",
        devices=8,
        tp=8,
        batch=16,
        isl=1024,
        osl=1024,
    )
    perf = plan.performance
    step = perf.tpot_seconds.evidence
    assert step is not None
    assert step.level == "related"
    assert step.kind.startswith("h200-sxm, dense, tp, fp8-tensor")
    rate = perf.output_tokens_per_second.evidence
    assert rate is not None
    assert rate == perf.output_tokens_per_second_per_device.evidence
    assert planner.read_plan(plan.to_dict()) == plan


def test_no_plan_with_weights_in_host_memory_was_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_of()
    priced = price(found.space, found.candidate, found.segments)
    model = found.space.model
    offload: Any = SimpleNamespace(host=load_device("xeon-6980p"), assumed_sigma=0.0)
    away = replace(model, question=replace(model.question, offload=offload))
    monkeypatch.setattr(intervals, "evidence_here", lambda _, kind, metric: (kind.layout, metric))
    for measured, layout in ((model, "tp"), (away, "offload")):
        perf = intervals.performance(measured, priced, 1)
        assert perf.tpot_seconds.evidence == (layout, "tpot")
        assert perf.ttft_seconds.evidence == (layout, "ttft")


def test_the_script_takes_headline_rows_of_a_kind_alone() -> None:
    kind = kind_with_rows()

    def row(error: float, **figures: Any) -> Outcome:
        blank: dict[str, Any] = {"regime": "aggregated", "metric": "tpot", "kind": kind}
        return Outcome(
            table="e2e_x",
            row=0,
            device="h100-sxm",
            software="vllm",
            model="llama-3.1-8b",
            format="bf16",
            measured=exp(error),
            predicted=1.0,
            operators=0.05,
            **{**blank, **figures},
        )

    rows = [
        row(0.1),
        row(-0.2),
        row(9.0, regime="excluded: why"),
        row(9.0, kind=None),
        row(9.0, metric="prefill_time"),
        row(0.3, metric="decode_tokens_per_second"),
        row(0.5, metric="output_tokens_per_second"),
    ]
    each, rate = sorted(residuals(rows), key=lambda r: -len(r.residuals))
    assert each.residuals == pytest.approx((0.1, -0.2, -0.3))
    assert each.operators == (0.05, 0.05, 0.05)
    assert rate.metric == "throughput"
    assert rate.residuals == pytest.approx((0.5,))
    head, *lines = as_csv([each, rate]).splitlines()
    assert head.split(",")[:2] == ["metric", "engine"]
    assert lines[0].endswith("0.100 -0.200 -0.300,0.050 0.050 0.050")


def test_prompts_of_one_user_are_times_to_the_first_token() -> None:
    """A slower prompt than predicted is a longer TTFT; where requests queue it tells nothing."""
    kind = replace(kind_with_rows(), engine="llama.cpp")

    def row(regime: str, table: str = "llamabench_x") -> Outcome:
        return Outcome(
            table=table,
            row=0,
            metric="prefill_tokens_per_second",
            device="strix-halo",
            software="llama.cpp",
            model="llama-3.1-8b",
            format="bf16",
            regime=regime,
            measured=exp(-0.3),
            predicted=1.0,
            kind=kind,
            operators=0.1,
        )

    (found,) = residuals([row("one user"), row("window"), row("one user", "e2e_community")])
    assert found.metric == "ttft"
    assert found.residuals == pytest.approx((0.3,))


def test_what_others_publish_of_a_kind_is_said_where_nobody_served_it() -> None:
    """One function says it of a plan that is chosen and of one that is priced."""
    given: dict[str, Any] = {"devices": 1, "engine": "sglang", "batch": 8, "context": 4096}
    chosen = planner.estimate("qwen3-14b", "h100-sxm", scheme="fp8-block", **given)
    known = chosen.performance.tpot_seconds.evidence
    assert known is not None
    assert (known.level, known.kind, known.n) == (RECIPE, PUBLISHED, 0)
    other = planner.estimate("qwen3-14b", "h100-sxm", scheme="int8-w8a8", **given)
    assert other.performance.tpot_seconds.evidence.level == NONE  # type: ignore[union-attr]
