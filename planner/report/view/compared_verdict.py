"""What a comparison says to take: of each model the best device, by rate and by cost, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.planning.plan.record import Estimate
from planner.planning.what_if.compared import Compared, ComparedPlan
from planner.report.charts.compared import disjoint, formats_of
from planner.report.phrases import Phrases
from planner.report.words import NAMES


@dataclass(frozen=True, slots=True)
class ComparedMeasure:
    """What devices are compared by: ``of`` gives the figure of a row, where it is known; ``high``:
    more is better."""

    key: str
    of: Callable[[ComparedPlan], Estimate | None]
    high: bool


RATE = ComparedMeasure("rate", lambda row: row.output_tokens_per_second_per_device, True)
TIME = ComparedMeasure("time", lambda row: row.tpot_seconds, False)
COST = ComparedMeasure("cost", lambda row: row.usd_per_million_output_tokens, False)
Best = list[tuple[ComparedPlan, Estimate]]
"""Recommended plans with a figure, the best first."""


def verdict_of(comparison: Compared, model: str, say: Phrases) -> str:
    """The verdict on one model: what to take, and where."""
    taken = [
        row
        for row in comparison.rows
        if row.model == model and row.kind == "recommended" and row.feasible
    ]
    if not taken:
        return say("verdict.none", model=model)
    costs = _ranked(taken, COST)
    if comparison.objective == "cost" and costs:
        return _cheapest(say, costs, len(taken))
    first = TIME if comparison.objective == "latency" else RATE
    return _take(say, first, {first.key: _ranked(taken, first), COST.key: costs}, len(taken))


def _cheapest(say: Phrases, costs: Best, count: int) -> str:
    """What to take where by cost alone, which was asked for."""
    text = plan_named(say, costs[0][0])
    if count == 1:
        return say("take.single", plan=text)
    return say("take.one", plan=text, claim=_claim(say, COST, costs, count))


def _ranked(taken: Sequence[ComparedPlan], measure: ComparedMeasure) -> Best:
    known = [(row, value) for row in taken if (value := measure.of(row)) is not None]
    return sorted(known, key=lambda pair: pair[1].value, reverse=measure.high)


def _take(say: Phrases, first: ComparedMeasure, by: dict[str, Best], count: int) -> str:
    """What to take where, by the first measure and, where at least two costs are known, by cost."""
    fast, costs = by[first.key][0][0], by[COST.key]
    text = plan_named(say, fast)
    if count == 1:
        return say("take.single", plan=text)
    claim = _claim(say, first, by[first.key], count)
    if len(costs) < 2:
        return say("take.one", plan=text, claim=claim)
    cheap, cost = costs[0][0], _claim(say, COST, costs, count)
    if cheap == fast:
        return say("take.both", plan=text, claim=claim, cost=cost)
    if not disjoint(costs[0][1], next(usd for row, usd in costs if row == fast)):
        return say("take.one", plan=text, claim=claim)
    return say("take.two", plan=text, claim=claim, cheap=plan_named(say, cheap), cost=cost)


def _claim(say: Phrases, measure: ComparedMeasure, ranked: Best, count: int) -> str:
    """What the first is, whether that is sure, and whether of all ``count`` devices."""
    sure = all(disjoint(ranked[0][1], value) for _, value in ranked[1:])
    text = say(f"claim.{measure.key}" if sure else f"claim.{measure.key}_likely")
    return text if len(ranked) == count else say("claim.priced", claim=text)


def plan_named(say: Phrases, row: ComparedPlan) -> str:
    """A plan in words: weights, cache, devices and engine."""
    name, _, version = row.engine.partition(" ")
    return say(
        "take.plan",
        model=row.model,
        weights=weights_of(say, row),
        kv=row.kv.upper(),
        device=row.device,
        count=row.devices,
        engine=f"{NAMES.get(name, name)} {version}".rstrip(),
    )


def weights_of(say: Phrases, row: ComparedPlan) -> str:
    """The weights of a plan: their formats, and where they come from."""
    key = f"take.{WEIGHTS[row.weights]}"
    return say(key, formats=formats_of(row), checkpoint=row.checkpoint)


WEIGHTS = {
    "released": "released",
    "ready-made": "ready",
    "made while loading": "loading",
    "new": "new",
    "": "new",
}
"""Where weights come from: the key of its words."""
