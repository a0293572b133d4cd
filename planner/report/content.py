"""What a report shows, in one language and before any markup: shared by HTML and Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner import __version__
from planner.planning.plan import NextBest, Plan, UnitPlan, layer_range
from planner.report import words
from planner.report.phrases import Phrases, phrases
from planner.report.picture import Picture, Share, memory_shares, picture

if TYPE_CHECKING:
    from planner.report.operators import Operators


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A decision; ``share`` of the decode step, ``length`` relative to the longest [1]."""

    unit: UnitPlan
    layers: str
    bound: str
    reason: str
    next: str
    share: float
    length: float


@dataclass(frozen=True, slots=True)
class CacheRow:
    """Cache records of one kind and layout; ``total`` bytes a token over its layers."""

    kind: str
    layout: str
    layers: str
    bytes: int
    total: int


@dataclass(frozen=True, slots=True)
class Content:
    """Sentences, tables and figures of one report."""

    t: Phrases
    device: str
    question: str
    answer: str
    versus: str
    figures: list[words.Figure]
    picture: Picture
    ends: str
    memory: tuple[Share, ...]
    layout: str
    units: list[UnitRow]
    baseline_reasons: dict[str, str]
    caches: list[CacheRow]
    proof: str
    missing: list[str]
    scenario: str
    asked: str
    command: str
    version: str
    engine: str
    identity: str
    operators: Operators | None


def content(plan: Plan, lang: str, *, operators: Operators | None, asked: str) -> Content:
    """Everything that a report of ``plan`` says in ``lang``.

    Raises:
        UnknownNameError: no such language.
    """
    t = phrases(lang)
    drawn = picture(plan)
    versus = t.original(plan.comparison.text)
    engine = t("reproduce.any_engine") if plan.engine.name == "any" else \
        " ".join(filter(None, (plan.engine.name, plan.engine.version)))
    return Content(
        t=t, device=words.device(plan), question=words.question(t, plan),
        answer=words.answer(t, plan),
        versus=t("page.gain", text=versus) if plan.comparison.gain else versus,
        figures=words.key_figures(t, plan), picture=drawn,
        ends=", ".join(f"{kind} {scheme}" for kind, scheme in drawn.ends),
        memory=memory_shares(plan.memory_per_device), layout=words.layout(t, plan),
        units=_units(t, plan),
        baseline_reasons={b.name: t.original(b.reason) for b in plan.baselines},
        caches=_caches(t, plan), proof=words.proof(t, plan), missing=words.missing(t, plan),
        scenario=next((a.reason for a in plan.assumptions if a.key == "scenario"), ""),
        asked=asked, command=words.reproduce(plan), version=__version__, engine=engine,
        identity=words.identity(t, plan), operators=operators)


def _units(t: Phrases, plan: Plan) -> list[UnitRow]:
    times = [unit.decode_seconds for unit in plan.units]
    step, longest = sum(times), max(times, default=0.0)
    return [UnitRow(u, layers(t, u.layers), t.texts.get(f"bound.{u.bound}", u.bound),
                    t.original(u.reason), _next(u.next_best),
                    u.decode_seconds / step if step else 0.0,
                    u.decode_seconds / longest if longest else 0.0) for u in plan.units]


def _next(following: NextBest | None) -> str:
    if following is None:
        return ""
    small = 0 < abs(following.delta) < 0.0005
    return f"{following.scheme} ({'<0.1%' if small else f'{following.delta:+.1%}'})"


def layers(t: Phrases, numbers: tuple[int, ...]) -> str:
    """Layers as ranges; many ranges are cut."""
    text = layer_range(numbers).replace("-", "–")
    spans = text.split(", ")
    if len(spans) <= 4:
        return text
    return t("units.many", first=", ".join(spans[:3]), n=len(numbers))


def _caches(t: Phrases, plan: Plan) -> list[CacheRow]:
    """Cache records grouped by kind and layout, with their layers and bytes a token."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for item in plan.kv_cache.layers:
        groups.setdefault((item.kind, item.layout, item.bytes_per_token), []).append(item.layer)
    return [CacheRow(kind, layout, layers(t, tuple(found)), size, size * len(found))
            for (kind, layout, size), found in groups.items()]
