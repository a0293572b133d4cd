"""What kinds of served deployments are off by: other models, like kinds, kinds left out."""

from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.left_out_kinds import costs as costs_of
from planner.placement.deployment_kinds import CONCURRENCY_RANGES
from planner.planning.price import measured_errors
from planner.planning.price.evidence import METRICS, Residuals, served_residuals
from planner.planning.price.kinds import ServedKind
from planner.planning.price.measured_errors import (
    LEAST,
    OTHER_BUILD,
    PROMPT,
    Z80,
    common_sigmas,
    needed,
    ordered,
    unmeasured_sigmas,
    weighted,
)

KIND = ServedKind("vllm", "Hopper", "h100-sxm", "dense", "tp", "bf16", "bf16", "9-32")


def line(kind: ServedKind, model: str, *residuals: float) -> Residuals:
    return Residuals("tpot", kind, model, "e2e_silicon", residuals, (0.0,) * len(residuals))


def test_a_row_needs_what_operators_leave() -> None:
    assert needed(0.1 * Z80, 0.06) == pytest.approx(0.08)
    assert needed(-0.1 * Z80, 0.06) == pytest.approx(0.08)
    assert needed(0.01, 0.06) == LEAST


def test_four_of_five_rows_lie_inside() -> None:
    rows = ordered([line(KIND, "a", *(0.1 * i * Z80 for i in range(1, 11)))])
    assert weighted(rows, rows[0].features) == pytest.approx(0.8)


def test_pairs_of_engine_and_model_weigh_alike() -> None:
    many, few = line(KIND, "a", *[0.1 * Z80] * 96), line(KIND, "b", *[0.5 * Z80] * 2)
    rows = ordered([many, few])
    assert weighted(rows, rows[0].features) == pytest.approx(0.5)


def test_like_kinds_count_more() -> None:
    pools = replace(KIND, layout="pools")
    rows = ordered(
        [
            *(line(KIND, name, 0.1 * Z80) for name in "abcdef"),
            *(line(pools, name, 0.9 * Z80) for name in "ghijkl"),
        ]
    )
    (one,), (two,) = ordered([line(KIND, "x", 0.0)]), ordered([line(pools, "x", 0.0)])
    assert weighted(rows, one.features) == pytest.approx(0.1)
    assert weighted(rows, two.features) == pytest.approx(0.9)


def test_where_no_other_model_is_of_a_class_other_engines_set_the_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latent = replace(KIND, model="mla")
    lines = (
        line(latent, "a", 0.9 * Z80),
        line(replace(latent, engine="sglang"), "a", 0.5 * Z80),
        line(KIND, "b", 0.1 * Z80),
    )
    monkeypatch.setattr(measured_errors, "served_residuals", lambda: lines)
    measured_errors.forget()
    try:
        assert common_sigmas(latent, "a").tpot == pytest.approx(0.5)
        assert common_sigmas(replace(latent, engine="sglang"), "a").tpot == pytest.approx(0.9)
    finally:
        measured_errors.forget()


def test_no_row_of_a_model_sets_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (line(KIND, "a", 0.9 * Z80), *(line(KIND, m, 0.1 * Z80) for m in "bc"))
    monkeypatch.setattr(measured_errors, "served_residuals", lambda: lines)
    measured_errors.forget()
    try:
        assert common_sigmas(KIND, "a").tpot == pytest.approx(0.1)
        assert common_sigmas(KIND, "another").tpot == pytest.approx(0.9)
    finally:
        measured_errors.forget()


@pytest.mark.parametrize("requests", CONCURRENCY_RANGES)
def test_every_kind_has_a_width(requests: str) -> None:
    for layout in ("tp", "pools"):
        found = common_sigmas(replace(KIND, layout=layout, requests=requests), "llama-3.1-8b")
        assert all(LEAST <= sigma < 4 for sigma in (found.tpot, found.ttft, found.throughput))


def test_what_was_measured_is_not_widened() -> None:
    kind = max(
        (r for r in served_residuals() if r.metric == "ttft"), key=lambda r: len(r.residuals)
    ).kind
    found = unmeasured_sigmas(kind)
    assert (found.tpot, found.ttft, found.throughput) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "llama.cpp"},
        {"engine": "pytorch"},
        {"layout": "offload"},
        {"layout": "pp"},
        {"cache": "int8-token"},
        {"architecture": "CDNA3", "device": "mi300x"},
        {"model": "compressed"},
    ],
)
def test_what_was_not_measured_is_widened(change: dict[str, str]) -> None:
    found = unmeasured_sigmas(replace(KIND, **({"device": "h200-sxm"} | change)))
    assert min(found.tpot, found.ttft, found.throughput) > 0.02


def test_prompts_without_a_queue_are_not_as_wide_as_queues() -> None:
    """An engine whose prompts were measured with one user is not widened by what not knowing the
    queue of another costs, but by no less than another build; its other times are as before."""
    card = replace(KIND, architecture="Ada", device="rtx-4090", requests="1-8")
    known, other = (unmeasured_sigmas(replace(card, engine=e)) for e in ("llama.cpp", "pytorch"))
    costs = measured_errors._costs()
    widest = max(costs[PROMPT, key, "*"] for key in ("architecture", "model"))
    assert known.ttft == max(widest, OTHER_BUILD)
    assert known.ttft < 0.6 < other.ttft
    assert known.tpot == other.tpot


def test_costs_of_prompts_leave_kinds_out() -> None:
    """What MLX lacks, told by llama.cpp alone, is its cost; queued rows keep their own."""
    near, far = 0.1 * Z80, 0.5 * Z80

    def prompts(engine: str, residual: float) -> Residuals:
        kind = replace(KIND, engine=engine, requests="1-8")
        return Residuals("ttft", kind, engine, "e2e_apple", (residual,) * 8, (0.0,) * 8)

    queued = Residuals("ttft", KIND, "a", "e2e_silicon", (near,) * 8, (0.0,) * 8)
    text = costs_of([prompts("llama.cpp", near), prompts("mlx", far), queued], [queued])
    rows = [row.split(",") for row in text.splitlines()]
    told = {
        (row[0], row[1], row[2]): float(row[3]) for row in rows if len(row) > 3 and row[4] != "rows"
    }
    assert told[PROMPT, "engine", "mlx"] == pytest.approx((0.25 - 0.01) ** 0.5, abs=1e-3)
    assert told[PROMPT, "engine", "llama.cpp"] == 0.0
    assert told[PROMPT, "layout", "*"] == told[PROMPT, "engine", "*"]
    assert told["ttft", "engine", "*"] == 0.0


def test_nothing_costs_more_than_the_widest() -> None:
    costs = measured_errors._costs()
    for (metric, key, value), sigma in costs.items():
        assert metric in (*METRICS, PROMPT)
        assert 0 <= sigma <= costs[metric, key, "*"], (metric, key, value)
        assert sigma <= costs[metric, "cache", "*"]


def test_rows_are_in_the_order_of_what_they_need() -> None:
    rows = ordered(served_residuals())
    assert all(a.needs <= b.needs for a, b in pairwise(rows))
