"""The view of ``plan sweep``: answers by kind, and two values of one thing side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from planner.base.units import GIB, format_rate, format_seconds
from planner.messages.words import in_language
from planner.report.phrases import Phrases
from planner.report.sweep_axes import (
    Columns,
    Pair,
    SweepAxis,
    axes,
    compared_axis,
    pairs,
    value_text,
)
from planner.report.view.record import Block, Items, Prose, Section, Table, View
from planner.report.view.sweep_words import STATUSES, short_reason, sweep_phrases
from planner.report.view.verb_words import verb_phrases

VERB = "sweep"
SHOWN = 24
"""Rows that are shown; the file has them all."""
REASONS = 3
RATE = "output_tokens_per_second_per_device"


def sweep_view(columns: Columns, output: str | None, lang: str) -> View:
    """Counts, then a comparison where one thing has two values, else the first rows."""
    t, say = verb_phrases(VERB, lang), sweep_phrases(lang)
    varying = axes(columns)
    axis = compared_axis(varying)
    why = (*_limits(t, say, columns), *_errors(t, columns))
    sections = [Section("", (Items(why),))] if why else []
    sections.append(
        _comparison(t, say, columns, varying, axis)
        if axis is not None
        else _rows(t, say, columns, varying)
    )
    total = len(columns["status"])
    where = (
        t("head.written", n=f"{total:,}", file=output)
        if output is not None
        else t("head.not_written")
    )
    sections.append(Section("", (Prose(where),)))
    counts = Counter(columns["status"])
    told = t("list.comma").join(
        t(f"count.{status}", n=f"{counts[status]:,}") for status in STATUSES if counts[status]
    )
    title = t("head.one" if total == 1 else "head.title", n=f"{total:,}", counts=told)
    return View(title, (), tuple(sections))


def _limits(t: Phrases, say: Phrases, columns: Columns) -> Iterator[str]:
    """Which limits leave questions without a plan."""
    limits = Counter(limit for limit in columns["limit"] if limit is not None)
    if limits:
        names = (
            f"{' + '.join(say.name(part) for part in name.split('+'))} {count:,}"
            for name, count in limits.most_common()
        )
        yield t("why.limits", names=t("list.comma").join(names))


def _errors(t: Phrases, columns: Columns) -> Iterator[str]:
    """The commonest reasons why questions cannot be asked."""
    wrong = Counter(
        reason
        for status, reason in zip(columns["status"], columns["reason"], strict=True)
        if status in ("unsupported", "invalid", "failed")
    )
    for reason, count in wrong.most_common(REASONS):
        yield f"{count:,} × {in_language(reason, t.lang)}"
    if len(wrong) > REASONS:
        yield t("why.more", n=len(wrong) - REASONS)


def _comparison(
    t: Phrases, say: Phrases, columns: Columns, varying: Sequence[SweepAxis], axis: SweepAxis
) -> Section:
    others = [other for other in varying if other is not axis]
    names = [value_text(axis.name, value) for value in axis.values]
    listed = pairs(columns, varying, axis)
    rows = tuple(
        (
            *(value_text(o.name, v) for o, v in zip(others, pair.others, strict=True)),
            *_side_by_side(say, columns, pair),
        )
        for pair in listed[:SHOWN]
    )
    ratio = t("table.ratio")
    heads = (*(say.name(o.title) for o in others), *names, ratio, "TPOT", "TPOT", ratio)
    more = len(listed) - SHOWN
    texts = ([t("list.more", n=f"{more:,}")] if more > 0 else []) + _verdict(
        t, columns, listed, names
    )
    blocks: list[Block] = [Table(heads, rows, tuple(range(len(others)))), Items(tuple(texts))]
    return Section(t("table.beside", first=names[0], second=names[1]), tuple(blocks))


def _side_by_side(say: Phrases, columns: Columns, pair: Pair) -> list[str]:
    both = (pair.first, pair.second)
    rates = [_value(columns, RATE, n) for n in both]
    times = [_value(columns, "tpot_seconds", n) for n in both]
    return [
        *(_cell(say, columns, n, rate, format_rate) for n, rate in zip(both, rates, strict=True)),
        _ratio(*rates),
        *("-" if time is None else format_seconds(time) for time in times),
        _ratio(*times),
    ]


def _value(columns: Columns, name: str, row: int | None) -> float | None:
    value: float | None = None if row is None else columns[name][row]
    return value


def _cell(
    say: Phrases,
    columns: Columns,
    row: int | None,
    value: float | None,
    show: Callable[[float], str],
) -> str:
    """The number, or what stands in its way."""
    if row is None:
        return say("cell.not_asked")
    return show(value) if value is not None else short_reason(say, columns, row)


def _ratio(first: float | None, second: float | None) -> str:
    return "-" if not first or second is None else f"{second / first:.2f}"


@dataclass(frozen=True, slots=True)
class ComparedRates:
    """``ratios`` of the rates of two values that both have an answer, second over first; in how
    many pairs only the first and only the second is there."""

    ratios: tuple[float, ...]
    alone: tuple[int, int]

    @property
    def faster(self) -> int:
        """Pairs in which the second is faster."""
        return sum(ratio > 1 for ratio in self.ratios)

    @property
    def median(self) -> float:
        """The middle of the ratios."""
        return median(self.ratios)


def compared_rates(columns: Columns, listed: Sequence[Pair]) -> ComparedRates:
    """The rates of pairs beside each other."""
    ratios, alone = [], [0, 0]
    for pair in listed:
        first, second = (_value(columns, RATE, n) for n in (pair.first, pair.second))
        if first and second:
            ratios.append(second / first)
        elif first or second:
            alone[0 if first else 1] += 1
    return ComparedRates(tuple(ratios), (alone[0], alone[1]))


def _verdict(
    t: Phrases, columns: Columns, listed: Sequence[Pair], names: Sequence[str]
) -> list[str]:
    """How often the second is faster than the first, by how much, and where only one has a plan."""
    rates = compared_rates(columns, listed)
    lines = []
    if ratios := rates.ratios:
        lines.append(
            t(
                "verdict.faster",
                name=names[1],
                n=rates.faster,
                all=len(ratios),
                low=f"{min(ratios):.2f}",
                high=f"{max(ratios):.2f}",
                median=f"{rates.median:.2f}",
            )
        )
    return lines + [
        t("verdict.only", name=name, n=count)
        for name, count in zip(names, rates.alone, strict=True)
        if count
    ]


def _rows(t: Phrases, say: Phrases, columns: Columns, varying: Sequence[SweepAxis]) -> Section:
    shown = varying or (SweepAxis("model", ()), SweepAxis("device", ()))
    count = len(columns["status"])
    rows = tuple(
        (
            *(value_text(axis.name, columns[axis.name][n]) for axis in shown),
            *_answer(say, columns, n),
        )
        for n in range(min(count, SHOWN))
    )
    figures = ("devices", "batch", "rate", "usd", "tpot", "gib", "limit")
    heads = (*(say.name(a.title) for a in shown), *(t(f"table.{name}") for name in figures))
    blocks: list[Block] = [Table(heads, rows, (*range(len(shown)), len(heads) - 1))]
    if count > SHOWN:
        blocks.append(Items((t("list.more", n=f"{count - SHOWN:,}"),)))
    return Section("", tuple(blocks))


def _answer(say: Phrases, columns: Columns, n: int) -> list[str]:
    if columns["status"][n] != "ok":
        return [*["-"] * 6, short_reason(say, columns, n)]
    usd = columns["usd_per_million_output_tokens"][n]
    return [
        str(columns["devices"][n]),
        str(columns["batch"][n]),
        format_rate(columns[RATE][n]),
        "-" if usd is None else f"{usd:.3g}",
        format_seconds(columns["tpot_seconds"][n]),
        f"{columns['total_bytes'][n] / GIB:.1f}",
        "",
    ]
