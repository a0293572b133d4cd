"""The view of ``plan calibrate``: a line a fitted set, with its errors on rows kept back."""

from __future__ import annotations

from collections.abc import Sequence

from planner.hardware.profile import FittedSet
from planner.report.view.record import Section, Table, View
from planner.report.view.verb_words import verb_phrases

VERB = "calibrate"
HEADS = ("operator", "stack", "variant", "rows", "kept", "mean", "median", "bias", "inside")


def calibrate_view(fits: Sequence[FittedSet], lang: str) -> View:
    """The sets; a sentence where nothing was fitted."""
    t = verb_phrases(VERB, lang)
    if not fits:
        return View(t("head.nothing"))
    table = Table(tuple(t(f"table.{head}") for head in HEADS), tuple(map(_line, fits)), (0, 1, 2))
    return View(t("head.title"), (), (Section("", (table,)),))


def _line(fit: FittedSet) -> tuple[str, ...]:
    e = fit.error
    return (
        fit.operator,
        f"{fit.stack} {fit.software}",
        fit.variant,
        str(e.rows),
        str(e.held_out),
        f"{100 * e.mean:.1f}",
        f"{100 * e.median:.1f}",
        f"{100 * e.bias:+.1f}",
        f"{100 * e.coverage:.0f}",
    )
