"""Limits on loss: one that is given is kept as it is; the default counts as kept inside its band,
and where nothing keeps it, the least lossy that fits is taken."""

from typing import Any

import pytest
from support.choices import choice_of

import planner
from planner.base.errors import InfeasibleError
from planner.planning.answer.choice_notes import ABOVE_KEY
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput
from planner.planning.search.engine_search import (
    BAND_KEY,
    FLOOR_KEY,
    LOSS_KEY,
    solve_with_relaxations,
    with_loss_band,
)
from planner.planning.search.formulate import loss_limit
from planner.planning.space.losses import band_factor
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

ASKED = ("llama-3.1-8b", "h100-sxm")
HERE: dict[str, Any] = {"devices": 1, "engine": "vllm"}
NARROW: dict[str, Any] = {**HERE, "schemes": ["fp8-block"], "kv": "fp8"}
"""Above the default limit by what its cache loses, inside the band."""
FOUR_BIT: dict[str, Any] = {**HERE, "schemes": ["int4-w4a16", "nvfp4-w4a16"]}
"""Above the band."""


def default_limit(asked: dict[str, Any]) -> tuple[float, float]:
    """(the default limit on loss, the band that it is known to)."""
    model = build_model(QuestionInput(*ASKED, **asked).questions()[0], load_prior())
    limit = loss_limit(model)
    assert limit is not None
    return limit, band_factor(model)


def notes(plan: Plan) -> set[str]:
    """What is assumed of the limit on loss."""
    return {a.key for a in plan.assumptions} & {BAND_KEY, FLOOR_KEY, LOSS_KEY}


def test_what_lies_inside_the_band_of_the_default_is_an_answer() -> None:
    limit, band = default_limit(NARROW)
    found = planner.plan(*ASKED, **NARROW)
    assert notes(found) == {LOSS_KEY, BAND_KEY}
    assert limit < found.quality.loss <= limit * band
    # Nothing gives way where something is below the limit.
    free = planner.plan(*ASKED, **{**NARROW, "schemes": ["fp8-block", "bf16"]})
    assert sum(unit.loss for unit in free.units) <= limit
    assert notes(free) == {LOSS_KEY}


def test_the_optimum_knows_no_band() -> None:
    """Where nothing keeps the limit itself, there is none."""
    found = planner.plan(*ASKED, exact=True, **NARROW)
    assert notes(found) == {FLOOR_KEY}
    assert planner.plan(*ASKED, exact=True, max_loss="none", **NARROW).units == found.units


@pytest.mark.parametrize("exact", [False, True])
def test_a_limit_that_is_given_is_kept_as_it_is(exact: bool) -> None:
    loss = planner.plan(*ASKED, **NARROW).quality.loss
    for limit in ("fp8-block", loss * 0.999):
        with pytest.raises(InfeasibleError, match="max-loss"):
            planner.plan(*ASKED, exact=exact, max_loss=limit, **NARROW)
    kept = planner.plan(*ASKED, exact=exact, max_loss=loss * 1.001, **NARROW)
    assert kept.quality.loss <= loss * 1.001
    assert notes(kept) == set()


def test_what_lies_outside_the_band_is_taken_without_the_default() -> None:
    limit, band = default_limit(FOUR_BIT)
    found = planner.plan(*ASKED, **FOUR_BIT)
    assert notes(found) == {FLOOR_KEY}
    assert found.quality.loss > limit * band
    with pytest.raises(InfeasibleError, match="max-loss"):
        planner.plan(*ASKED, max_loss="fp8-block", **FOUR_BIT)


def test_without_the_default_the_least_lossy_that_exists_is_taken() -> None:
    choice = choice_of(*ASKED, devices=1, engine="vllm", schemes=("int4-w4a16", "nvfp4-w4a16"))
    losses = [one.priced.loss for one in choice.options if not one.simple.new_weights]
    assert min(losses) < max(losses)
    base = choice.options[choice.conventional]
    assert base.priced.loss == min(losses)
    band = band_factor(base.space.model)
    assert choice.option.priced.loss <= base.priced.loss * band
    for i, one in enumerate(choice.options):
        if one.priced.loss > base.priced.loss * band:
            assert (choice.beaten[i] == 0).all(), "loses more for certain"


def test_no_limit_drops_and_widens_nothing() -> None:
    assert notes(planner.plan(*ASKED, max_loss="none", **FOUR_BIT)) == set()


def test_the_limit_is_widened_once() -> None:
    questions = QuestionInput(*ASKED, **NARROW).questions()
    found, _, asked = solve_with_relaxations(questions)
    assert found is not None
    model = found.space.model
    wide = with_loss_band(questions)
    assert [q.loss_limit for q in asked] == [q.loss_limit for q in wide]
    assert all(q.loss_widened and not q.floor_dropped for q in asked)
    limit, band = default_limit(NARROW)
    assert loss_limit(model) == pytest.approx(limit * band, rel=1e-9)
    exact, _, asked = solve_with_relaxations(questions, exact=True)
    assert exact is not None
    assert all(q.floor_dropped and not q.loss_widened for q in asked)
    strict = planner.estimate(*ASKED, devices=1, engine="vllm", scheme="fp8-block").quality
    assert limit == pytest.approx(strict.loss - strict.floor, rel=1e-3)


def test_under_quality_and_without_a_limit_nothing_is_widened() -> None:
    assert with_loss_band(QuestionInput(*ASKED, objective="quality", **NARROW).questions()) == ()
    assert with_loss_band(QuestionInput(*ASKED, max_loss="none", **NARROW).questions()) == ()


def test_a_published_deployment_above_the_default_limit_is_no_loss_inside_its_band() -> None:
    found = planner.plan("qwen3-8b", "rtx-3060-12gb")
    (told,) = (a for a in found.assumptions if a.key == ABOVE_KEY)
    assert not notes(found) & {BAND_KEY, FLOOR_KEY}
    assert "published deployment" in told.reason
    limit = float(str(told.value).rpartition(" ")[2])
    assert found.quality.loss > 5 * limit
    kept = planner.plan("qwen3-8b", "rtx-3060-12gb", max_loss="int8-w8a8")
    assert kept.quality.loss <= limit * 1.01
