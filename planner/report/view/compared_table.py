"""The rows of a comparison as cells of a table that sorts: what is written, and what sorts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planner.base.units import GIB
from planner.planning.plan.record import Estimate
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.report.charts.compared import formats_of
from planner.report.charts.records import number_text
from planner.report.compared_terms import rounded_loss
from planner.report.phrases import Phrases
from planner.report.view.compared_verdict import WEIGHTS
from planner.report.words import seconds, span

NONE = "–"
LOADING = "made while loading"
"""Of such weights flags are told, of others a checkpoint."""
TEXTS = ("format", "where", "engine")
COLUMNS = (
    "format",
    "where",
    "rate",
    "tpot",
    "ttft",
    "cost",
    "energy",
    "loss",
    "users",
    "devices",
    "memory",
    "engine",
)
DESCENDING = ("rate", "users")
"""Columns whose first click puts the largest first: there more is better."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it is called, the unit below, whether its cells are numbers, and which way it
    sorts at first."""

    key: str
    name: str
    unit: str
    number: bool
    first: str


@dataclass(frozen=True, slots=True)
class SortedCell:
    """``text``, what stands ``small`` below it, the number that sorts it, empty where there is
    none: such cells come last; and the places of measurements beside it."""

    text: str
    small: str = ""
    sort: str = ""
    measured: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedLoss:
    """What somebody measured with formats of the table, and where it stands."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class ComparedLine:
    """A row of the table. ``badges`` are (class, word); ``places`` are those of its model, device
    and engine among the filters' options."""

    kind: str
    badges: tuple[tuple[str, str], ...]
    cells: tuple[SortedCell, ...]
    places: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """What all rows of a comparison's table share: columns, names of engines without versions,
    measurements with their places, each once."""

    found: Compared
    say: Phrases
    columns: tuple[Column, ...]
    engines: tuple[str, ...]
    measured: Mapping[PublishedLoss, int]


def table_of(comparison: Compared, say: Phrases) -> ComparedTable:
    """The table of a comparison; without columns of money and energy where no row has them."""
    able = [row for row in comparison.rows if row.feasible]
    empty = {
        "cost": not any(row.usd_per_million_output_tokens for row in able),
        "energy": not any(row.joules_per_output_token for row in able),
        "where": len(comparison.pairs) == 1,
    }
    called = {"where": "model"} if len(comparison.devices) == 1 else {}
    columns = tuple(
        Column(
            key,
            say(f"column.{called.get(key, key)}"),
            say(f"column.{key}_unit"),
            key not in TEXTS,
            "descending" if key in DESCENDING else "ascending",
        )
        for key in COLUMNS
        if not empty.get(key, False)
    )
    measured = dict.fromkeys(anchor for row in comparison.rows for anchor in _published(row))
    return ComparedTable(
        comparison,
        say,
        columns,
        tuple(sorted({_engine(row) for row in able})),
        {anchor: n for n, anchor in enumerate(measured, 1)},
    )


def _published(row: ComparedPlan) -> list[PublishedLoss]:
    return [PublishedLoss(a.text, a.source) for a in row.measured_anchor if a.source]


def _engine(row: ComparedPlan) -> str:
    return row.engine.partition(" ")[0]


def line_of(table: ComparedTable, pair: ComparedPair, row: ComparedPlan) -> ComparedLine:
    """A row that has a plan."""
    comparison, say = table.found, table.say
    badges = [(str(role), say(f"role.{role}")) for role in row.roles]
    if not row.within_limits:
        badges.append(("late", say("role.late")))
    cells = _cells(table, pair, row)
    return ComparedLine(
        " ".join(kind for kind, _ in badges),
        tuple(badges),
        tuple(cells[column.key] for column in table.columns),
        (
            comparison.models.index(pair.model),
            comparison.devices.index(pair.device),
            table.engines.index(_engine(row)),
        ),
    )


def _cells(table: ComparedTable, pair: ComparedPair, row: ComparedPlan) -> dict[str, SortedCell]:
    say = table.say
    layout = " ".join(
        f"{name}{value}"
        for name, value in (("tp", row.tp), ("dp", row.dp), ("pp", row.pp), ("ep", row.ep))
        if value and value > 1
    )
    gib = (row.total_bytes_per_device or 0) / GIB
    return {
        "format": SortedCell(formats_of(row), say("cell.kv", kv=row.kv) if row.kv else ""),
        "where": _where(table.found, pair),
        "rate": _figure(row.output_tokens_per_second_per_device),
        "tpot": _time(row.tpot_seconds),
        "ttft": _time(row.ttft_seconds),
        "cost": _figure(row.usd_per_million_output_tokens),
        "energy": _figure(row.joules_per_output_token),
        "loss": _loss(row, table.measured),
        "users": SortedCell(f"{row.users or 0:,}", "", str(row.users)),
        "devices": SortedCell(f"{row.devices or 0:,}", layout, str(row.devices)),
        "memory": SortedCell(f"{gib:.1f}", "", f"{gib:.4g}"),
        "engine": SortedCell(row.engine, _weights(row, say)),
    }


def _weights(row: ComparedPlan, say: Phrases) -> str:
    """Where the weights come from, with the checkpoint or the flags that make them."""
    text = say(f"weights.{WEIGHTS[row.weights]}")
    if not row.checkpoint:
        return text
    return say(
        "cell.flags" if row.weights == LOADING else "cell.weights",
        weights=text,
        checkpoint=row.checkpoint,
    )


def _where(comparison: Compared, pair: ComparedPair) -> SortedCell:
    """The device, and the model below it where several are compared."""
    place = str(comparison.pairs.index(pair))
    if len(comparison.models) == 1:
        return SortedCell(pair.device, "", place)
    if len(comparison.devices) == 1:
        return SortedCell(pair.model, "", place)
    return SortedCell(pair.device, pair.model, place)


def _figure(value: Estimate | None) -> SortedCell:
    return (
        SortedCell(NONE)
        if value is None
        else SortedCell(
            number_text(value.value),
            f"{number_text(value.low)}–{number_text(value.high)}",
            f"{value.value:.6g}",
        )
    )


def _time(value: Estimate | None) -> SortedCell:
    return (
        SortedCell(NONE)
        if value is None
        else SortedCell(span(value.value), interval(value), f"{value.value:.6g}")
    )


def interval(value: Estimate) -> str:
    """Both ends of a time, the unit once where it is the same."""
    (low, unit), (high, other) = seconds(value.low), seconds(value.high)
    return (
        f"{low}–{high}\u00a0{other}" if unit == other else f"{span(value.low)}–{span(value.high)}"
    )


def _loss(row: ComparedPlan, measured: Mapping[PublishedLoss, int]) -> SortedCell:
    return (
        SortedCell(NONE)
        if row.loss is None
        else SortedCell(
            rounded_loss(row.loss),
            f"{rounded_loss(row.loss_low)}–{rounded_loss(row.loss_high)}",
            f"{row.loss:.6g}",
            tuple(sorted(measured[anchor] for anchor in _published(row))),
        )
    )
