"""A replay over time: requests that wait and run, the cache, TTFT and output tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.planning.replay.record import ReplayAnswer
from planner.report.charts.chart import (
    OWN,
    PLAIN,
    SOFT,
    Chart,
    Mark,
    PointMarks,
    ValueLine,
    Words,
    ticked,
)
from planner.report.charts.drawing import drawn
from planner.report.charts.records import axis_ticks, number_text
from planner.report.phrases import Phrases

Line = tuple[str, Sequence[float | None]]
"""What it is called, nothing where it is alone, and its values."""
WIDTH = 720.0
SECOND = 1.0
"""Seconds from which TTFT is drawn in seconds."""


def replay_figures(t: Phrases, answer: ReplayAnswer) -> tuple[tuple[str, str], ...]:
    """(what it shows, one ``svg`` element) of each chart."""
    return tuple(
        (chart.title, drawn(chart, f"c{n}")) for n, chart in enumerate(replay_charts(t, answer))
    )


def replay_charts(t: Phrases, answer: ReplayAnswer) -> tuple[Chart, ...]:
    """Charts on one axis of time; one of nothing is left out."""
    found = answer.replay.over_time
    first = [value for value in found.ttft_seconds if value is not None]
    unit, scale = ("s", 1.0) if first and max(first) >= SECOND else ("ms", 1e3)
    ttft = [None if value is None else value * scale for value in found.ttft_seconds]
    charts = [
        _chart(
            t,
            answer,
            "requests",
            t("figure.requests_y"),
            ((t("figure.waiting"), found.waiting), (t("figure.running"), found.decoding)),
        ),
        *(
            _chart(t, answer, name, t(f"figure.{name}_y"), lines)
            for name, lines in _shares(t, answer)
        ),
        _chart(t, answer, "rate", t("figure.rate_y"), (("", found.output_tokens_per_second),)),
    ]
    if first:
        charts.insert(1, _chart(t, answer, "ttft", t("figure.ttft_y", unit=unit), (("", ttft),)))
    return tuple(charts)


def _shares(t: Phrases, answer: ReplayAnswer) -> Iterator[tuple[str, list[Line]]]:
    """Shares of the cache [%]; of two pools for each, and of the time in which it runs passes."""
    pools = answer.replay.pools
    if pools is None:
        yield "cache", [("", _percent(answer.replay.over_time.cache_share))]
        return
    both = ((t("figure.prefill"), pools.prefill), (t("figure.decode"), pools.decode))
    yield "busy", [(name, _percent(pool.busy_over_time)) for name, pool in both]
    yield "cache", [(name, _percent(pool.cache_over_time)) for name, pool in both]


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]


def _chart(
    t: Phrases,
    answer: ReplayAnswer,
    name: str,
    y_title: str,
    lines: Sequence[Line],
) -> Chart:
    found = answer.replay.over_time
    marks: list[Mark] = [
        ValueLine(stage.start_seconds, SOFT, 1.0, dashed=True, kind="stage")
        for stage in answer.replay.stages[1:]
    ]
    there = []
    for n, (called, values) in enumerate(lines):
        places = tuple(
            (at, value)
            for at, value in zip(found.seconds, values, strict=True)
            if value is not None
        )
        there.append((called, places))
        colour, kind = (PLAIN, "line f0") if n == 0 else (OWN, "line f2")
        marks.append(PointMarks(places, colour, "", line="-", width=1.8, kind=kind))
        if called:
            most = max(value for _, value in places)
            tops = [place for place in places if place[1] == most]
            top = tops[len(tops) // 2]
            marks.append(
                Words(*top, called, 8, colour, offset=(4, 5), beside=True, kind=f"label t{n}")
            )
    title = t(f"figure.{name}")
    return Chart(
        title,
        ticked(axis_ticks((0.0, found.seconds[-1]), log=False, zero=True), t("figure.x")),
        ticked(
            axis_ticks([value for _, places in there for _, value in places], log=False, zero=True),
            y_title,
        ),
        tuple(marks),
        " ".join(f"{_in_words(t, called or title, places)}." for called, places in there),
        (7.2, 2.6),
        grid="y",
        kind="chart over",
        wide=WIDTH,
    )


def _in_words(t: Phrases, what: str, places: Sequence[tuple[float, float]]) -> str:
    at, most = max(places, key=lambda place: place[1])
    return t(
        "figure.alt",
        what=what,
        first=number_text(places[0][1]),
        most=number_text(most),
        at=number_text(at),
        last=number_text(places[-1][1]),
    )
