"""The view of ``plan sensitivity``: what it rests on, the table, bands, credit and level."""

from __future__ import annotations

from collections.abc import Iterator

from planner.messages.words import in_language
from planner.quality.prior import WEIGH_AS, load_prior
from planner.quality.sensitivity.alpha_table import (
    AlphaTable,
    class_band,
    in_order,
)
from planner.quality.sensitivity.features import class_of
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Section, Table, View
from planner.report.view.verb_words import verb_phrases

VERB = "sensitivity"
DEPTHS = (("first", 0.0), ("1/4", 0.25), ("1/2", 0.5), ("3/4", 0.75), ("last", 1.0))
MILLI = 1e-3
TIED = "head and embedding together"
"""How the source of a row begins where one tensor is head and embedding."""


def sensitivity_view(table: AlphaTable, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    prediction = table.found
    facts = (
        Fact(t("fact.basis"), in_language(prediction.text, lang)),
        Fact(
            t("fact.level"),
            t(
                "level.text",
                level=f"{prediction.level:.3g}",
                unit=t("level.unit"),
                band=f"{prediction.level_band:.2g}",
                basis=in_language(prediction.level_basis, lang),
            ),
        ),
        Fact(t("fact.figures"), "; ".join(prediction.sources)),
    )
    shown = _tensors(t, table) if table.names == "gguf" else _kinds(t, table)
    title = t("head.title", model=table.model, tier=table.tier)
    return View(title, facts, (Section(t("head.alphas", unit=t("level.unit")), (shown,)),))


def _kinds(t: Phrases, table: AlphaTable) -> Table:
    """A row a kind: its layers, sum, share of the level, α by depth, band of its class."""
    heads = ("kind", "layers", "sum", "share")
    rows = []
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
            (
                kind,
                "-" if outside else str(len(mine)),
                _milli(total),
                "-" if derived else f"{total / table.found.level:.1%}",
                *by_depth,
                f"{load_prior().rule_band if derived else _band(table, kind):.2g}",
            )
        )
    named = (*(t(f"table.{head}") for head in heads), *(_depth(t, name) for name, _ in DEPTHS))
    return Table((*named, "×/÷"), tuple(rows), (0,), tuple(_notes(t, table)))


def _depth(t: Phrases, name: str) -> str:
    return t(f"table.{name}") if name.isalpha() else name


def _tensors(t: Phrases, table: AlphaTable) -> Table:
    return Table(
        (t("table.tensor"), "α", t("table.low"), t("table.high")),
        tuple(
            (row.tensor, _milli(row.alpha), _milli(row.low), _milli(row.high)) for row in table.rows
        ),
        (0,),
        tuple(_notes(t, table)),
    )


def _band(table: AlphaTable, kind: str) -> float:
    """The band of the class of a kind."""
    matrix = next(m for m in table.found.matrices if m.kind == kind)
    return class_band(table.found, class_of(matrix))


def _notes(t: Phrases, table: AlphaTable) -> Iterator[str]:
    yield t("note.bands" if table.names == "module" else "note.tensors")
    for kind in dict.fromkeys(row.kind for row in table.rows if row.kind in WEIGH_AS):
        yield t("note.derived", kind=kind, other=WEIGH_AS[kind])
    for row in table.rows:
        if row.tensor and row.source.startswith(TIED):
            yield t("note.tied", tensor=row.tensor)


def _milli(alpha: float) -> str:
    """``alpha`` in thousandths to three digits."""
    value = alpha / MILLI
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}" if value >= 0.001 else "<.001"
