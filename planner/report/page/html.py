"""A plan as one self-contained page: no script, no network, the same bytes for the same plan."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.planning.plan.picture import fill, ink
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.page.content import NOTHING, Beside, content
from planner.report.page.embedded import CONTROL, beside_dict, script_json
from planner.report.page.interactive import Interactive, check_bytes

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_LINK = re.compile(r"https?://[^\s()<>\"']+")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                       keep_trailing_newline=True)
    made.filters.update(gib=words.gib, count=words.count, percent=words.percent, loss=words.loss,
                        seconds=words.span, three=words.three, mib=words.mib, fill=fill, ink=ink,
                        spans=_spans, anchor=_anchor, code=_code)
    return made


def page(plan: Plan, lang: str = "en", beside: Beside = NOTHING,
         around: Interactive | None = None) -> str:
    """The whole HTML document, ending with a newline; the plan file is embedded as JSON. ``around``
    adds the what-if page, the only script.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    found = content(plan, lang, beside)
    text = _environment().get_template("plan.html.j2").render(
        plan=plan, c=found, t=found.t, roofline=Markup(found.roofline),
        reach=Markup(found.reach), users=Markup(found.users),
        flow=Markup(found.pools.flow if found.pools is not None else ""),
        embedded=Markup(script_json(plan.to_dict())),
        beside=Markup(script_json(beside_dict(beside, lang))), i=around,
        script=Markup(around.script if around else ""),
        what_if=Markup(_bounded(script_json(around.data)) if around else ""))
    return text.translate(CONTROL)


def _bounded(text: str) -> str:
    check_bytes(len(text.encode()))
    return text


def _spans(text: str) -> list[tuple[str, bool]]:
    """Split a text at its web addresses: (piece, whether it is an address)."""
    out, at = [], 0
    for found in _LINK.finditer(text):
        out += [(text[at:found.start()], False), (found.group(), True)]
        at = found.end()
    return [(piece, link) for piece, link in [*out, (text[at:], False)] if piece]


def _anchor(key: str) -> str:
    """A key as part of an id."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", key)


def _code(text: str) -> Markup:
    """A text of ours whose `commands` stand between backticks."""
    from markupsafe import Markup, escape

    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces))
