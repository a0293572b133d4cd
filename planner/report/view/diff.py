"""The view of ``plan diff``: figures, settings and schemes of two plans, and the gates."""

from __future__ import annotations

from planner.base.units import format_bytes, format_seconds
from planner.messages.words import in_language
from planner.planning.plan.diff import Change, Difference
from planner.report.phrases import Phrases
from planner.report.view.record import Items, Section, Table, View
from planner.report.view.verb_words import verb_phrases, word

VERB = "diff"
MOST_UNITS = 40


def diff_view(difference: Difference, lang: str) -> View:
    """Figures, then settings and schemes that differ, then the gates."""
    t = verb_phrases(VERB, lang)
    heads = tuple(t(f"table.{name}") for name in ("metric", "old", "new", "change", "verdict"))
    rows = tuple(_row(t, change) for change in difference.changes)
    sections = [Section("", (Table(heads, rows, (0, 4)),))]
    if difference.settings:
        texts = tuple(
            t(
                "item.changed",
                name=word(t, "setting", name),
                old=in_language(old, lang) or "-",
                new=in_language(new, lang) or "-",
            )
            for name, old, new in difference.settings
        )
        sections.append(Section(t("section.settings"), (Items(texts),)))
    sections.append(_units(t, difference))
    if difference.gates:
        gates = tuple(
            t("gate.failed" if gate in difference.tripped else "gate.ok", text=gate.text)
            for gate in difference.gates
        )
        sections.append(Section(t("section.gates"), (Items(gates),)))
    return View(t("head.title", model=difference.model), (), tuple(sections))


def _row(t: Phrases, change: Change) -> tuple[str, ...]:
    verdict = ""
    if change.apart is not None and change.old != change.new:
        kind = "loss" if change.metric == "loss" else "band"
        verdict = t(f"{kind}.{'apart' if change.apart else 'same'}")
    return (
        t(f"metric.{change.metric}"),
        _shown(change, change.old),
        _shown(change, change.new),
        "-" if change.relative is None else f"{change.relative:+.1%}",
        verdict,
    )


def _shown(change: Change, value: float) -> str:
    if change.unit == "s":
        return format_seconds(value)
    if change.unit.startswith("B"):
        return format_bytes(int(value))
    return f"{value:,.1f}" if change.metric == "throughput" else f"{value:.4g}"


def _units(t: Phrases, difference: Difference) -> Section:
    if not difference.units:
        return Section(t("section.same"), ())
    texts = [
        t(
            "item.changed",
            name=unit.unit,
            old=unit.old or t("item.absent"),
            new=unit.new or t("item.absent"),
        )
        for unit in difference.units[:MOST_UNITS]
    ]
    more = len(difference.units) - len(texts)
    texts += [t("item.more", n=more)] if more else []
    return Section(t("section.units"), (Items(tuple(texts)),))
