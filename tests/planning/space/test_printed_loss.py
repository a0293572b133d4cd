"""Losses as they are told: the floor of any change, limits on the sum, what is called equal."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.questions import model_of

from planner import estimate, plan
from planner.base.errors import InfeasibleError
from planner.planning.solver.problem import Problem, Row
from planner.planning.solver.solve import solve
from planner.planning.space.loss_basis import ALIKE_KEY, FLOOR_KEY, alike_formats
from planner.planning.space.losses import (
    additive_loss,
    band_factor,
    grown_loss,
    saturated_loss,
    uniform_loss,
)
from planner.planning.space.model import CostModel
from planner.planning.space.printed_loss import (
    equal_up_to,
    indistinguishable,
    limit_text,
    quality,
)
from planner.quality.floor import floor_of

DENSE, ROUTED, H100 = "llama-3.1-8b", "mixtral-8x7b", "h100-sxm"
NATS = st.floats(1e-9, 3.0)


@cache
def model(name: str = DENSE) -> CostModel:
    return model_of(name)


@given(NATS, st.floats(0.01, 1.0), st.sampled_from([DENSE, ROUTED]))
def test_what_was_never_measured_is_known_less_well(total: float, share: float, name: str) -> None:
    sure, guessed = (quality(model(name), total, share * total * k) for k in (0.0, 1.0))
    assert guessed.loss == sure.loss
    assert guessed.low < sure.low
    assert guessed.high > sure.high


@given(NATS, st.sampled_from([DENSE, ROUTED]))
def test_a_loss_is_the_floor_and_what_grows(total: float, name: str) -> None:
    floor = model(name).floor
    told = quality(model(name), total)
    assert told.loss == floor.value_nats + grown_loss(model(name), total)
    assert told.floor == floor.value_nats > 0
    assert floor.low_nats <= told.low <= told.loss <= told.high
    assert told.high >= floor.high_nats + grown_loss(model(name), total)


def test_what_is_not_changed_loses_nothing() -> None:
    told = quality(model(), 0.0)
    assert (told.loss, told.low, told.high, told.floor) == (0, 0, 0, 0)


@given(NATS, st.floats(0.0, 4.0))
def test_a_limit_holds_for_what_is_told(total: float, limit: float) -> None:
    """Sums up to that of a limit are those whose loss keeps it, and no other."""
    most = additive_loss(model(), limit)
    told = saturated_loss(model(), total)
    if abs(told - limit) > 1e-9:
        assert (total <= most) == (told <= limit)
    assert saturated_loss(model(), most) <= limit * (1 + 1e-9) + 1e-15


def test_below_the_floor_only_what_is_released_keeps_a_limit() -> None:
    floor = model().floor.value_nats
    assert additive_loss(model(), 0.9 * floor) == 0.0
    assert additive_loss(model(), floor) == 0.0
    assert additive_loss(model(), 1.1 * floor) > 0.0
    assert saturated_loss(model(), 0.0) == 0.0
    assert "floor" in str(limit_text(model(), 0.0))
    assert limit_text(model(), 0.01) == f"{saturated_loss(model(), 0.01):.3g}"


@given(NATS, NATS)
def test_losses_within_the_band_or_the_floor_are_equal(first: float, second: float) -> None:
    low, high = sorted((first, second))
    floor = model(ROUTED).floor.value_nats
    nearer = saturated_loss(model(ROUTED), high) - saturated_loss(model(ROUTED), low) < floor
    inside = high <= low * band_factor(model(ROUTED))
    if abs(high - equal_up_to(model(ROUTED), low)) > 1e-9:
        assert indistinguishable(model(ROUTED), first, second) == (nearer or inside)


def test_nothing_is_equal_to_an_unchanged_release() -> None:
    assert indistinguishable(model(), 0.0, 0.0)
    assert not indistinguishable(model(), 0.0, 1e-6)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_search_on_sums_finds_the_best_of_what_is_told(data: st.DataObject) -> None:
    """Against brute force: every assignment told with its floor, those within the limit, the best.

    The floor comes with any change, so that the problem on sums (whose limit is reduced by it, to
    0 where it is not above it) has the same optimum.
    """
    units, options = 4, 3
    draw = st.floats(0.0, 0.01)
    lost = np.array(
        [[0.0, *(data.draw(draw) + 1e-6 for _ in range(options - 1))] for _ in range(units)]
    )
    cost = np.array(
        [[data.draw(st.integers(1, 50)) for _ in range(options)] for _ in range(units)], dtype=float
    )
    limit = data.draw(st.floats(0.0, 0.03))
    feasible = [
        (sum(cost[u, o] for u, o in enumerate(picks)))
        for picks in itertools.product(range(options), repeat=units)
        if saturated_loss(model(), float(sum(lost[u, o] for u, o in enumerate(picks))))
        <= limit * (1 + 1e-9)
    ]
    found = best_of(cost, lost, additive_loss(model(), limit))
    assert found == pytest.approx(min(feasible))


def best_of(cost: np.ndarray, lost: np.ndarray, limit: float) -> float:
    """The optimum of the problem on sums, solved."""
    problem = Problem(
        objective=cost,
        legal=np.ones(cost.shape, dtype=bool),
        multiplicity=np.ones(len(cost), dtype=np.int64),
        rows=(Row("max-loss", lost, limit),),
        constant=0.0,
    )
    return float(solve(problem).value)


def test_formats_of_eight_bits_that_the_floor_hides() -> None:
    names = alike_formats(model(ROUTED))
    assert {"fp8-block", "fp8-channel", "int8-w8a8"} <= set(names)
    losses = [uniform_loss(model(ROUTED), name) for name in names]
    assert losses == sorted(losses)
    assert losses[-1] - losses[0] < model(ROUTED).floor.value_nats
    assert alike_formats(model_of(ROUTED, schemes=("fp8-block", "int4-w4a16"))) == ()


def test_an_estimate_tells_the_floor_and_the_release_loses_nothing() -> None:
    released = estimate("deepseek-v3", "h200-sxm", devices=8, engine="sglang", kv="bf16")
    assert (released.quality.loss, released.quality.floor) == (0, 0)
    changed = estimate(DENSE, H100, scheme="fp8-block", engine="vllm", kv="bf16")
    assert changed.quality.floor == floor_of(model().question.spec).value_nats
    grown = sum(u.loss for u in changed.units)
    assert changed.quality.loss == pytest.approx(grown + changed.quality.floor)
    assert any(a.key == FLOOR_KEY for a in changed.assumptions)
    cached = estimate(DENSE, H100, engine="vllm", kv="fp8")
    assert cached.quality.loss > cached.quality.floor > 0


def test_a_limit_in_nats_includes_the_floor_and_a_scheme_its_own() -> None:
    by_scheme = plan(DENSE, H100, engine="vllm", max_loss="fp8-block", objective="memory")
    same = quality(model(), uniform_loss(model(), "fp8-block")).loss
    assert by_scheme.quality.loss <= same * (1 + 1e-9)
    by_number = plan(DENSE, H100, engine="vllm", max_loss=same, objective="memory")
    assert by_number.quality.loss == pytest.approx(by_scheme.quality.loss)
    assert any(a.key == ALIKE_KEY for a in by_number.assumptions)
    below = plan(DENSE, H100, engine="vllm", max_loss=0.0005, objective="memory")
    assert below.quality.loss == 0


def test_a_limit_below_the_floor_that_excludes_all_says_so_and_its_hint_works() -> None:
    asked = {"devices": 1, "engine": "vllm"}
    with pytest.raises(InfeasibleError, match="floor of any change") as caught:
        plan("qwen3-30b-a3b", "rtx-4090", max_loss=0.0003, **asked)
    limit = caught.value.hint.rpartition("--max-loss ")[2].split()[0]
    assert plan("qwen3-30b-a3b", "rtx-4090", max_loss=limit, **asked).quality.floor > 0
