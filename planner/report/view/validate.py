"""The view of ``plan validate``: groups, the worst rows, and what is not predicted.

Groups, rows and reasons come as the JSON values of the comparison; numbers may be None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from planner.base.units import format_bytes, format_seconds
from planner.report.phrases import Phrases
from planner.report.view.record import Block, Items, Prose, Section, Table, View
from planner.report.view.verb_words import data_text, verb_phrases, word

VERB = "validate"
FITTED = "fitted"
MODES = {"given-overheads": "given", "predicted": "predicted"}
HEADLINES = ("what", "rows", "median", "mean", "in80", "all", "median", "mean")
KINDS = ("what", "rows", "median", "mean", "bias", "in80")
GROUPS = ("what", "rows", "median", "p90", "mean", "bias", "in80")
Values = Mapping[str, Any]


def validate_view(
    headlines: Sequence[Values],
    kinds: Sequence[Values],
    groups: Sequence[Values],
    worst: Sequence[Values],
    uncovered: Sequence[Values],
    lang: str,
) -> View:
    """The whole report.

    ``headlines`` have what, n, median, mean, coverage80 and the first three again of the rows with
    those excluded (``all_n`` …); ``kinds`` by, value, metric, n, median_ape, mape, bias,
    coverage80; ``groups`` the keys of ``groups[]``; ``worst`` table, row,
    quantity, metric, mode, model, software, predicted, measured, error_percent, basis;
    ``uncovered`` table, reason, n, rows (as text) and meaning.
    """
    t = verb_phrases(VERB, lang)
    sections = []
    if headlines:
        sections.append(Section(t("section.headlines"), (_headlines(t, headlines),)))
    for by in dict.fromkeys(kind["by"] for kind in kinds):
        mine = [kind for kind in kinds if kind["by"] == by]
        sections.append(Section(t(f"by.{by}"), (_kinds(t, mine),)))
    if groups:
        said = t("section.groups")
        if any(g["regime"] == FITTED for g in groups):
            said += t("section.fitted")
        sections.append(Section("", (Prose(said),)))
        sections += _groups(t, groups)
    if worst:
        texts = tuple(_worst(t, row) for row in worst)
        sections.append(Section(t("section.worst", n=len(worst)), (Items(texts),)))
    if uncovered:
        texts = tuple(_uncovered(t, row) for row in uncovered)
        sections.append(Section(t("section.uncovered"), (Items(texts),)))
    return View("" if sections else t("section.empty"), (), tuple(sections))


def _heads(t: Phrases, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(t(f"table.{name}") for name in names)


def _headlines(t: Phrases, headlines: Sequence[Values]) -> Table:
    """One line a figure: rows, median and mean [%] without and with what is excluded."""
    return Table(
        _heads(t, HEADLINES),
        tuple(
            (
                t("list.comma").join(word(t, "what", part) for part in h["what"].split(", ")),
                str(h["n"]),
                _percent(h["median"]),
                _percent(h["mean"]),
                _percent(h["coverage80"], digits=0),
                str(h["all_n"]),
                _percent(h["all_median"]),
                _percent(h["all_mean"]),
            )
            for h in headlines
        ),
    )


def _kinds(t: Phrases, kinds: Sequence[Values]) -> Table:
    """One line a kind of deployment and metric: rows and errors [%]."""
    return Table(
        _heads(t, KINDS),
        tuple(
            (
                t("list.comma").join(word(t, "what", k[key]) for key in ("metric", "value")),
                str(k["n"]),
                _percent(k["median_ape"]),
                _percent(k["mape"]),
                _percent(k["bias"], sign=True),
                _percent(k["coverage80"], digits=0),
            )
            for k in kinds
        ),
    )


def _groups(t: Phrases, groups: Sequence[Values]) -> Iterator[Section]:
    """A section a table and regime; one line a group: how many of how many rows, errors [%]."""
    ordered = sorted(
        groups,
        key=lambda g: (g["table"], g["regime"] != "headline", g["regime"], g.get("engine", "")),
    )
    for heading, mine in groupby(ordered, lambda g: _heading(t, g)):
        rows = tuple(_group(t, g) for g in mine)
        blocks: tuple[Block, ...] = (Table(_heads(t, GROUPS), rows),)
        yield Section(heading, blocks)


def _heading(t: Phrases, group: Values) -> str:
    regime, colon, why = group["regime"].partition(": ")
    names = [group["table"]]
    if regime and regime != "headline":
        names.append(word(t, "regime", regime) + (f": {data_text(why, t.lang)}" if colon else ""))
    text = t("list.comma").join(names)
    return f"{text}: {group['engine']}" if group.get("engine") else text


def _group(t: Phrases, g: Values) -> tuple[str, ...]:
    parts = (
        word(t, "what", g.get("quantity") or g["metric"]),
        _mode(t, g.get("mode", "")),
        g["device"],
        g["model"],
    )
    return (
        " · ".join(filter(None, parts)),
        f"{g['n']}/{g['n_rows']}",
        _percent(g["median_ape"]),
        _percent(g["p90_ape"]),
        _percent(g["mape"]),
        _percent(g["bias"], sign=True),
        _percent(g["coverage80"], digits=0),
    )


def _mode(t: Phrases, mode: str) -> str:
    return word(t, "mode", MODES.get(mode, mode))


def _worst(t: Phrases, o: Values) -> str:
    """A row that is far off, with how it was predicted."""
    what = " ".join(
        filter(None, (word(t, "what", o["quantity"] or o["metric"]), _mode(t, o["mode"])))
    )
    names = filter(None, (what, o["model"], data_text(o["software"], t.lang)))
    return t(
        "worst.item",
        error=f"{o['error_percent']:+.2f} %",
        table=o["table"],
        row=o["row"],
        name=t("list.comma").join(names),
        predicted=_size(o, "predicted"),
        measured=_size(o, "measured"),
        basis=data_text(o["basis"], t.lang),
    )


def _uncovered(t: Phrases, u: Values) -> str:
    """A reason with its number of rows, which rows, and what the reason means."""
    text = t(
        "uncovered.item",
        n=u["n"],
        table=u["table"],
        why=word(t, "reason", u["reason"]),
        meaning=t.texts.get(f"meaning.{u['reason']}", u["meaning"]),
    )
    return text + (t("uncovered.rows", rows=u["rows"]) if u["rows"] else "")


def _percent(value: float | None, *, sign: bool = False, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _size(row: Values, key: str) -> str:
    if row["metric"] == "latency":
        return format_seconds(row[key])
    return format_bytes(row[key]) if "gib" in row["quantity"] else f"{row[key]:,.2f}"
