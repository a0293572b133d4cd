"""The answer of ``plan sensitivity`` for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from planner.messages.words import english
from planner.quality.prior import WEIGH_AS, load_prior
from planner.quality.sensitivity.alpha_table import (
    UNIT,
    AlphaRow,
    AlphaTable,
    class_band,
    in_order,
)
from planner.quality.sensitivity.features import class_of
from planner.report.columns import table_lines, wrapped

DEPTHS = (("first", 0.0), ("1/4", 0.25), ("1/2", 0.5), ("3/4", 0.75), ("last", 1.0))
MILLI = 1e-3


def sensitivity_text(table: AlphaTable) -> str:
    """What it rests on, the table, the bands, the credit and the level; ends with a newline."""
    prediction = table.found
    head = [f"{table.model}: {english(prediction.text)}", f"tier {table.tier}; α in 10⁻³ {UNIT}"]
    body = table_lines(_tensors(table) if table.names == "gguf" else _kinds(table))
    last = [
        *_notes(table),
        "figures: " + "; ".join(prediction.sources),
        f"level: {prediction.level:.3g} {UNIT} in every matrix, ×/÷ {prediction.level_band:.2g} "
        f"({prediction.level_basis})",
    ]
    blocks = [
        [part for line in head for part in wrapped(line, "  ")],
        body,
        [part for line in last for part in wrapped(line, "  ")],
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _kinds(table: AlphaTable) -> list[list[str]]:
    """A row a kind: its layers, sum, share of the level, α by depth, band of its class."""
    rows = [["kind", "layers", "sum", "share", *(name for name, _ in DEPTHS), "×/÷"]]
    for kind in in_order(row.kind for row in table.rows):
        mine = [row for row in table.rows if row.kind == kind]
        total = sum(row.alpha for row in mine)
        outside = mine[0].layer is None
        by_depth = (
            ["-"] * len(DEPTHS)
            if outside
            else [_milli(mine[round(at * (len(mine) - 1))].alpha) for _, at in DEPTHS]
        )
        derived = kind in WEIGH_AS
        rows.append(
            [
                kind,
                "-" if outside else str(len(mine)),
                _milli(total),
                "-" if derived else f"{total / table.found.level:.1%}",
                *by_depth,
                f"{load_prior().rule_band if derived else _band(table, kind):.2g}",
            ]
        )
    return rows


def _tensors(table: AlphaTable) -> list[list[str]]:
    return [
        ["tensor", "α", "low", "high"],
        *([row.tensor, _milli(row.alpha), _milli(row.low), _milli(row.high)] for row in table.rows),
    ]


def _band(table: AlphaTable, kind: str) -> float:
    """The band of the class of a kind."""
    matrix = next(m for m in table.found.matrices if m.kind == kind)
    return class_band(table.found, class_of(matrix))


def _notes(table: AlphaTable) -> list[str]:
    notes = [
        "×/÷: holds 80 % of single matrices of the class, the level aside; low and high of "
        "--json have both"
        if table.names == "module"
        else "low and high hold 80 %: the band of the class with that of the level"
    ]
    derived = list(dict.fromkeys(row.kind for row in table.rows if row.kind in WEIGH_AS))
    notes += [
        f"{kind}: derived, not measured, and no part of the sum: α of {WEIGH_AS[kind]} of its layer"
        for kind in derived
    ]
    return notes + _tied(table.rows)


def _tied(rows: Sequence[AlphaRow]) -> list[str]:
    """A note where one tensor is head and embedding."""
    return [
        f"{row.tensor}: head and embedding together"
        for row in rows
        if row.tensor and row.source.startswith("head and embedding together")
    ]


def _milli(alpha: float) -> str:
    """``alpha`` in thousandths to three digits."""
    value = alpha / MILLI
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}" if value >= 0.001 else "<.001"
