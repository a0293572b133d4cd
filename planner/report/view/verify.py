"""The view of ``plan verify``: predicted beside measured, a table a file that was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from planner.base.units import format_bytes, format_seconds
from planner.messages.words import in_language
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Items, Section, Table, View
from planner.report.view.verb_words import verb_phrases, word

Values = Mapping[str, Any]
VERB = "verify"
INSIDE = {True: "yes", False: "no", None: "unknown"}
HEADS = ("quantity", "predicted", "interval", "measured", "spread", "inside")


class ShownVerification(Protocol):
    """What a verification tells of itself."""

    def to_dict(self) -> dict[str, Any]:
        """Its JSON values."""


def verify_view(verification: ShownVerification, lang: str) -> View:
    """What ran, the verdict, the rows of each file, what was learned, notes."""
    t = verb_phrases(VERB, lang)
    data = verification.to_dict()
    engine, s = data["engine"], data["setting"]
    judged = [r["inside"] for r in data["rows"] if r["inside"] is not None]
    facts = (
        Fact(t("fact.verdict"), in_language(data["verdict"], lang)),
        Fact(t("fact.inside"), t("head.inside", n=sum(judged), all=len(judged))),
        Fact(
            t("fact.setting"),
            t(
                "head.setting",
                prompt=s["prompt_tokens"],
                output=s["output_tokens"],
                threads=s["threads"],
                repeats=s["repeats"],
                chunks=s["kl_chunks"],
                tokens=s["kl_context_tokens"],
                text=data["text"],
            ),
        ),
    )
    sections = [
        Section(
            _title(t, name, role, engine["name"]),
            (_table(t, [row for row in data["rows"] if row["subject"] == name]),),
        )
        for name, role in data["subjects"].items()
    ]
    if data["posterior"]:
        learned = _table(t, data["posterior"], subject=True)
        sections.append(Section(t("section.learned"), (learned,)))
    if data["notes"]:
        notes = tuple(in_language(note, lang) for note in data["notes"])
        sections.append(Section(t("section.notes"), (Items(notes),)))
    title = t(
        "head.title",
        model=data["model"],
        engine=engine["name"],
        version=engine["version"],
        device=data["device"],
    )
    return View(title, facts, tuple(sections))


def _title(t: Phrases, name: str, role: str, engine: str) -> str:
    return t(f"role.{role}", name=name, engine=engine) if f"role.{role}" in t.texts else role


def _table(t: Phrases, rows: Sequence[Values], *, subject: bool = False) -> Table:
    """The rows by quantity, or by ``subject`` where all are of one."""
    cells = tuple(
        (
            row["subject"] if subject else word(t, "quantity", row["quantity"]),
            value_text(row["quantity"], row["predicted"]),
            _interval(t, row["quantity"], row["low"], row["high"]),
            value_text(row["quantity"], row["measured"]),
            value_text(row["quantity"], row["spread"]) if row["spread"] else "-",
            t(f"inside.{INSIDE[row['inside']]}"),
        )
        for row in rows
    )
    return Table(tuple(t(f"table.{head}") for head in HEADS), cells)


def _interval(t: Phrases, quantity: str, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "-"
    if low == high:
        return t("table.exact")
    return f"{value_text(quantity, low)} – {value_text(quantity, high)}"


def value_text(quantity: str, value: float | None) -> str:
    """A value in the unit that people read."""
    if value is None:
        return "-"
    if quantity.endswith("bytes"):
        return format_bytes(value)
    if quantity.endswith("seconds"):
        return format_seconds(value)
    if quantity == "flips":
        return f"{value:.2%}"
    return f"{value:,.0f}" if quantity.endswith("tokens") else f"{value:.3g}"
