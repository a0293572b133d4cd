"""A comparison as one self-contained page; the same bytes again for the same answer.

What to take, the charts and the rows that decide come first; every row, why rows are rejected, what
does not run and what was measured are folded. The one script sorts and filters rows that are there
without it; the page's policy allows it by its digest, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

from planner.planning.what_if.compared import Compared
from planner.report.charts.compared import LANGUAGE_FOLDER, compared_panels, loss_panels
from planner.report.charts.dots_svg import panels_svg
from planner.report.compared_terms import rounded_loss
from planner.report.phrases import Phrases, phrases
from planner.report.render.view_html import PageWords, view_page
from planner.report.view.compared_table import line_of, table_of
from planner.report.view.compared_view import compared_view, pair_name
from planner.report.view.record import Fact, View

SCRIPT = Path(__file__).resolve().parents[1] / "templates" / "compare.js"
FILTERS = ("model", "device", "engine")


def compared_page(comparison: Compared, lang: str = "en") -> str:
    """The whole HTML document, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    say = phrases(lang, LANGUAGE_FOLDER)
    table = table_of(comparison, say)
    lines = [
        line_of(table, pair, row)
        for pair in comparison.pairs
        for row in comparison.of(pair)
        if row.feasible
    ]
    options = (comparison.models, comparison.devices, table.engines)
    figures = [
        (key, panels)
        for key, panels in (
            ("rates", compared_panels(comparison, say)),
            ("losses", loss_panels(comparison, say)),
        )
        if panels.panels
    ]
    script, digest = _script()
    return view_page(
        _view(comparison, say),
        PageWords(say("page.lang"), say("page.kicker"), say("page.skip"), say("page.footer")),
        "compare.html.j2",
        {
            "say": say,
            "figures": [
                (key, panels.title, Markup(panels_svg(panels, key))) for key, panels in figures
            ],
            "limits": _limits(comparison, say),
            "columns": table.columns,
            "lines": lines,
            "filters": [
                (n, name, names)
                for n, (name, names) in enumerate(zip(FILTERS, options, strict=True))
                if len(names) > 1
            ],
            "unit": say.original(
                next((row.loss_unit for row in comparison.rows if row.loss_unit), "")
            ),
            "anchors": [(say.original(one.text), one.source) for one in table.measured],
            "script": Markup(script),
            "digest": digest,
        },
    )


def _view(comparison: Compared, say: Phrases) -> View:
    """The answer as the terminal has it, with what a device-hour costs; what the page has of its
    own (what was measured, with places) and what is said of flags is left out."""
    view = compared_view(comparison, say.lang)
    kept = [s for s in view.sections if s.title != say("anchors.title")][:-1]
    if kept and not kept[0].title:
        kept[0] = replace(kept[0], title=say("first.title"))
    prices = _prices(comparison, say)
    facts = (*view.facts, Fact(say("price.label"), prices)) if prices else view.facts
    return replace(view, facts=facts, sections=tuple(kept))


def _limits(comparison: Compared, say: Phrases) -> str:
    """The limits that hollow marks are over."""
    times = dict.fromkeys(say.original(pair.limits) for pair in comparison.pairs if pair.limits)
    having: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        if pair.loss_limit is not None:
            name = pair_name(comparison, pair, say)
            having.setdefault(rounded_loss(pair.loss_limit), []).append(name)
    losses = [
        say("figure.loss_of", limit=limit, pair=say("verdict.comma").join(names))
        for limit, names in having.items()
    ]
    return say(
        "figure.lead",
        limits=say("verdict.comma").join(times),
        loss=say("verdict.comma").join(losses) or say("figure.no_loss"),
    )


def _prices(comparison: Compared, say: Phrases) -> str:
    """What a device-hour costs, and how to say it where nobody does."""
    known: dict[str, str] = {}
    free: list[str] = []
    for pair in comparison.pairs:
        if not any(row.feasible for row in comparison.of(pair)) or pair.device in (*known, *free):
            continue
        if pair.price_usd_per_hour is None:
            free.append(pair.device)
        else:
            known[pair.device] = say(
                "price.one",
                device=pair.device,
                usd=f"{pair.price_usd_per_hour:.2f}",
                source=say.name(pair.price_source),
            )
    out = [say("verdict.comma").join(known.values())] if known else []
    if free:
        out.append(
            say(
                "price.none",
                devices=say("verdict.comma").join(free),
                flag=",".join(f"{name}=USD" for name in free),
            )
        )
    return say("price.stop").join(out)


@cache
def _script() -> tuple[str, str]:
    text = SCRIPT.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"\n{text}".encode()).digest()
    return text, base64.b64encode(digest).decode()
