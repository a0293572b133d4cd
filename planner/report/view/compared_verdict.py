"""What a comparison says to take: of each model the best device, by rate and by cost, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.planning.plan.record import Estimate
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.report.charts.compared import RECOMMENDED, ChartPlan, chart_plans, disjoint
from planner.report.charts.records import number_text
from planner.report.phrases import Phrases
from planner.report.terminal.compared import rounded_loss
from planner.report.words import span


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """What to take of a model in one sentence, and lines of (what of, text) below it."""

    model: str
    take: str
    lines: tuple[tuple[str, str], ...]


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
Best = list[tuple[ChartPlan, Estimate]]
"""Recommended plans with a figure, the best first."""


def verdict_of(comparison: Compared, model: str, say: Phrases) -> ModelVerdict:
    """The verdict on one model."""
    pairs = [pair for pair in comparison.pairs if pair.model == model]
    shown = {pair.device: chart_plans(comparison, pair) for pair in pairs}
    taken = [charted for rows in shown.values() for charted in rows if RECOMMENDED in charted.roles]
    missing = tuple(
        (say("verdict.missing", device=pair.device), say.marked(_reason(comparison, pair)))
        for pair in pairs
        if not any(charted.row.device == pair.device for charted in taken)
    )
    if not taken:
        return ModelVerdict(model, say("verdict.none"), missing)
    first = TIME if comparison.objective == "latency" else RATE
    by = {measure.key: _ranked(taken, measure) for measure in (first, COST)}
    best = [ranked[0][0] for ranked in by.values() if ranked]
    lines = [
        (say(f"verdict.{measure.key}"), _compared(say, measure, by[measure.key]))
        for measure in (first, COST)
        if by[measure.key]
    ]
    lines.append(
        (
            say("verdict.weights"),
            say("verdict.stop").join(
                dict.fromkeys(_weights(say, charted, named=len(set(best)) > 1) for charted in best)
            ),
        )
    )
    rows = [charted for mine in shown.values() for charted in mine]
    return ModelVerdict(
        model, _take(say, first, by, len(taken)), (*lines, *_faster(say, best[0], rows), *missing)
    )


def _reason(comparison: Compared, pair: ComparedPair) -> str:
    return next((row.reason for row in comparison.of(pair) if row.kind == RECOMMENDED), "")


def _ranked(taken: Sequence[ChartPlan], measure: ComparedMeasure) -> Best:
    known = [(row, value) for row in taken if (value := measure.of(row.row)) is not None]
    return sorted(known, key=lambda pair: pair[1].value, reverse=measure.high)


def _take(say: Phrases, first: ComparedMeasure, by: dict[str, Best], count: int) -> str:
    """What to take where, by the first measure and, where at least two costs are known, by cost."""
    fast, costs = by[first.key][0][0], by[COST.key]
    text = _plan(say, fast)
    if count == 1:
        return say("take.single", plan=text)
    claim = _claim(say, first, by[first.key], count)
    if len(costs) < 2:
        return say("take.one", plan=text, claim=claim)
    cheap, cost = costs[0][0], _claim(say, COST, costs, count)
    return say(
        "take.both" if cheap == fast else "take.two",
        plan=text,
        claim=claim,
        cheap=_plan(say, cheap),
        cost=cost,
    )


def _claim(say: Phrases, measure: ComparedMeasure, ranked: Best, count: int) -> str:
    """What the first is, whether that is sure, and whether of all ``count`` devices."""
    sure = all(disjoint(ranked[0][1], value) for _, value in ranked[1:])
    text = say(f"claim.{measure.key}" if sure else f"claim.{measure.key}_likely")
    return text if len(ranked) == count else say("claim.priced", claim=text)


def _plan(say: Phrases, charted: ChartPlan) -> str:
    row = charted.row
    role = say("take.released") if len(charted.roles) > 1 or row.weights == "released" else ""
    return say(
        "take.plan",
        formats=charted.name,
        kv=row.kv,
        device=row.device,
        count=row.devices,
        engine=row.engine,
        released=role,
    )


def _compared(say: Phrases, measure: ComparedMeasure, ranked: Best) -> str:
    """Every device with its interval, and whether the first is sure."""
    text = say("verdict.comma").join(
        say("verdict.value", device=charted.row.device, **_written(measure, value))
        for charted, value in ranked
    )
    unit = say(f"verdict.{measure.key}_unit")
    near = [
        charted.row.device for charted, value in ranked[1:] if not disjoint(ranked[0][1], value)
    ]
    if len(ranked) == 1:
        return say("verdict.alone", told=text, unit=unit)
    kind = "overlap" if near else "apart"
    return say(
        f"verdict.{kind}" if len(ranked) == 2 else f"verdict.{kind}_many",
        told=text,
        unit=unit,
        near=say("verdict.comma").join(near),
        first=ranked[0][0].row.device,
    )


def _written(measure: ComparedMeasure, value: Estimate) -> dict[str, str]:
    write = span if measure is TIME else number_text
    return {"value": write(value.value), "low": write(value.low), "high": write(value.high)}


def _weights(say: Phrases, charted: ChartPlan, *, named: bool) -> str:
    row = charted.row
    text = say(f"weights.{WEIGHTS[row.weights]}_told", checkpoint=row.checkpoint)
    return say("verdict.of", device=row.device, text=text) if named else text


WEIGHTS = {
    "released": "released",
    "ready-made": "ready",
    "made while loading": "loading",
    "new": "new",
    "": "new",
}
"""Where weights come from: the key of its words."""


def _faster(
    say: Phrases,
    best: ChartPlan,
    rows: Sequence[ChartPlan],
) -> tuple[tuple[str, str], ...]:
    """The fastest plan of all that is surely faster than the best, at more loss."""
    own = best.row.output_tokens_per_second_per_device
    known = [
        (rate, row)
        for row in rows
        if row.row.within_limits
        and (rate := row.row.output_tokens_per_second_per_device) is not None
    ]
    rate, fast = max(known, key=lambda pair: pair[0].value)
    if own is None or rate.low <= own.high or (fast.row.loss or 0.0) <= (best.row.loss or 0.0):
        return ()
    return (
        (
            say("verdict.lossier"),
            say(
                "verdict.faster",
                formats=fast.name,
                device=fast.row.device,
                engine=fast.row.engine,
                loss=rounded_loss(fast.row.loss),
                instead=rounded_loss(best.row.loss),
                **_written(RATE, rate),
            ),
        ),
    )
