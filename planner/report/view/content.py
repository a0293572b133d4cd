"""What a report shows, in one language and before any markup: shared by HTML and Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from planner.base.units import format_layers
from planner.planning.inspect.derived_figures import DerivedFigures
from planner.planning.inspect.roofline import Operator, Operators
from planner.planning.inspect.waterfall import BOUND_FILLS, Waterfall, waterfall
from planner.planning.plan.picture import MemoryShare, Picture, memory_shares, picture
from planner.planning.plan.record import NextBest, Plan, UnitPlan
from planner.report import key_figures, words
from planner.report.charts.plan_figures import PlanLimits, limits_of
from planner.report.charts.reach_svg import reach_svg
from planner.report.charts.roofline_svg import operator_numbers, roofline_svg
from planner.report.charts.users_svg import users_svg
from planner.report.phrases import Phrases, phrases_on
from planner.report.view.alternatives import next_measurements
from planner.report.view.answer import answer_view
from planner.report.view.comparisons import ModeSection, sections
from planner.report.view.figures import (
    ChartRival,
    LossBasisView,
    Tornado,
    limit_text,
    loss_basis_view,
    rivals,
    tornado,
)
from planner.report.view.pools import PoolsView, pools_view
from planner.report.view.record import Section, View
from planner.report.view.rival_plans import RivalsView, rivals_view
from planner.report.view.shown_plans import PAGE_OTHERS


@dataclass(frozen=True, slots=True)
class ReportExtras:
    """What a report tells beside the plan: what was ``computed`` (None: nothing was tried), the
    command of the question as it was ``asked`` (empty: unknown), the program's ``version``."""

    computed: DerivedFigures | None = None
    asked: str = ""
    version: str = ""


NOTHING = ReportExtras()
COMMAND_COLUMNS = 80
"""Other plans that a page shows, and the columns of its commands."""


@dataclass(frozen=True, slots=True)
class RooflineRow:
    """A line of the table under the roofline; texts are empty where a phase has no operator."""

    number: int
    kind: str
    scheme: str
    decode: tuple[str, str, str]
    prefill: tuple[str, str, str]


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
class LayerRow:
    """Neighbouring layers that take the same formats in every module."""

    layers: str
    schemes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PremiseRow:
    """A figure of the device with its unit, kind and source key; ``known``: the key is listed."""

    name: str
    value: str
    kind: str
    source: str
    date: str
    known: bool


@dataclass(frozen=True, slots=True)
class Content:
    """Sentences, tables and figures of one report."""

    t: Phrases
    device: str
    view: View
    run: tuple[Section, ...]
    others: Section
    next_measurements: list[Section]
    weighed: RivalsView | None
    versus: str
    anchor: str
    picture: Picture
    ends: str
    memory: tuple[MemoryShare, ...]
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
    computed: DerivedFigures | None
    operators: Operators | None
    roofline: str
    roofline_rows: list[RooflineRow]
    waterfalls: tuple[Waterfall, Waterfall]
    waterfall_lines: dict[str, str]
    bounds: list[str]
    rivals: tuple[ChartRival, ...]
    layer_rows: list[LayerRow]
    servers: list[words.Server]
    premises: list[PremiseRow]
    limit: str
    reach: str
    users: str
    tornado: Tornado | None
    frontier_command: str
    basis: str
    repeated: frozenset[str]
    pools: PoolsView | None
    sections: list[ModeSection]
    loss: LossBasisView

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases of the roofline: decode workers of pools read no prompts."""
        return ("decode", "prefill") if self.pools is None else ("decode",)


def _limit_words(t: Phrases, limits: PlanLimits) -> str:
    """The limits that a plan keeps, as a list; empty without one."""
    return t("limits.comma").join(limit_text(t, limits, name) for name in limits.names)


def content(plan: Plan, lang: str, extras: ReportExtras) -> Content:
    """Everything that a report of ``plan`` says in ``lang``.

    Raises:
        UnknownNameError: no such language.
    """
    t = phrases_on(plan.device.id, lang)
    times = (waterfall(plan, "decode"), waterfall(plan, "prefill"))
    drawn, made = picture(plan), extras.computed
    limits = limits_of(plan)
    counted = made.operators if made is not None else None
    versus = words.comparison(t, plan)
    view = answer_view(t, plan, PAGE_OTHERS, width=COMMAND_COLUMNS)
    engine = (
        t("reproduce.any_engine")
        if plan.engine.name == "any"
        else " ".join(filter(None, (plan.engine.name, plan.engine.version)))
    )
    return Content(
        t=t,
        device=words.device(plan),
        view=view,
        run=view.sections[:-1],
        others=Section("", view.sections[-1].blocks[:-1]),
        next_measurements=next_measurements(t, plan),
        weighed=rivals_view(t, plan),
        versus=t("page.gain", text=versus) if plan.comparison.gain else versus,
        anchor=words.anchor(t, plan),
        picture=drawn,
        ends=", ".join(f"{kind} {scheme}" for kind, scheme in drawn.ends),
        memory=memory_shares(plan.memory_per_device),
        layout=words.layout(t, plan),
        units=_units(t, plan),
        baseline_reasons={b.name: t.pieced(b.reason) for b in plan.baselines},
        caches=_caches(t, plan),
        proof=words.proof(t, plan),
        missing=words.left_out(t, plan),
        scenario=next((a.reason for a in plan.assumptions if a.key == "scenario"), ""),
        asked=extras.asked,
        command=words.reproduce(plan),
        version=extras.version,
        engine=engine,
        identity=words.digests(t, plan),
        computed=made,
        operators=counted,
        roofline=roofline_svg(t, counted) if counted is not None and counted.points else "",
        roofline_rows=_roofline_rows(counted) if counted is not None else [],
        waterfalls=times,
        waterfall_lines={w.phase: words.waterfall_line(t, plan, w) for w in times},
        bounds=[name for name in BOUND_FILLS if any(bar.bound == name for bar in times[0].bars)],
        rivals=rivals(t, plan, limits) if plan.baselines else (),
        layer_rows=_layers(drawn),
        servers=words.servers(plan),
        premises=_premises(t, plan, made),
        limit=_limit_words(t, limits),
        reach=reach_svg(t, plan, made.frontier, limits)
        if made is not None and made.frontier
        else "",
        users=users_svg(t, plan, made.room) if made is not None and made.room else "",
        tornado=tornado(t, plan, made.sensitivity)
        if made is not None and made.sensitivity is not None
        else None,
        frontier_command=words.frontier_command(plan),
        basis=key_figures.basis(t, plan.performance.tpot_seconds),
        repeated=frozenset(k for k, n in Counter(s.key for s in plan.sources).items() if n > 1),
        pools=pools_view(t, plan),
        sections=sections(t, plan),
        loss=loss_basis_view(t, plan, made),
    )


def _units(t: Phrases, plan: Plan) -> list[UnitRow]:
    times = [unit.decode_seconds for unit in plan.units]
    step, longest = sum(times), max(times, default=0.0)
    return [
        UnitRow(
            u,
            layers(t, u.layers),
            t.texts.get(f"bound.{u.bound}", u.bound),
            t.original(u.reason),
            _next(u.next_best),
            u.decode_seconds / step if step else 0.0,
            u.decode_seconds / longest if longest else 0.0,
        )
        for u in plan.units
    ]


def _layers(drawn: Picture) -> list[LayerRow]:
    """Layers with the same formats in a row; a module that a layer lacks is empty."""
    columns = [
        [run.scheme for run in strip.runs for _ in range(run.count)] for strip in drawn.strips
    ]
    rows: list[tuple[int, int, tuple[str, ...]]] = []
    for layer, schemes in enumerate(zip(*columns, strict=True)):
        if rows and rows[-1][2] == schemes:
            rows[-1] = (rows[-1][0], layer, schemes)
        else:
            rows.append((layer, layer, schemes))
    return [LayerRow(f"{a}" if a == b else f"{a}–{b}", schemes) for a, b, schemes in rows]


def _premises(t: Phrases, plan: Plan, made: DerivedFigures | None) -> list[PremiseRow]:
    known = {source.key for source in plan.sources}
    return [
        PremiseRow(
            t(f"premises.{p.name}", of=t.original(p.of)),
            words.with_prefix(p.value, p.unit),
            t.texts.get(f"kind.{p.kind}", p.kind),
            p.source,
            p.date,
            p.source in known,
        )
        for p in (made.premises if made is not None else ())
    ]


def _roofline_rows(operators: Operators) -> list[RooflineRow]:
    by_place = {(o.kind, o.scheme, o.phase): o for o in operators.points}

    def texts(operator: Operator | None) -> tuple[str, str, str]:
        if operator is None:
            return "", "", ""
        return (
            words.three_digits(operator.intensity),
            words.three_digits(operator.flop_per_s / 1e12),
            words.percent(operators.share_of_roof(operator)),
        )

    return [
        RooflineRow(
            number,
            kind,
            scheme,
            texts(by_place.get((kind, scheme, "decode"))),
            texts(by_place.get((kind, scheme, "prefill"))),
        )
        for (kind, scheme), number in operator_numbers(operators).items()
    ]


def _next(following: NextBest | None) -> str:
    if following is None:
        return ""
    small = 0 < abs(following.delta) < 0.0005
    return f"{following.scheme} ({'<0.1%' if small else f'{following.delta:+.1%}'})"


def layers(t: Phrases, numbers: tuple[int, ...]) -> str:
    """Layers as ranges; many ranges are cut."""
    text = format_layers(numbers).replace("-", "–")
    spans = text.split(", ")
    if len(spans) <= 4:
        return text
    return t("units.many", first=", ".join(spans[:3]), n=len(numbers))


def _caches(t: Phrases, plan: Plan) -> list[CacheRow]:
    """Cache records grouped by kind and layout, with their layers and bytes a token."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for item in plan.kv_cache.layers:
        groups.setdefault((item.kind, item.layout, item.bytes_per_token), []).append(item.layer)
    return [
        CacheRow(kind, layout, layers(t, tuple(group)), size, size * len(group))
        for (kind, layout, size), group in groups.items()
    ]
