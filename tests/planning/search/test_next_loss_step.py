"""What 4-bit weights would buy: within the limits of time and memory, a mix at no more loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.search_sums import search_sums

from planner.planning.price.price import fits, price
from planner.planning.question.input import QuestionInput
from planner.planning.search import next_loss_step
from planner.planning.search.formulate import loss_limit
from planner.planning.search.next_loss_step import GAIN, MILDER, NEAR, SLOWER, four_bit
from planner.planning.search.question_search import spaces_of
from planner.planning.search.rivals import is_four_bit, loss_of, placed_in
from planner.planning.search.uniform import PlacedUniform, placed_choice
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor

LIMIT = 0.05


def asked(model: str, device: str, **more: object) -> tuple[list[Space], float]:
    spaces = spaces_of(
        QuestionInput(
            model=model, device=device, engine="vllm", context=8192, tpot_seconds=LIMIT, **more
        ).questions()
    )  # type: ignore[arg-type]
    model_of = spaces[0].model
    limit = loss_limit(model_of)
    assert limit is not None
    return spaces, limit * band_factor(model_of)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("model", "device", "more"),
    [
        ("llama-3.1-8b", "l40s", {}),
        ("deepseek-v3", "h200-sxm", {"devices": 8}),
        ("qwen3-30b-a3b", "l40s", {}),
        ("llama-3.1-70b", "h100-sxm", {"devices": 2}),
    ],
)
def test_both_plans_keep_the_limits_and_the_mix_pays_at_no_more_loss(
    model: str, device: str, more: dict[str, object]
) -> None:
    spaces, allowed = asked(model, device, **more)
    found = four_bit(spaces, allowed=allowed)
    assert found.uniform is not None
    assert any(map(is_four_bit, found.uniform.schemes))
    fastest = min(
        one.score for one in placed_in(tuple(spaces), allowed) if is_four_bit(one.wanted.scheme)
    )
    assert found.uniform.result.value <= fastest * (1 + NEAR) * (1 + 1e-9)
    for one in filter(None, (found.uniform, found.mix)):
        place = one.result
        priced = price(place.space, place.candidate, place.segments)
        assert fits(place.space, place.candidate, priced)
        sums = search_sums(place.space, place.candidate, place.segments)
        assert sums.tpot <= LIMIT * (1 + 1e-8)
        assert loss_of(place.space.model, place.segments) > allowed
    if found.mix is not None:
        share = loss_of(found.mix.result.space.model, found.mix.result.segments) / loss_of(
            found.uniform.result.space.model, found.uniform.result.segments
        )
        ratio = found.mix.result.value / found.uniform.result.value
        assert (ratio <= 1 - GAIN and share <= 1 + 1e-8) or (
            ratio <= 1 + SLOWER + 1e-8 and share <= MILDER * (1 + 1e-8)
        )
        assert any(map(is_four_bit, found.mix.schemes))


def test_a_limit_that_4_bit_weights_keep_is_no_step_further() -> None:
    spaces, allowed = asked("llama-3.1-8b", "l40s")
    found = four_bit(spaces, allowed=1000 * allowed)
    assert found.uniform is None
    assert found.reason == "4-bit weights are within the limit on loss"


def test_where_no_4_bit_format_is_served_a_reason_says_so() -> None:
    spaces, allowed = asked("llama-3.1-8b", "l40s", schemes=("bf16", "fp8-tensor"))
    found = four_bit(spaces, allowed=allowed)
    assert found.uniform is None
    assert found.reason == "no 4-bit format is served here"


def test_a_release_in_4_bits_has_no_step_further() -> None:
    spaces, allowed = asked("gpt-oss-120b", "h100-sxm")
    assert four_bit(spaces, allowed=allowed).reason == "the weights are released in 4 bits"


def test_a_mix_that_is_no_faster_on_its_best_candidate_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the solver promised on the one where it began."""
    spaces, allowed = asked("llama-3.1-8b", "l40s")
    moved: list[float] = []

    def slower(space: Space, choice: NDArray[np.int64]) -> PlacedUniform | None:
        one = placed_choice(space, choice)
        moved.append(0.0 if one is None else one.score)
        return one and replace(one, score=1e9)

    monkeypatch.setattr(next_loss_step, "placed_choice", slower)
    monkeypatch.setattr(next_loss_step, "_milder", lambda *_: None)
    found = four_bit(spaces, allowed=allowed)
    assert moved
    assert found.uniform is not None
    assert found.mix is None


def test_a_milder_mix_is_asked_to_be_hardly_slower_and_clearly_milder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spaces, allowed = asked("llama-3.1-8b", "h100-sxm", objective="latency")
    posed: list[tuple[float | None, float]] = []

    def nothing(space: Space, c: int, most: int, bound: float) -> None:
        posed.append((space.model.question.tpot_seconds, bound))

    monkeypatch.setattr(next_loss_step, "_mix", lambda *_: None)
    monkeypatch.setattr(next_loss_step, "best_on", nothing)
    found = four_bit(spaces, allowed=allowed)
    assert found.uniform is not None
    place = found.uniform.result
    tpot = search_sums(place.space, place.candidate, place.segments).tpot
    ((asked_seconds, bound),) = posed
    assert asked_seconds == pytest.approx(tpot * (1 + SLOWER))
    assert tpot * (1 + SLOWER) < LIMIT
    assert bound == pytest.approx(MILDER * loss_of(place.space.model, place.segments))


def test_a_mix_is_asked_to_be_faster_by_what_is_worth_telling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spaces, allowed = asked("llama-3.1-8b", "h100-sxm")
    cutoffs: list[float] = []

    def nothing(space: Space, c: int, most: int, cutoff: float) -> None:
        cutoffs.append(cutoff)

    monkeypatch.setattr(next_loss_step, "_milder", lambda *_: None)
    monkeypatch.setattr(next_loss_step, "best_on", nothing)
    found = four_bit(spaces, allowed=allowed)
    assert found.uniform is not None
    assert cutoffs
    assert cutoffs == pytest.approx([found.uniform.result.value * (1 - GAIN)] * len(cutoffs))
