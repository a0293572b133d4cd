"""One step of loss further down: what 4-bit weights would buy on this device.

The fastest uniform 4-bit plan within the limits of time and memory, whatever it loses, and the best
plan of few formats with 4-bit weights that loses no more: a faster one, else one that is about as
fast and loses clearly less. The former of these is improved in turns, its assignment on one
candidate and the best candidate for the assignment: nothing is proved of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.base.records import cached_record
from planner.planning.plan.names import MIX_WITH_4_BIT
from planner.planning.price.price import price
from planner.planning.question.question import TIMED
from planner.planning.search.candidate_problem import options_of
from planner.planning.search.format_frontier import MOST
from planner.planning.search.format_subsets import best_on, changed_schemes
from planner.planning.search.formulate import score_scale
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.paces import limited_step
from planner.planning.search.rivals import (
    Rival,
    as_result,
    is_four_bit,
    loss_of,
    placed_in,
    rival_of,
    stored_schemes,
    uniform_name,
    uniform_names,
)
from planner.planning.search.spaces import with_question
from planner.planning.search.uniform import (
    PlacedUniform,
    placed_choice,
)
from planner.planning.space.candidates import Space

TURNS = 2
NEAR = 0.01
"""Of uniform plans within this share of the fastest, the least lossy is taken."""
GAIN = 0.01
"""What a mix must be faster by than the uniform plan, to be told."""
SLOWER, MILDER = 0.03, 0.75
"""Else by how much it may be slower, and which share of the loss it may have at the most."""


@cached_record
class FourBit:
    """The uniform plan, and the mix that is faster at no more loss, or about as fast at clearly
    less; None with ``reason`` where there is none."""

    uniform: Rival | None
    mix: Rival | None
    reason: str = ""


def four_bit(spaces: Sequence[Space], *, allowed: float | None) -> FourBit:
    """What 4-bit weights would buy over ``spaces``; ``allowed`` is the limit on the summed loss, in
    which uniform 4-bit weights would be no step further."""
    if any(is_four_bit(name) for space in spaces for name in stored_schemes(space.model)):
        return FourBit(None, None, "the weights are released in 4 bits")
    placed = [
        placed_uniform
        for placed_uniform in placed_in(tuple(spaces), allowed)
        if is_four_bit(placed_uniform.wanted.scheme)
    ]
    names = {name for space in spaces for name in uniform_names(space.model) if is_four_bit(name)}
    if not placed:
        why = (
            "not within the limits of time and memory"
            if names
            else "no 4-bit format is served here"
        )
        return FourBit(None, None, why)
    least = min(placed_uniform.score for placed_uniform in placed)
    near = [
        placed_uniform for placed_uniform in placed if placed_uniform.score <= least * (1 + NEAR)
    ]
    best = min(
        near,
        key=lambda placed_uniform: loss_of(placed_uniform.space.model, placed_uniform.segments),
    )
    loss = loss_of(best.space.model, best.segments)
    if allowed is not None and loss <= allowed:
        return FourBit(None, None, "4-bit weights are within the limit on loss")
    uniform = rival_of(uniform_name(best), "uniform", as_result(best))
    mix = _mix(spaces, placed, as_result(best), loss) or _milder(best, loss)
    if mix is not None and allowed is not None:
        # Within the limit it is no step further: the search has one that is as good.
        mix = mix if loss_of(mix.space.model, mix.segments) > allowed else None
    return FourBit(uniform, None if mix is None else rival_of(MIX_WITH_4_BIT, "formats", mix))


def _mix(
    spaces: Sequence[Space],
    placed: Sequence[PlacedUniform],
    uniform: SearchResult,
    loss: float,
) -> SearchResult | None:
    """The best plan of few formats that loses at most ``loss``, by GAIN better than ``uniform``:
    begun on the best candidate that a uniform plan has in each space."""
    best, result = uniform.value * (1 - GAIN), None
    for space in spaces:
        mine = [
            placed_uniform
            for placed_uniform in placed
            if placed_uniform.space.model.choices == space.model.choices
            and placed_uniform.space.model.question.kv == space.model.question.kv
            and placed_uniform.space.model.question.engine == space.model.question.engine
        ]
        if not mine:
            continue
        start = min(mine, key=lambda placed_uniform: placed_uniform.score)
        here, c = start.space, start.candidate
        for _ in range(TURNS):
            solved = best_on(_limited(here, loss), c, MOST, best)
            if solved is None:
                break
            candidate, solution = solved
            choice = candidate.space.model.decided.unit_choices(options_of(solution.counts))
            moved = placed_choice(space, np.array(choice, dtype=np.int64))
            if moved is None or moved.score >= best:
                break
            result, best = as_result(moved), moved.score
            here, c = moved.space, moved.candidate
    if result is None or not any(
        is_four_bit(name) for name in changed_schemes(result.space.model, result.segments)
    ):
        return None
    return result


def _milder(uniform: PlacedUniform, loss: float) -> SearchResult | None:
    """Where no mix is faster, the least lossy one on the candidate of the uniform plan that is no
    slower than that by more than SLOWER, if it loses MILDER of ``loss`` or less."""
    space, c, question = uniform.space, uniform.candidate, uniform.space.model.question
    if question.objective not in TIMED:
        return None
    scale = float(score_scale(space)[c])
    most = limited_step(space, c, uniform.segments) * float(space.tpot_pace[c]) * (1 + SLOWER)
    limit = question.tpot_seconds
    least = _limited(
        with_question(
            space, objective="quality", tpot_seconds=most if limit is None else min(most, limit)
        ),
        loss,
    )
    solved = best_on(least, c, MOST, loss * MILDER)
    if solved is None:
        return None
    candidate, solution = solved
    segments = candidate.segments(solution)
    if not any(map(is_four_bit, changed_schemes(space.model, segments))):
        return None
    score = price(space, c, segments).added * scale
    return as_result(PlacedUniform(uniform.wanted, space, c, segments, score))


def _limited(space: Space, loss: float) -> Space:
    """``space`` under that limit on loss, its layers tied."""
    return with_question(space, loss_scheme=None, loss_limit=loss, untie=False)
