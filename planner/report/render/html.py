"""A plan as one self-contained page: no script, no network, the same bytes for the same plan."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.messages.catalogue import CLOSE, OPEN
from planner.planning.plan.picture import format_colour, text_colour
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.dots_svg import dot_plot_svg
from planner.report.render.embedded import CONTROL, extras_dict, script_json
from planner.report.render.interactive import Interactive, check_bytes
from planner.report.view.assumed_sections import assumption, cited, title
from planner.report.view.content import NOTHING, ReportExtras, content
from planner.report.view.record import block_kind

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from planner.planning.plan.record import Assumption
    from planner.report.phrases import Phrases

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_QUOTES = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)
_LINK = re.compile(r"https?://[^\s()<>\"']+")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        gib=words.gib,
        count=words.count,
        percent=words.percent,
        loss=words.loss,
        seconds=words.span,
        three=words.three_digits,
        mib=words.mib,
        fill=format_colour,
        ink=text_colour,
        told=_marked_up,
        assumed=_assumed,
        cited=_cited,
        titled=_titled,
        anchor=_anchor,
        code=_code,
        heading=_heading,
    )
    return made


def page(
    plan: Plan, lang: str = "en", extras: ReportExtras = NOTHING, around: Interactive | None = None
) -> str:
    """The whole HTML document, ending with a newline; the plan file is embedded as JSON. ``around``
    adds the what-if page, the only script.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    shown = content(plan, lang, extras)
    text = (
        _environment()
        .get_template("plan.html.j2")
        .render(
            plan=plan,
            c=shown,
            t=shown.t,
            roofline=Markup(shown.roofline),
            rivals=Markup(
                dot_plot_svg(shown.weighed.chart, "rivals") if shown.weighed is not None else ""
            ),
            kind=block_kind,
            anchor=words.anchor(shown.t, plan, marked=True),
            reach=Markup(shown.reach),
            users=Markup(shown.users),
            flow=Markup(shown.pools.flow if shown.pools is not None else ""),
            embedded=Markup(script_json(plan.to_dict())),
            beside=Markup(script_json(extras_dict(extras, lang))),
            i=around,
            script=Markup(around.script if around else ""),
            what_if=Markup(_bounded(script_json(around.data)) if around else ""),
        )
    )
    return text.translate(CONTROL)


def _bounded(text: str) -> str:
    check_bytes(len(text.encode()))
    return text


def _marked_up(text: str) -> Markup:
    """A text of ours or of a plan: addresses are links, `commands` between backticks are code, and
    what is marked as quoted is a quotation in its own language."""
    from markupsafe import Markup

    out = Markup("")
    for n, piece in enumerate(_QUOTES.split(text)):
        if n % 2:
            out += Markup('<cite lang="en">{}</cite>').format(_linked(piece))
        else:
            for k, part in enumerate(piece.split("`")):
                out += Markup("<code>{}</code>").format(part) if k % 2 else _linked(part)
    return out


def _assumed(item: Assumption, t: Phrases) -> tuple[str, str, str]:
    return assumption(t, item)


def _cited(text: str, t: Phrases) -> str:
    return cited(t, text)


def _titled(text: str, t: Phrases) -> str:
    return title(t, text)


def _linked(text: str) -> Markup:
    from markupsafe import Markup, escape

    return Markup("").join(
        Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(piece) if link else escape(piece)
        for piece, link in _spans(text)
    )


def _spans(text: str) -> list[tuple[str, bool]]:
    """Split a text at its web addresses: (piece, whether it is an address)."""
    out, at = [], 0
    for link in _LINK.finditer(text):
        out += [(text[at : link.start()], False), (link.group(), True)]
        at = link.end()
    return [(piece, link) for piece, link in [*out, (text[at:], False)] if piece]


def _anchor(key: str) -> str:
    """A key as part of an id."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", key)


def _heading(title: str) -> str:
    """A heading without the colon that ends it on a terminal."""
    return title.rstrip(":：")


def _code(text: str) -> Markup:
    """A text of ours whose `commands` stand between backticks."""
    from markupsafe import Markup, escape

    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    )
