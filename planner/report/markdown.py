"""A plan as Markdown, for pull requests and terminals: the page's content without its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from planner.planning.plan import Plan
from planner.report import words
from planner.report.content import NOTHING, Beside, Content, content

_MARKS = re.compile(r"([\\`*_\[\]<>|~#])")
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
_LINK = re.compile(r"(https?://[^\s()<>\"']+)")


def markdown(plan: Plan, lang: str = "en", beside: Beside = NOTHING) -> str:
    """The report as Markdown, ending with a newline; the same bytes for the same plan.

    Raises:
        UnknownNameError: no such language.
    """
    c = content(plan, lang, beside)
    lines = [f"# {escape(c.t('page.heading', model=plan.model.id, device=c.device))}", "",
             escape(c.question), "", f"**{escape(c.answer)}**", "", escape(c.versus), ""]
    for part in (_figures(c), _modules(plan, c), _memory(c), _times(plan, c),
                 _roofline(c), _units(plan, c), _baselines(plan, c), _caches(c),
                 _assumptions(plan, c), _sources(plan, c), _end(plan, c)):
        lines += part
    return "\n".join(lines).rstrip("\n") + "\n"


def escape(text: str) -> str:
    """Plain text: no character is read as markup, nothing breaks the line; links stay whole."""
    flat = _BREAKS.sub(" ", text)
    return "".join(piece if _LINK.fullmatch(piece) else _MARKS.sub(r"\\\1", piece)
                   for piece in _LINK.split(flat))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int]) -> list[str]:
    """A table with the columns ``numeric`` aligned right, and an empty line."""
    rule = ["--:" if i in numeric else "---" for i in range(len(head))]
    body = [[escape(cell) for cell in row] for row in (head, *rows)]
    return ["| " + " | ".join(row) + " |" for row in (body[0], rule, *body[1:])] + [""]


def _figures(c: Content) -> list[str]:
    return table(["", "", "", ""], ([f.label, f"{f.value} {f.unit}".strip(), f.interval, f.note]
                                    for f in c.figures), (1,))


def _modules(plan: Plan, c: Content) -> list[str]:
    t = c.t
    rows = ([m.kind, m.layers.replace("-", "–"), m.scheme, words.gib(m.weight_bytes),
             words.loss(m.loss)] for m in plan.modules)
    head = [t("units.unit"), t("units.layers"), t("units.scheme"), t("units.gib"), t("units.loss")]
    return [f"## {t('map.title')}", "", *table(head, rows, (3, 4))]


def _memory(c: Content) -> list[str]:
    t = c.t
    rows = ([t(f"memory.{s.name}"), words.gib(s.bytes), words.percent(s.share)] for s in c.memory)
    return [f"## {t('memory.title')}", "", escape(c.layout) + ".", "",
            *table([t("memory.part"), "GiB", t("memory.share")], rows, (1, 2))]


def _times(plan: Plan, c: Content) -> list[str]:
    t = c.t
    rows = [[one.name, words.span(one.seconds), words.percent(one.of_step),
             words.span(other.seconds), words.percent(other.of_step)]
            for one, other in zip(c.waterfalls[0].bars, c.waterfalls[1].bars, strict=True)]
    head = [t("roofline.module"), t("phase.decode"), "%", t("phase.prefill"), "%"]
    lines = [f"* {escape(c.waterfall_lines[w.phase])}" for w in c.waterfalls]
    return [f"## {t('waterfall.title')}", "", *lines, "", *table(head, rows, range(1, 5))]


def _roofline(c: Content) -> list[str]:
    t = c.t
    if c.computed is None:
        return []
    title = [f"## {t('roofline.title')}", ""]
    if not c.roofline_rows:
        return [*title, escape(t("roofline.none", reason=c.computed.why_not("operators"))), ""]
    head = [t("roofline.module"), t("roofline.scheme")] + [
        t(f"roofline.{name}", phase=t(f"phase.{phase}"))
        for phase in ("decode", "prefill") for name in ("intensity", "rate", "roof")]
    rows = ([r.kind, r.scheme, *r.decode, *r.prefill] for r in c.roofline_rows)
    return [*title, *table(head, rows, range(2, 8))]


def _units(plan: Plan, c: Content) -> list[str]:
    t = c.t
    rows = ([r.unit.unit, r.layers, r.unit.scheme, words.gib(r.unit.weight_bytes),
             words.percent(r.share), r.bound, words.loss(r.unit.loss), r.next, r.reason]
            for r in c.units)
    head = [t(f"units.{n}") for n in ("unit", "layers", "scheme", "gib", "time", "bound", "loss",
                                      "next", "reason")]
    return [f"## {t('units.title')}", "", escape(t("units.lead")), "",
            *table(head, rows, (3, 4, 6))]


def _baselines(plan: Plan, c: Content) -> list[str]:
    if not plan.baselines:
        return []
    t, perf = c.t, plan.performance
    rows = [[t("baselines.self"), words.count(plan.device.count), words.count(plan.workload.batch),
             words.three(perf.output_tokens_per_second.value),
             words.three(perf.output_tokens_per_second_per_device.value),
             words.span(perf.tpot_seconds.value), words.loss(plan.quality.loss), ""]]
    for b in plan.baselines:
        numbers = [words.count(b.devices), words.count(b.batch),
                   words.three(b.output_tokens_per_second),
                   words.three(b.output_tokens_per_second_per_device), words.span(b.tpot_seconds),
                   words.loss(b.loss)] if b.feasible else [""] * 6
        rows.append([b.name, *numbers, c.baseline_reasons[b.name]])
    head = [t("baselines.format"), t("baselines.devices"), t("baselines.batch"),
            t("baselines.rate"), t("baselines.each"), "TPOT", t("baselines.loss"),
            t("units.reason")]
    return [f"## {t('baselines.title')}", "", escape(t("baselines.lead")), "",
            *table(head, rows, range(1, 7))]


def _caches(c: Content) -> list[str]:
    t = c.t
    head = [t(f"cache.{n}") for n in ("entries", "layout", "layers", "each", "all")]
    rows = ([r.kind, r.layout, r.layers, words.count(r.bytes), words.count(r.total)]
            for r in c.caches)
    return [f"## {t('cache.title')}", "", *table(head, rows, (3, 4))]


def _assumptions(plan: Plan, c: Content) -> list[str]:
    t = c.t
    rows = ([t.name(a.key), a.value, a.reason] for a in plan.assumptions)
    lead = f"{c.proof} {t('page.original')}".strip()
    head = [t("assumptions.key"), t("assumptions.value"), t("units.reason")]
    return [f"## {t('assumptions.title')}", "", escape(lead), "", *table(head, rows, ())]


def _sources(plan: Plan, c: Content) -> list[str]:
    t = c.t
    head = [t("sources.key"), t("sources.source"), t("sources.date")]
    rows = ([s.key, s.title, s.date] for s in plan.sources)
    return [f"## {t('sources.title')}", "", escape(t("sources.lead")), "", *table(head, rows, ())]


def _end(plan: Plan, c: Content) -> list[str]:
    t = c.t
    asked = [escape(t("reproduce.asked")), "", *_code(c.asked)] if c.asked else []
    return [f"## {t('missing.title')}", "", *(f"* {escape(line)}" for line in c.missing), "",
            f"## {t('reproduce.title')}", "", *asked,
            escape(t("reproduce.price_file")), "", *_code(c.command),
            escape(t("reproduce.versions", version=c.version, schema=plan.schema_version,
                     engine=c.engine)), "", escape(c.identity), ""]


def _code(text: str) -> list[str]:
    """An indented block: nothing in it can end it."""
    return ["    " + _BREAKS.sub(" ", text), ""]
