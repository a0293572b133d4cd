"""The figures that a reader of a plan looks for first."""

from __future__ import annotations

from dataclasses import dataclass

from planner.base.units import GIB
from planner.planning.plan.evidence import Evidence
from planner.planning.plan.record import Estimate, Plan
from planner.planning.question.given_values import requests_in_flight
from planner.quality.loss_units import unit_text
from planner.report.phrases import Phrases
from planner.report.words import (
    TIMES,
    count,
    loss,
    room_for_requests,
    seconds,
    servers,
    three_digits,
)


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A key figure: value and interval share a unit; ``note`` says what it is based on."""

    label: str
    value: str
    unit: str
    interval: str
    note: str


def key_figures(t: Phrases, plan: Plan) -> list[KeyFigure]:
    """The numbers a reader looks for first."""
    perf, memory, quality = plan.performance, plan.memory_per_device, plan.quality
    return [
        rate(t, t("figures.output"), perf.output_tokens_per_second),
        rate(t, t("figures.each"), perf.output_tokens_per_second_per_device),
        duration(t, t("figures.tpot"), perf.tpot_seconds),
        duration(t, t("figures.ttft"), perf.ttft_seconds),
        _users(t, plan),
        _cost(t, plan)
        or KeyFigure(
            t("figures.memory"),
            f"{memory.total_bytes / GIB:.1f}",
            "GiB",
            t("figures.usable", gib=f"{memory.usable_bytes / GIB:.1f}"),
            t("figures.visible", gib=f"{memory.capacity_bytes / GIB:.1f}"),
        ),
        KeyFigure(
            t("figures.loss"),
            loss(quality.loss),
            "",
            f"{loss(quality.low)} – {loss(quality.high)}",
            t("answer.join").join(
                (t.original(unit_text(quality.relative_to)), t.original(quality.tier))
            ),
        ),
        _engines(t, plan),
    ]


def rate(t: Phrases, label: str, estimate: Estimate) -> KeyFigure:
    """A throughput as a key figure."""
    unit = t("figures.rate_unit")
    ends = f"{three_digits(estimate.low)} – {three_digits(estimate.high)} {unit}"
    return KeyFigure(label, three_digits(estimate.value), unit, ends, basis(t, estimate))


def duration(t: Phrases, label: str, estimate: Estimate) -> KeyFigure:
    """A time as a key figure; its interval is in the unit of the value."""
    value, unit = seconds(estimate.value)
    size = dict(TIMES)[unit]
    ends = f"{three_digits(estimate.low / size)} – {three_digits(estimate.high / size)} {unit}"
    return KeyFigure(label, value, unit, ends, basis(t, estimate))


def _users(t: Phrases, plan: Plan) -> KeyFigure:
    """How many are served at once, and for how many there is room."""
    return KeyFigure(
        t("figures.users"),
        count(requests_in_flight(plan)),
        "",
        t("figures.held", room=room_for_requests(t, plan)),
        t(
            "figures.room" if plan.deployment is None else "pools.room",
            n=count(plan.kv_cache.capacity_tokens),
        ),
    )


def _cost(t: Phrases, plan: Plan) -> KeyFigure | None:
    """What output tokens of two pools cost, whose memory stands in a table of its own; None
    elsewhere, or where no price is known."""
    money = plan.performance.usd_per_million_output_tokens
    if plan.deployment is None or money is None:
        return None
    return KeyFigure(
        t("figures.cost"),
        three_digits(money.value),
        t("figures.cost_unit"),
        f"{three_digits(money.low)} – {three_digits(money.high)} USD",
        basis(t, money),
    )


def _engines(t: Phrases, plan: Plan) -> KeyFigure:
    """Which engines can serve the plan as it is."""
    engine_servers = servers(plan)
    able = [s for s in engine_servers if s.status == "yes"]
    note = (
        t("figures.engines_asked", n=len(engine_servers))
        if engine_servers
        else t("figures.engines_unasked")
    )
    value = t("answer.comma").join(s.name for s in able) if able else t("figures.engines_none")
    how = t.original(able[0].rest) if len(able) == 1 else ""
    return KeyFigure(t("figures.engines"), value, "", how or t("figures.engines_as_is"), note)


def basis(t: Phrases, estimate: Estimate) -> str:
    """What an estimate rests on."""
    name = t.texts.get(f"basis.{estimate.basis}", estimate.basis)
    return t("figures.basis", basis=name) + evidence(t, estimate.evidence)


def evidence(t: Phrases, known: Evidence | None) -> str:
    """What served deployments say of an estimate; empty where none was asked for."""
    if known is None:
        return ""
    if known.median_ape is None:
        published = known.level == "recipe"
        return t("figures.evidence_recipe") if published else t("figures.evidence_none")
    error, table = f"{known.median_ape:.1f}", known.table
    if known.level == "measured":
        return t("figures.evidence_measured", error=error, n=known.n, table=table)
    kind = ", ".join(t.name(part) for part in known.kind.split(", "))
    return t("figures.evidence_related", error=error, n=known.n, kind=kind, table=table)
