"""The view of ``plan numerics``: the error split of a layer, and the list of matrix units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from planner.messages.words import in_language
from planner.report.view.record import Items, Prose, Section, Table, View
from planner.report.view.verb_words import verb_phrases

if TYPE_CHECKING:
    from planner.quality.layer_error import Accumulation, LayerNumerics

VERB = "numerics"
HEADS = ("scheme", "weights", "inputs", "both", "unit", "adds")


def numerics_view(result: LayerNumerics, lang: str) -> View:
    """Rounding of weights, inputs and both, then what each matrix unit adds."""
    t = verb_phrases(VERB, lang)
    shape = result.shape
    title = t(
        "head.title",
        model=result.model,
        kind=shape.kind,
        inputs=f"{shape.inputs:,}",
        tokens=f"{shape.tokens:,}",
        outputs=f"{shape.outputs:,}",
        seed=shape.seed,
    )
    rows: list[tuple[str, ...]] = []
    for layer in result.layers:
        head = (
            layer.scheme,
            percent(layer.weight),
            percent(layer.activation),
            percent(layer.rounding),
        )
        units = [(a.label, _with_error(a)) for a in layer.accumulations]
        for i, tail in enumerate(units or [(t("table.none"), "")]):
            rows.append((*(head if i == 0 else ("",) * 4), *tail))
    legend = t("head.legend")
    sampled = next((a for layer in result.layers for a in layer.accumulations), None)
    if sampled is not None:
        legend += t("head.sample", tokens=f"{sampled.tokens:,}", outputs=f"{sampled.outputs:,}")
    table = Table(
        tuple(t(f"table.{head}") for head in HEADS),
        tuple(rows),
        (0, 4),
        (t("table.note"), *(in_language(note, lang) for note in result.notes)),
    )
    return View(title, (), (Section("", (Prose(legend),)), Section("", (table,))))


def percent(value: float) -> str:
    """A relative error in percent, below 0.1 % in powers of ten; exact zero is 0."""
    return "0" if value == 0 else f"{value:.1e}" if value < 1e-3 else f"{value:.2%}"


def _with_error(accumulation: Accumulation) -> str:
    """``1.9e-05 ± 6%``: what the unit adds, and the standard error of the sample."""
    shown = percent(accumulation.relative_error)
    if not accumulation.relative_error:
        return shown
    return f"{shown} ± {accumulation.standard_error / accumulation.relative_error:.0%}"


def units_view(units: Sequence[Mapping[str, Any]], lang: str) -> View:
    """Matrix units with formats and what each was verified against."""
    t = verb_phrases(VERB, lang)
    return View(
        t("units.title"),
        (),
        tuple(
            Section(
                t("units.named", name=unit["id"], title=unit["title"]),
                (
                    Items(
                        (
                            t("units.takes", formats=", ".join(unit["formats"])),
                            t("units.verified", text=unit["verified_against"]),
                        )
                    ),
                ),
            )
            for unit in units
        ),
    )
