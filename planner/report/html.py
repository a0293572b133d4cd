"""A plan as one self-contained page: no script, no network, the same bytes for the same plan."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.planning.plan import Plan
from planner.report import words
from planner.report.content import NOTHING, Beside, content
from planner.report.picture import fill, ink

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).resolve().parent / "templates"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026",
            "\u2028": "\\u2028", "\u2029": "\\u2029"}
_CONTROL = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160),
                          *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")
_LINK = re.compile(r"https?://[^\s()<>\"']+")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                       keep_trailing_newline=True)
    made.filters.update(gib=words.gib, count=words.count, percent=words.percent, loss=words.loss,
                        seconds=words.span, fill=fill, ink=ink, spans=_spans)
    return made


def page(plan: Plan, lang: str = "en", beside: Beside = NOTHING) -> str:
    """The whole HTML document, ending with a newline; the plan file is embedded as JSON.

    Raises:
        UnknownNameError: no such language.
    """
    from markupsafe import Markup

    found = content(plan, lang, beside)
    text = _environment().get_template("plan.html.j2").render(
        plan=plan, c=found, t=found.t, roofline=Markup(found.roofline),
        embedded=Markup(embedded_json(plan)))
    return text.translate(_CONTROL)


def embedded_json(plan: Plan) -> str:
    """The plan file's text, safe inside a script element: no character can close it."""
    text = json.dumps(plan.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = "".join(_ESCAPES.get(c, c) for c in text)
    return "".join(f"\\u{ord(c):04x}" if ord(c) in _CONTROL else c for c in safe)


def _spans(text: str) -> list[tuple[str, bool]]:
    """Split a text at its web addresses: (piece, whether it is an address)."""
    out, at = [], 0
    for found in _LINK.finditer(text):
        out += [(text[at:found.start()], False), (found.group(), True)]
        at = found.end()
    return [(piece, link) for piece, link in [*out, (text[at:], False)] if piece]
