"""The table of a plan: formats by module, what they weigh, and a time column that is TPOT."""

from __future__ import annotations

from planner.planning.plan.record import Plan
from planner.report.terminal.columns import table_lines
from planner.report.terminal.kinds import KindRow, kind_rows, named, other_seconds, shares_of_total
from planner.report.terminal.offload_lines import place_of
from planner.units import GIB

COLUMNS = ("module", "layers", "scheme", "GiB", "ms", "loss", "limit; bound")
TEXT_COLUMNS = (0, 1, 2, 6)
AT = 3
"""Column of the place of weights, where some are in host memory."""
BOUND_WORDS = {"communication": "network", "conversion": "convert"}
MILLI = 1e3
LONGEST_NAMES = (30, 26, 22, 1)
"""Columns that the names of kinds in one row may take; the first that makes fewest lines."""


def module_lines(plan: Plan) -> list[str]:
    """Rows of modules, what else TPOT holds, and TPOT: the column ``ms`` adds up to it as shown.
    Kinds share rows as far as the table stays within the output."""
    lines: list[str] = []
    for longest in LONGEST_NAMES:
        rows, left = _placed(plan, longest)
        table = table_lines(rows, left=left)
        if not lines or len(table) < len(lines):
            lines = table
    return lines


def _placed(plan: Plan, longest: int) -> tuple[list[tuple[str, ...]], tuple[int, ...]]:
    """(the rows, their columns of text), with where weights live if some are in host memory; the
    limit that decided makes room for it."""
    rows = _rows(plan, longest)
    if plan.offload is None:
        return rows, TEXT_COLUMNS
    own = [place_of(plan, row.place) for row in kind_rows(plan, longest)]
    places = ["at", *own, *([""] * (len(rows) - 1 - len(own)))]
    cells = [
        (*row[:AT], place, *row[AT:-1], row[-1].rpartition("; ")[2])
        for row, place in zip(rows, places, strict=True)
    ]
    return cells, (*TEXT_COLUMNS[:-1], AT, TEXT_COLUMNS[-1] + 1)


def _rows(plan: Plan, longest: int) -> list[tuple[str, ...]]:
    """The heading and the cells of each row."""
    rows, others = kind_rows(plan, longest), other_seconds(plan)
    lost = sum(m.loss for m in plan.modules)
    digits = decimals(plan.performance.tpot_seconds.value * MILLI)
    times = shares_of_total(
        [MILLI * s for s in (*(r.decode_seconds for r in rows), *(s for _, s in others))], digits
    )
    zero = f"{0.0:.{digits}f}"
    cells = [
        COLUMNS,
        *(_cells(row, time, lost) for row, time in zip(rows, times[: len(rows)], strict=True)),
    ]
    cells += [
        (name, "", "", "-", time, "-", "")
        for (name, _), time in zip(others, times[len(rows) :], strict=True)
        if time != zero
    ]
    weights = sum(m.weight_bytes for m in plan.modules)
    tpot = f"{plan.performance.tpot_seconds.value * MILLI:.{digits}f}"
    return [*cells, ("TPOT", "", "", _gib(weights), tpot, "-", "")]


def decimals(milliseconds: float) -> int:
    """Decimals that show a time of so many milliseconds to four digits, three at most."""
    return next((n for n, size in enumerate((1000, 100, 10)) if milliseconds >= size), 3)


def _cells(row: KindRow, time: str, lost: float) -> tuple[str, ...]:
    heaviest = max(row.units, key=lambda u: u.decode_seconds)
    size = _gib(row.weight_bytes) if row.weight_bytes else "-"
    return (
        named(row.kinds),
        _short_layers(row.layers),
        row.scheme,
        size,
        time,
        _share(row.loss, lost),
        _why(heaviest.reason, heaviest.bound),
    )


def _gib(size: int) -> str:
    """GiB with two decimals, from a hundred on with one."""
    return f"{size / GIB:.1f}" if size >= 100 * GIB else f"{size / GIB:.2f}"


def _share(loss: float, whole: float) -> str:
    """A module's share of the summed loss; what is not nothing never shows as 0.0%."""
    if loss == 0 or whole == 0:
        return "0"
    return f"{loss / whole:.1%}" if loss >= 0.0005 * whole else "<.1%"


def _short_layers(text: str) -> str:
    spans = text.split(", ")
    return text if len(spans) <= 3 else ", ".join(spans[:2]) + ", …"


def _why(reason: str, bound: str) -> str:
    """The limit that decided (or "best"), and what the time is spent on."""
    tag, _, rest = reason.partition(":")
    if not rest:
        tag = {"kept as released": "kept"}.get(tag, tag)
    return f"{tag}; {BOUND_WORDS.get(bound, bound)}"
