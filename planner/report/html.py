"""A plan as one self-contained page: no script, no network, the same bytes for the same plan."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.planning.plan import NextBest, Plan, UnitPlan, layer_range
from planner.report import words
from planner.report.picture import fill, ink, memory_shares, picture

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).resolve().parent / "templates"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026",
            "\u2028": "\\u2028", "\u2029": "\\u2029"}
_LINK = re.compile(r"https?://[^\s()<>\"']+")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                       keep_trailing_newline=True)
    made.filters.update(gib=words.gib, count=words.count, percent=words.percent, loss=words.loss,
                        seconds=_seconds, fill=fill, ink=ink, spans=_spans, layers=_layers)
    return made


def page(plan: Plan) -> str:
    """The whole HTML document, ending with a newline; the plan file is embedded as JSON."""
    from markupsafe import Markup

    times = [unit.decode_seconds for unit in plan.units]
    step, longest = sum(times), max(times, default=0.0)
    scenario = next((a for a in plan.assumptions if a.key == "scenario"), None)
    return _environment().get_template("plan.html.j2").render(
        plan=plan, picture=picture(plan), memory=memory_shares(plan.memory_per_device),
        question=words.question(plan), answer=words.answer(plan), layout=words.layout(plan),
        proof=words.proof(plan), figures=words.key_figures(plan), device=words.device(plan),
        units=[_unit(unit, step, longest) for unit in plan.units], caches=_caches(plan),
        scenario=scenario, embedded=Markup(embedded_json(plan)))


def embedded_json(plan: Plan) -> str:
    """The plan file's text, safe inside a script element: no character can close it."""
    text = json.dumps(plan.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return "".join(_ESCAPES.get(c, c) for c in text)


def _unit(unit: UnitPlan, step: float, longest: float) -> dict[str, Any]:
    return {
        "unit": unit, "layers": _layers(unit.layers), "next": _next(unit.next_best),
        "share": unit.decode_seconds / step if step else 0.0,
        "length": unit.decode_seconds / longest if longest else 0.0,
    }


def _next(following: NextBest | None) -> str:
    if following is None:
        return ""
    small = 0 < abs(following.delta) < 0.0005
    return f"{following.scheme} ({'<0.1%' if small else f'{following.delta:+.1%}'})"


def _layers(layers: tuple[int, ...]) -> str:
    text = layer_range(layers).replace("-", "–")
    spans = text.split(", ")
    return text if len(spans) <= 4 else f"{', '.join(spans[:3])} … ({len(layers)} layers)"


def _seconds(value: float) -> str:
    return "\u00a0".join(words.seconds(value))


def _spans(text: str) -> list[tuple[str, bool]]:
    """Split a text at its web addresses: (piece, whether it is an address)."""
    out, at = [], 0
    for found in _LINK.finditer(text):
        out += [(text[at:found.start()], False), (found.group(), True)]
        at = found.end()
    return [(piece, link) for piece, link in [*out, (text[at:], False)] if piece]


def _caches(plan: Plan) -> list[dict[str, Any]]:
    """Cache records grouped by kind and layout, with their layers and bytes a token."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for item in plan.kv_cache.layers:
        groups.setdefault((item.kind, item.layout, item.bytes_per_token), []).append(item.layer)
    return [{"kind": kind, "layout": layout, "bytes": size, "layers": _layers(tuple(layers)),
             "total": size * len(layers)} for (kind, layout, size), layers in groups.items()]
