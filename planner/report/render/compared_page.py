"""A comparison as one self-contained page; the same bytes again for the same answer.

The one script sorts and filters rows that are there without it; the page's policy allows it by its
digest, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.planning.what_if.compared import Compared, ComparedPair
from planner.report.charts.compared import LANGUAGE_FOLDER, chart_plans, compared_panels
from planner.report.charts.dots_svg import panels_svg
from planner.report.phrases import Phrases, phrases
from planner.report.render.embedded import CONTROL
from planner.report.render.html import _environment
from planner.report.terminal.compared import absent_rows
from planner.report.view.compared_table import ComparedLine, ComparedTable, line_of, table_of
from planner.report.view.compared_verdict import verdict_of

SCRIPT = Path(__file__).resolve().parents[1] / "templates" / "compare.js"


@dataclass(frozen=True, slots=True)
class NotRun:
    """What does not run of a model on a device, and why."""

    where: str
    names: str
    reason: str


def compared_page(comparison: Compared, lang: str = "en") -> str:
    """The whole HTML document, ending with a newline.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    say = phrases(lang, LANGUAGE_FOLDER)
    table = table_of(comparison, say)
    first, beaten = _lines(table)
    figures = [(model, compared_panels(comparison, say, (model,))) for model in comparison.models]
    script, digest = _script()
    text = (
        _environment()
        .get_template("compare.html.j2")
        .render(
            say=say,
            title=say(
                "page.title",
                models=say("verdict.comma").join(comparison.models),
                devices=say("verdict.comma").join(comparison.devices),
            ),
            verdicts=[verdict_of(comparison, model, say) for model in comparison.models],
            asked=_question_lines(comparison, say),
            prices=_prices(comparison, say),
            figures=[
                {"model": model, "svg": Markup(panels_svg(figure, f"rates-{n}"))}
                for n, (model, figure) in enumerate(figures)
                if figure.panels
            ],
            columns=table.columns,
            first=first,
            beaten=beaten,
            refused=_refused(comparison, say),
            filters=[
                (name, options)
                for name, options in (
                    ("model", comparison.models),
                    ("device", comparison.devices),
                    ("engine", table.engines),
                )
                if len(options) > 1
            ],
            unit=say.original(
                next((row.loss_unit for row in comparison.rows if row.loss_unit), "")
            ),
            anchors=[
                (say.original(published_loss.text), published_loss.source)
                for published_loss in table.measured
            ],
            script=Markup(script),
            digest=digest,
        )
    )
    return text.translate(CONTROL)


def _lines(table: ComparedTable) -> tuple[list[ComparedLine], list[ComparedLine]]:
    """The rows that no other beats, and the others."""
    first: list[ComparedLine] = []
    beaten: list[ComparedLine] = []
    for pair in table.found.pairs:
        for shown in chart_plans(table.found, pair):
            (beaten if shown.beaten else first).append(line_of(table, pair, shown))
    return first, beaten


def _question_lines(comparison: Compared, say: Phrases) -> list[str]:
    """What was asked, for each pair where that differs."""
    known = {(pair.requests, pair.limits) for pair in comparison.pairs if pair.requests}
    aim = say(f"aim.{comparison.objective}")
    out = []
    for pair in comparison.pairs:
        if not pair.requests:
            continue
        text = say(
            "asked.all",
            aim=aim,
            requests=say.original(pair.requests),
            limits=say.original(pair.limits),
        )
        out.append(
            text
            if len(known) == 1
            else say("asked.pair", model=pair.model, device=pair.device, text=text)
        )
    return list(dict.fromkeys(out))


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
    out = [say("price.known", prices=say("verdict.comma").join(known.values()))] if known else []
    if free:
        out.append(
            say(
                "price.none",
                devices=say("verdict.comma").join(free),
                flag=",".join(f"{name}=USD" for name in free),
            )
        )
    return say("price.stop").join(out)


def _refused(comparison: Compared, say: Phrases) -> list[NotRun]:
    return [
        NotRun(
            _named(comparison, pair, say),
            say("verdict.comma").join(map(say.name, names)),
            say.marked(reason),
        )
        for pair in comparison.pairs
        for reason, names in absent_rows(comparison.of(pair)).items()
    ]


def _named(comparison: Compared, pair: ComparedPair, say: Phrases) -> str:
    return (
        pair.device
        if len(comparison.models) == 1
        else say("figure.pair", model=pair.model, device=pair.device)
    )


@cache
def _script() -> tuple[str, str]:
    text = SCRIPT.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"\n{text}".encode()).digest()
    return text, base64.b64encode(digest).decode()
