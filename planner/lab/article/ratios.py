"""Ratios of two uniform plans with an interval: what both are wrong by in common cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from planner.base.errors import InfeasibleError
from planner.lab.article.record import Basis, Figure
from planner.planning.choose.chances import interval, objective_draws
from planner.planning.choose.uncertainty import device_seconds, uncertain_objective
from planner.planning.inspect.priced_input import price_uniform
from planner.planning.price.intervals import step_spread
from planner.planning.price.price import Priced, price
from planner.planning.question.input import QuestionInput
from planner.planning.question.named import MIXES
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.spaces import grid_space
from planner.planning.search.uniform import PlacedUniform, UniformQuery, placed_uniforms
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

TIMES: tuple[Basis, ...] = ("fitted", "transferred", "prior")
"""What times rest on, the surest first."""
Pair = tuple[str, str]
"""A scheme, or a mixture by name, and a cache layout."""


def time_ratio(
    name: str,
    first: Pair,
    other: Pair,
    *,
    latency: bool = False,
    engine: str = "any",
    **question: Any,
) -> Figure:
    """The time a token of ``first`` over that of ``other``: device-seconds, or TPOT for
    ``latency``. Each is on its own best batch and layout where ``question``, parameters of
    :func:`planner.estimate`, leaves them open. Without an ``engine`` by the device alone, as the
    article speaks of formats; without a limit on time.

    Raises:
        InfeasibleError: one of them does not fit.
    """
    inputs = QuestionInput(engine=engine, tpot_seconds="none", **question)
    placed: Sequence[PlacedUniform | SearchResult] = (
        _mixed(inputs, first, other)
        if {first[0], other[0]} & MIXES.keys()
        else [price_uniform(replace(inputs, kv=kv), scheme) for scheme, kv in (first, other)]
    )
    prices = [price(at.space, at.candidate, at.segments) for at in placed]
    plans = [
        uncertain_objective(at.space, p, p.tpot if latency else device_seconds(p))
        for at, p in zip(placed, prices, strict=True)
    ]
    drawn = objective_draws(plans)
    low, high = interval(drawn[0] / drawn[1])
    return Figure(name, plans[0].value / plans[1].value, "×", _basis(placed, prices), low, high)


def _mixed(inputs: QuestionInput, *pairs: Pair) -> tuple[PlacedUniform, ...]:
    """Named mixtures, and what they are compared with, on the candidates of one question.

    Raises:
        InfeasibleError: one of them does not fit.
    """
    schemes = dict.fromkeys(s for scheme, _ in pairs for s in MIXES.get(scheme, (scheme,)))
    caches = dict.fromkeys(kv for _, kv in pairs)
    given_values = replace(inputs.given_values, schemes=tuple(schemes), kv=next(iter(caches)))
    question = replace(inputs.ways(given_values)[0], kv=tuple(caches))
    space = grid_space(build_model(question, load_prior()))
    placed = (
        ()
        if space is None
        else placed_uniforms([(space, [UniformQuery(*pair, limits=False) for pair in pairs])])
    )
    if len(placed) < len(pairs):
        raise InfeasibleError(
            f"{' or '.join(scheme for scheme, _ in pairs)} does not fit",
            hint="ask for more devices",
        )
    return placed


def _basis(placed: Sequence[PlacedUniform | SearchResult], prices: Sequence[Priced]) -> Basis:
    """The weaker of both."""
    bases = [
        basis_of(step_spread(at.space.model, p).basis) for at, p in zip(placed, prices, strict=True)
    ]
    return max(bases, key=TIMES.index)


def basis_of(name: str) -> Basis:
    """The basis of a time, by name."""
    return TIMES[[str(time) for time in TIMES].index(name)]
