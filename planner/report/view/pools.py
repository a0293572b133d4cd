"""What a report says of a deployment in pools: both pools, the cache between, workers that do
both."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.base.units import GIB, format_layers
from planner.planning.plan.deployment import (
    AggregatedPlan,
    DeploymentInfo,
)
from planner.planning.plan.picture import Picture, picture
from planner.planning.plan.pool_sides import prefill_side
from planner.planning.plan.record import Plan, UnitPlan
from planner.report import words
from planner.report.charts.pools_svg import flow_svg
from planner.report.phrases import Phrases
from planner.report.plan_terms import chance, layout_words
from planner.report.view.answer_modes import pool_facts
from planner.report.view.record import Fact

PARTS = ("queue", "read", "transfer", "step")
"""What the time to the first token is made of, before the host's handling."""


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A line of the table of both pools."""

    name: str
    prefill: str
    decode: str


@dataclass(frozen=True, slots=True)
class PoolFormatRow:
    """Layers of one matrix that have the same formats in each pool."""

    matrix: str
    layers: str
    prefill: str
    decode: str


@dataclass(frozen=True, slots=True)
class ChainBar:
    """A part of the time to the first token: ``start`` and ``share`` of the whole [1]."""

    name: str
    seconds: float
    start: float
    share: float


@dataclass(frozen=True, slots=True)
class PoolsView:
    """``facts`` are of each pool and the cache between them, ``against`` is about workers that do
    both; ``prefill`` is the picture of the prefill workers where it is another."""

    facts: tuple[Fact, ...]
    against: str
    rows: list[PoolRow]
    formats: list[PoolFormatRow]
    prefill: Picture | None
    chain: list[ChainBar]
    chain_line: str
    flow: str


def pools_view(t: Phrases, plan: Plan) -> PoolsView | None:
    """Sentences, rows and drawings of a plan's pools; None of a plan without."""
    pools = plan.deployment
    if pools is None:
        return None
    formats = _formats(pools)
    alike = all(row.prefill == row.decode for row in formats)
    return PoolsView(
        facts=tuple(pool_facts(t, plan, pools)),
        against=against_aggregated(t, plan),
        rows=_rows(t, plan, pools),
        formats=formats,
        prefill=None if alike else picture(_prefill(plan, pools)),
        chain=_chain(t, plan, pools),
        chain_line=t(
            "pools.first_token",
            isl=words.count(plan.workload.isl),
            end=words.span(pools.prefill.ttft_seconds),
        ),
        flow=flow_svg(t, plan, pools),
    )


def schemes_text(schemes: tuple[str, ...]) -> str:
    """Schemes of a pool in words."""
    return " + ".join(schemes)


def _sets(t: Phrases, pools: DeploymentInfo, name: str) -> str:
    return t("pools.sets") if pools.limit == name else ""


def against_aggregated(t: Phrases, plan: Plan) -> str:
    """Workers that do both on as many devices, and how sure it is that pools are better; empty of
    pools that were priced and not chosen."""
    pools = plan.deployment
    if pools is None or plan.solver.status == "given":
        return ""
    other = pools.aggregated
    if other is None or pools.gain is None:
        return t("pools.alone")
    gain = pools.gain
    holding_text = (
        ""
        if other.holding is None
        else t(
            "pools.against_held",
            flag=other.holding.flag,
            gain=words.signed_percent(other.holding.gain.value),
            low=words.signed_percent(other.holding.gain.low),
            high=words.signed_percent(other.holding.gain.high),
            chance=chance(other.holding.probability),
        )
    )
    return (
        t(
            "pools.against",
            workers=aggregated_workers(t, other),
            schemes=schemes_text(other.schemes),
            kv=other.kv,
            sequences=t.counted("sequence", other.batch),
            rate=words.three_digits(other.output_tokens_per_second),
            tpot=words.span(other.tpot_seconds),
            ttft=words.span(other.ttft_seconds),
            gain=words.signed_percent(gain.value),
            low=words.signed_percent(gain.low),
            high=words.signed_percent(gain.high),
            chance=chance(pools.probability),
        )
        + holding_text
    )


def aggregated_workers(t: Phrases, other: AggregatedPlan) -> str:
    """``4 × dp8 ep8``."""
    return f"{other.replicas} × {t.original(layout_words(other.layout))}"


def _rows(t: Phrases, plan: Plan, pools: DeploymentInfo) -> list[PoolRow]:
    prefill_pool, two, memory = pools.prefill, pools.decode, plan.memory_per_device
    return [
        PoolRow(t(f"pools.row_{name}"), first, second)
        for name, first, second in (
            (
                "workers",
                *(
                    f"{pool.workers} × {pool.devices_per_worker} {pool.device}"
                    for pool in (prefill_pool, two)
                ),
            ),
            ("layout", *(t.original(layout_words(pool.layout)) for pool in (prefill_pool, two))),
            ("schemes", schemes_text(prefill_pool.schemes), schemes_text(two.schemes)),
            ("cache", pools.kv, pools.kv),
            (
                "together",
                t("pools.prompts_a_rank", n=prefill_pool.batch),
                t("pools.sequences_a_worker", n=words.count(two.batch)),
            ),
            (
                "rate",
                t(
                    "pools.prompt_rate",
                    rate=words.three_digits(prefill_pool.prompt_tokens_per_second),
                ),
                f"{words.three_digits(two.output_tokens_per_second)} {t('figures.rate_unit')}",
            ),
            (
                "time",
                t(
                    "pools.a_prompt_in",
                    seconds=words.span(prefill_pool.queue_seconds + prefill_pool.read_seconds),
                ),
                t("pools.a_token_in", seconds=words.span(two.tpot_seconds)),
            ),
            (
                "busy",
                f"{prefill_pool.utilisation:.0%}" + _sets(t, pools, "prefill"),
                f"{two.utilisation:.0%}" + _sets(t, pools, "decode"),
            ),
            (
                "memory",
                _of(prefill_pool.memory_bytes, prefill_pool.usable_bytes),
                _of(memory.total_bytes, memory.usable_bytes),
            ),
            ("loss", words.loss(prefill_pool.loss), words.loss(two.loss)),
        )
    ]


def _of(used: int, usable: int) -> str:
    return f"{used / GIB:.1f} / {usable / GIB:.1f}"


def _formats(pools: DeploymentInfo) -> list[PoolFormatRow]:
    """Matrices and caches that are decided, by layers with the same formats in each pool."""
    by_matrix: dict[str, dict[int, list[str]]] = {}
    for place, units in enumerate((pools.prefill.units, pools.decode.units)):
        for unit in units:
            for layer in unit.layers or (-1,):
                by_matrix.setdefault(unit.matrix, {}).setdefault(layer, ["", ""])[place] = (
                    unit.scheme
                )
    out = []
    for matrix, by_layer in by_matrix.items():
        runs: dict[tuple[str, str], list[int]] = {}
        for layer in sorted(by_layer):
            prefill_format, two = by_layer[layer]
            runs.setdefault((prefill_format, two), []).append(layer)
        out += [
            PoolFormatRow(
                matrix,
                format_layers(tuple(n for n in layers if n >= 0)).replace("-", "–"),
                one,
                two,
            )
            for (one, two), layers in runs.items()
        ]
    return out


def _prefill(plan: Plan, pools: DeploymentInfo) -> Plan:
    """The prefill workers' formats, with what both pools keep as released, in the plan's order."""
    decided: dict[str, list[UnitPlan]] = {}
    for unit in prefill_side(plan, pools).units:
        decided.setdefault(unit.matrix, []).append(
            replace(unit, kv_layout=unit.scheme) if unit.kind.startswith("kv-") else unit
        )
    units: list[UnitPlan] = []
    done: set[str] = set()
    for unit in plan.units:
        if unit.matrix not in decided:
            units.append(unit)
        elif unit.matrix not in done:
            done.add(unit.matrix)
            units += decided[unit.matrix]
    return replace(plan, units=tuple(units))


def _chain(t: Phrases, plan: Plan, pools: DeploymentInfo) -> list[ChainBar]:
    """The time to the first token as bars, each from the end of the one before."""
    prefill = pools.prefill
    ttft = prefill.ttft_seconds
    seconds_by_part = dict(
        zip(
            PARTS,
            (
                prefill.queue_seconds,
                prefill.read_seconds,
                pools.transfer.seconds,
                plan.performance.tpot_seconds.value,
            ),
            strict=True,
        )
    )
    seconds_by_part["handling"] = max(ttft - sum(seconds_by_part.values()), 0.0)
    width, at, out = max(sum(seconds_by_part.values()), ttft) or 1.0, 0.0, []
    for name, seconds in seconds_by_part.items():
        out.append(ChainBar(t(f"pools.part_{name}"), seconds, at / width, seconds / width))
        at += seconds
    return out
