"""A plan as Markdown, for pull requests and terminals: the page's content without its pictures."""

from __future__ import annotations

from planner.messages.words import unmarked
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.render.markdown_parts import (
    code,
    escape,
    loss_part,
    priced_parts,
    section_parts,
    table,
)
from planner.report.render.view_markdown import facts_markdown, view_markdown
from planner.report.view.answer import answer_view
from planner.report.view.answer_details import published_benchmarks, time_by_module
from planner.report.view.assumed_sections import assumption
from planner.report.view.content import NOTHING, Content, ReportExtras, content
from planner.report.view.pools import PoolsView
from planner.report.view.record import Section, View

ALL_PLANS = 99
"""More than any plan is weighed against."""


def markdown(plan: Plan, lang: str = "en", extras: ReportExtras = NOTHING) -> str:
    """The report as Markdown, ending with a newline; the same bytes for the same plan.

    Raises:
        UnknownNameError: no such language.
    """
    c = content(plan, lang, extras)
    answer = answer_view(c.t, plan, ALL_PLANS)
    later = (time_by_module(c.t, plan, 0), *published_benchmarks(c.t, plan), *c.next_measurements)
    shown = (*answer.sections[:-1], _named_section(c, answer.sections[-1]), *later)
    lines = [*view_markdown(View(answer.title, answer.facts, shown)).split("\n")]
    for part in (
        _pools(c),
        section_parts(c),
        _memory(c),
        _baselines(plan, c),
        *priced_parts(c),
        _times(c),
        _roofline(c),
        _units(c),
        _caches(c),
        _engines(c),
        _assumptions(plan, c),
        _sources(plan, c),
        _end(plan, c),
    ):
        lines += part
    return "\n".join(lines).rstrip("\n") + "\n"


def _named_section(c: Content, section: Section) -> Section:
    """Other plans under a heading, without the line on what a terminal shows with flags."""
    return Section(c.t("plan.alternatives"), section.blocks[:-1])


def _pools(c: Content) -> list[str]:
    """Both pools beside each other, and their formats; nothing of a plan without."""
    t, pools = c.t, c.pools
    if pools is None:
        return []
    both = [t("pools.prefill"), t("pools.decode")]
    formats = table(
        [t("units.unit"), t("units.layers"), *both],
        ([r.matrix, r.layers, r.prefill, r.decode] for r in pools.formats),
        (),
    )
    return [
        f"## {t('pools.title')}",
        "",
        escape(t("pools.lead")),
        "",
        *facts_markdown(pools.facts),
        *table(["", *both], ([r.name, r.prefill, r.decode] for r in pools.rows), ()),
        f"### {t('pools.formats')}",
        "",
        *formats,
    ]


def _memory(c: Content) -> list[str]:
    t = c.t
    rows = ([t(f"memory.{s.name}"), words.gib(s.bytes), words.percent(s.share)] for s in c.memory)
    return [
        f"## {t('memory.title')}",
        "",
        escape(c.layout) + ".",
        "",
        *table([t("memory.part"), "GiB", t("memory.share")], rows, (1, 2)),
    ]


def _times(c: Content) -> list[str]:
    t = c.t
    if c.pools is not None:
        return _pool_times(c, c.pools)
    rows = [
        [
            bar.name,
            words.span(bar.seconds),
            words.percent(bar.of_step),
            words.span(other.seconds),
            words.percent(other.of_step),
        ]
        for bar, other in zip(c.waterfalls[0].bars, c.waterfalls[1].bars, strict=True)
    ]
    head = [t("roofline.module"), t("phase.decode"), "%", t("phase.prefill"), "%"]
    lines = [f"* {escape(c.waterfall_lines[w.phase])}" for w in c.waterfalls]
    return [f"## {t('waterfall.title')}", "", *lines, "", *table(head, rows, range(1, 5))]


def _pool_times(c: Content, pools: PoolsView) -> list[str]:
    """A decode step by module, and the time to the first token by what a prompt waits for."""
    t, step = c.t, c.waterfalls[0]
    rows = ([bar.name, words.span(bar.seconds), words.percent(bar.of_step)] for bar in step.bars)
    first = ([bar.name, words.span(bar.seconds), words.percent(bar.share)] for bar in pools.chain)
    return [
        f"## {t('waterfall.title')}",
        "",
        escape(c.waterfall_lines[step.phase]),
        "",
        *table([t("roofline.module"), t("phase.decode"), "%"], rows, (1, 2)),
        escape(pools.chain_line),
        "",
        *table([t("pools.chain"), "TTFT", "%"], first, (1, 2)),
    ]


def _roofline(c: Content) -> list[str]:
    t = c.t
    if c.computed is None:
        return []
    title = [f"## {t('roofline.title')}", ""]
    if not c.roofline_rows:
        return [*title, escape(t("page.absent", reason=c.computed.why_not("operators"))), ""]
    head = [t("roofline.module"), t("roofline.scheme")] + [
        t(f"roofline.{name}", phase=t(f"phase.{phase}"))
        for phase in c.phases
        for name in ("intensity", "rate", "roof")
    ]
    rows = ([r.kind, r.scheme, *r.decode, *r.prefill][: len(head)] for r in c.roofline_rows)
    return [*title, *table(head, rows, range(2, len(head)))]


def _units(c: Content) -> list[str]:
    t = c.t
    rows = (
        [
            r.unit.unit,
            r.layers,
            r.unit.scheme,
            words.gib(r.unit.weight_bytes),
            words.percent(r.share),
            r.bound,
            words.loss(r.unit.loss),
            r.next,
            r.reason,
        ]
        for r in c.units
    )
    head = [
        t(f"units.{n}")
        for n in ("unit", "layers", "scheme", "gib", "time", "bound", "loss", "next", "reason")
    ]
    return [
        f"## {t('units.title')}",
        "",
        escape(t("units.lead")),
        "",
        *table(head, rows, (3, 4, 6)),
    ]


def _baselines(plan: Plan, c: Content) -> list[str]:
    if not plan.baselines:
        return []
    t, perf = c.t, plan.performance
    rows = [
        [
            t("baselines.self"),
            words.count(plan.device.count),
            words.count(plan.workload.batch),
            words.three_digits(perf.output_tokens_per_second.value),
            words.three_digits(perf.output_tokens_per_second_per_device.value),
            words.span(perf.tpot_seconds.value),
            words.loss(plan.quality.loss),
            "",
        ]
    ]
    for b in plan.baselines:
        numbers = (
            [
                words.count(b.devices),
                words.count(b.batch),
                words.three_digits(b.output_tokens_per_second),
                words.three_digits(b.output_tokens_per_second_per_device),
                words.span(b.tpot_seconds),
                words.loss(b.loss),
            ]
            if b.feasible
            else [""] * 6
        )
        rows.append([t.pieced(b.name), *numbers, c.baseline_reasons[b.name]])
    head = [
        t("baselines.format"),
        t("baselines.devices"),
        t("baselines.batch"),
        t("baselines.rate"),
        t("baselines.each"),
        "TPOT",
        t("baselines.loss"),
        t("units.reason"),
    ]
    versus = [escape(c.versus), ""] if plan.recommendation is not None else []
    return [
        f"## {t('baselines.title')}",
        "",
        *versus,
        escape(t("baselines.lead")),
        "",
        *table(head, rows, range(1, 7)),
    ]


def _caches(c: Content) -> list[str]:
    t = c.t
    head = [t(f"cache.{n}") for n in ("entries", "layout", "layers", "each", "all")]
    rows = (
        [r.kind, r.layout, r.layers, words.count(r.bytes), words.count(r.total)] for r in c.caches
    )
    return [f"## {t('cache.title')}", "", *table(head, rows, (3, 4))]


def _engines(c: Content) -> list[str]:
    t = c.t
    if not c.servers:
        return []
    rows = (
        [
            s.name,
            f"{t.texts.get(f'engines.{s.status}', s.status)} {t.original(s.rest)}",
            t.original(s.reason),
        ]
        for s in c.servers
    )
    head = [t("engines.engine"), t("engines.answer"), t("engines.why")]
    return [f"## {t('engines.title')}", "", *table(head, rows, ())]


def _assumptions(plan: Plan, c: Content) -> list[str]:
    t = c.t
    rows = ([unmarked(text).strip("`") for text in assumption(t, a)] for a in plan.assumptions)
    lead = f"{c.proof} {t('page.original')}".strip()
    head = [t("assumptions.key"), t("assumptions.value"), t("units.reason")]
    return [f"## {t('assumptions.title')}", "", escape(lead), "", *table(head, rows, ())]


def _sources(plan: Plan, c: Content) -> list[str]:
    t = c.t
    figures = ([p.name, p.value, p.kind, p.source, t.original(p.date)] for p in c.premises)
    names = [t(f"premises.{n}") for n in ("figure", "value", "kind")]
    device = (
        [
            f"### {t('premises.title', device=escape(plan.device.id))}",
            "",
            *table([*names, t("sources.source"), t("sources.date")], figures, (1,)),
        ]
        if c.premises
        else []
    )
    head = [t("sources.key"), t("sources.source"), t("sources.date")]
    rows = ([s.key, s.title, t.original(s.date)] for s in plan.sources)
    return [
        f"## {t('sources.title')}",
        "",
        escape(t("sources.lead")),
        "",
        *loss_part(c),
        *device,
        *table(head, rows, ()),
    ]


def _end(plan: Plan, c: Content) -> list[str]:
    t = c.t
    command_lines = [escape(t("reproduce.asked")), "", *code(c.asked)] if c.asked else []
    return [
        f"## {t('missing.title')}",
        "",
        *(f"* {escape(line)}" for line in c.missing),
        "",
        f"## {t('reproduce.title')}",
        "",
        *command_lines,
        escape(t("reproduce.price_file")),
        "",
        *code(c.command),
        escape(
            t("reproduce.versions", version=c.version, schema=plan.schema_version, engine=c.engine)
        ),
        "",
        escape(c.identity),
        "",
    ]
