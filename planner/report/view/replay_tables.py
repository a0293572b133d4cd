"""Tables of a replay: times at percentiles, stages, and how all goes over time."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from planner.base.units import format_rate, format_seconds
from planner.planning.plan.record import Estimate
from planner.planning.replay.record import (
    OverTime,
    Percentiles,
    ReplayAnswer,
    TimePercentiles,
)
from planner.report.phrases import Phrases
from planner.report.plan_terms import time_span
from planner.report.view.record import Section, Table
from planner.report.view.verb_words import word

TIMES = ("ttft", "itl", "tpot", "e2e", "queue")
POINTS = ("mean", "p50", "p90", "p99")
ROWS = 12
"""Rows of the table over time."""
NONE = "–"


def times(own: Phrases, measured: TimePercentiles) -> Table:
    """Each time in one unit, so that a row has room in 80 columns; ends of intervals in two
    digits."""
    return Table(
        tuple(own(f"table.{head}") for head in ("time", *POINTS)),
        tuple(_row(own, name, getattr(measured, f"{name}_seconds")) for name in TIMES),
    )


def exact_times(own: Phrases, measured: TimePercentiles) -> Section:
    """Each time with its unit and three digits."""
    table = Table(
        tuple(own(f"table.{head}") for head in ("time", *POINTS)),
        tuple(
            (
                _name(own, name),
                *(exact(getattr(getattr(measured, f"{name}_seconds"), point)) for point in POINTS),
            )
            for name in TIMES
        ),
        notes=(own("table.key"),),
    )
    return Section(own("table.exact"), (table,), detail=True)


def stages(own: Phrases, answer: ReplayAnswer) -> Iterator[Section]:
    """The stages of a load, where it has any."""
    rows = tuple(
        (
            format_seconds(stage.start_seconds),
            f"{stage.rate:.4g}",
            f"{stage.requests:,}",
            *(
                _seconds(getattr(stage.percentiles, f"{name}_seconds").p90.value)
                for name in ("queue", "ttft", "tpot", "e2e")
            ),
        )
        for stage in answer.replay.stages
    )
    if rows:
        heads = ("stage", "rate", "requests", "queue", "ttft", "tpot", "e2e")
        yield Section(
            own("table.stages"), (Table(tuple(own(f"table.{h}") for h in heads), rows, ()),)
        )


def over_time(own: Phrases, run: OverTime) -> Section:
    """What waits, runs and is stored, at some of the intervals."""
    count = len(run.seconds)
    places = [count * (n + 1) // min(ROWS, count) - 1 for n in range(min(ROWS, count))]
    rows = tuple(
        (
            format_seconds(run.seconds[n]),
            f"{run.waiting[n]:,.0f}",
            format_rate(run.decoding[n]),
            f"{run.cache_share[n]:.0%}",
            NONE if (ttft := run.ttft_seconds[n]) is None else _seconds(ttft),
            format_rate(run.output_tokens_per_second[n]),
        )
        for n in places
    )
    heads = ("at", "waiting", "running", "cache", "first", "tokens")
    table = Table(tuple(own(f"table.{h}") for h in heads), rows, ())
    return Section(own("table.over_time"), (table,), detail=True)


def exact(value: Estimate) -> str:
    """A time with its interval; a dash where nothing was served."""
    if not isfinite(value.value):
        return NONE
    return f"{format_seconds(value.value)} ({time_span(value)})"


def _row(own: Phrases, name: str, values: Percentiles) -> tuple[str, ...]:
    large = isfinite(values.p99.value) and values.p99.value >= 1.0
    unit, scale = ("s", 1.0) if large else ("ms", 1e3)
    cells = (_cell(getattr(values, point), scale) for point in POINTS)
    return (f"{_name(own, name)} [{unit}]", *cells)


def _name(own: Phrases, name: str) -> str:
    return word(own, "time", name) if name == "queue" else name.upper()


def _cell(value: Estimate, scale: float) -> str:
    if not isfinite(value.value):
        return NONE
    ends = (_short(end * scale, 2) for end in (value.low, value.high))
    return f"{_short(value.value * scale, 3)} ({'–'.join(ends)})"


def _short(value: float, digits: int) -> str:
    """So many digits, at most two behind the point."""
    if value >= 10**digits:
        rounded = float(f"{value:.{digits - 1}e}") if digits < 3 else value
        return f"{rounded:,.0f}"
    return f"{value:.2f}" if value < 1 else f"{value:.{digits}g}" if value else "0"


def _seconds(value: float) -> str:
    return format_seconds(value) if isfinite(value) else NONE
