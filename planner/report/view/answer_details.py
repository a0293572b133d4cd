"""What a plan's first answer leaves to ``-v`` and to the folded part of a page: time by module,
published benchmarks, how the plan was found, every assumption, what to measure next."""

from __future__ import annotations

from planner.base.units import GIB
from planner.messages.words import unmarked
from planner.planning.answer.layouts import conventional_optimum
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.record import Assumption, Plan
from planner.report.phrases import Phrases
from planner.report.view.alternatives import next_measurements
from planner.report.view.answer_facts import gap_text
from planner.report.view.answer_modes import pool_facts
from planner.report.view.assumed_sections import assumption
from planner.report.view.module_table import module_table
from planner.report.view.record import Items, Section, Table


def detail_sections(t: Phrases, plan: Plan, width: int) -> list[Section]:
    """The sections that a terminal shows with ``-v``."""
    pools = [] if plan.deployment is None else [pools_section(t, plan, plan.deployment)]
    return [
        *pools,
        time_by_module(t, plan, width),
        *published_benchmarks(t, plan),
        *next_measurements(t, plan),
        assumptions_section(t, plan),
    ]


def pools_section(t: Phrases, plan: Plan, pools: DeploymentInfo) -> Section:
    """What each pool does, and the cache between them."""
    return Section(t("plan.pools_title"), tuple(pool_facts(t, plan, pools)), detail=True)


def time_by_module(t: Phrases, plan: Plan, width: int = 80) -> Section:
    """Formats, bytes and time of each module; the cache and how the plan was found below."""
    table = module_table(t, plan, width)
    cache = t("plan.cache_per_token", bytes=f"{plan.kv_cache.bytes_per_token:,}")
    notes = (cache, t("plan.stored", bytes=_stored(plan)), proof_text(t, plan))
    blocks = (Table(table.heads, table.rows, table.text_columns), Items(tuple(filter(None, notes))))
    return Section(t("plan.by_module"), blocks, detail=True)


def _stored(plan: Plan) -> str:
    return f"{sum(m.weight_bytes for m in plan.modules) / GIB:,.1f}"


def proof_text(t: Phrases, plan: Plan) -> str:
    """How the assignment was found, and over how many candidates."""
    solver = plan.solver
    if solver.status == "given":
        return t("plan.given")
    scope = t("plan.of_conventional", engine=plan.engine.name) if conventional_optimum(plan) else ""
    return t(
        "plan.proved" if solver.proved else "plan.within_gap",
        scope=scope,
        gap=gap_text(plan),
        n=f"{solver.candidates:,}",
    )


def published_benchmarks(t: Phrases, plan: Plan) -> list[Section]:
    """Every published benchmark of the formats, with its source; the loss's floor and basis."""
    quality = plan.quality
    parts = [part for part in quality.measured_anchor if part.source]
    lines = [t("plan.benchmark", text=t.original(part.text), source=part.source) for part in parts]
    if quality.floor and quality.high:
        lines.append(t("plan.floor", floor=f"{quality.floor:.2g}"))
    if quality.p99 is not None and quality.high:
        lines.append(t("plan.tail", p99=f"{quality.p99:.3g}"))
    if not lines:
        return []
    return [Section(t("plan.benchmarks"), (Items(tuple(lines)),), detail=True)]


def assumptions_section(t: Phrases, plan: Plan) -> Section:
    """Every assumption with its reason."""
    lines = tuple(_assumption(t, item) for item in plan.assumptions)
    return Section(t("plan.assumptions"), (Items(lines),), detail=True)


def _assumption(t: Phrases, item: Assumption) -> str:
    name, value, reason = map(unmarked, assumption(t, item))
    text = t("plan.assumption", name=name, value=value.replace("`", ""))
    return text + t("plan.assumption_reason", reason=reason) if reason else text
