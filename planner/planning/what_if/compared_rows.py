"""Rows of a comparison: of a placed assignment, of a plan, and of what does not run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from planner.formats.schemes import in_catalogue_order
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.messages.message import Text
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS
from planner.planning.answer.measured_anchor import measured_anchor
from planner.planning.choose.option import Option
from planner.planning.engines.checkpoints import Unit, checkpoint_of, made_while_loading
from planner.planning.plan.deployment import AGGREGATED
from planner.planning.plan.record import Plan
from planner.planning.price.intervals import performance
from planner.planning.price.price import Priced, cached_loss, price
from planner.planning.question.given_values import requests_in_flight
from planner.planning.question.named import RELEASED
from planner.planning.question.question import Question
from planner.planning.search.uniform import PlacedUniform
from planner.planning.space.assignment import Segment
from planner.planning.space.model import CostModel
from planner.planning.space.printed_loss import quality
from planner.planning.what_if.compared import ComparedPlan, Weights
from planner.quality.loss_units import unit_text
from planner.throughput.calibration import ANY_ENGINE

RECOMMENDED = "recommended"
PLAIN = "bf16"


def placed_row(uniform: PlacedUniform, option: Option | None) -> ComparedPlan:
    """The row of an assignment: as the ``option`` that keeps its limits in the loop of its
    requests, else on its best candidate."""
    priced = (
        price(uniform.space, uniform.candidate, uniform.segments)
        if option is None
        else option.priced
    )
    is_released = uniform.wanted.scheme == RELEASED
    return priced_row(
        uniform.space.model if option is None else option.space.model,
        priced,
        uniform.segments if option is None else option.rival.result.segments,
        name=uniform.wanted.scheme,
        kind="released" if is_released else "uniform",
        kv=uniform.wanted.kv,
        is_released=is_released,
    )


def option_row(option: Option, name: str, kind: str) -> ComparedPlan:
    """The row of a plan that the rule chose among."""
    rival = option.rival
    row = priced_row(
        option.space.model,
        option.priced,
        rival.result.segments,
        name=name,
        kind=kind,
        kv=rival.kv,
        is_released=not rival.formats,
    )
    return (
        row
        if not option.weights.checkpoint
        else replace(row, weights="ready-made", checkpoint=option.weights.checkpoint)
    )


def priced_row(
    model: CostModel,
    priced: Priced,
    segments: Sequence[Segment],
    *,
    name: str,
    kind: str,
    kv: str,
    is_released: bool,
) -> ComparedPlan:
    """The row of ``segments`` with their price; within its limits. ``is_released``: the linears are
    as released."""
    question = model.question
    replicas = question.replicas(priced.layout.ranks)
    done, lost, layout = (
        performance(model, priced, replicas),
        quality(model, priced.loss, cached=cached_loss(model, priced)),
        priced.layout,
    )
    chosen = [
        (model.units[s.unit].matrix, s.layers, model.choices[s.choice])
        for s in segments
        if s.choice >= 0 and model.units[s.unit].role == "module"
    ]
    named = {matrix for matrix, _, _ in chosen}
    units = [*chosen, *((kind, (), PLAIN) for kind in ("embedding", "head") if kind not in named)]
    linear = {scheme for kind, _, scheme in chosen if kind.partition(".")[0] in PLANNED_KINDS}
    weights, checkpoint = (
        _released(question.spec)
        if is_released
        else _weights(question.spec, question.device, engine_of(question), units, (kv,))
    )
    return ComparedPlan(
        question.spec.id,
        question.device.id,
        name,
        kind,
        engine_label(question),
        _in_order(linear),
        kv,
        "",
        True,
        weights,
        checkpoint,
        replicas * layout.ranks,
        layout.tp,
        layout.dp,
        layout.pp,
        layout.ep,
        round(replicas * priced.requests),
        priced.fullest.total,
        done.output_tokens_per_second,
        done.output_tokens_per_second_per_device,
        done.tpot_seconds,
        done.ttft_seconds,
        done.usd_per_million_output_tokens,
        done.joules_per_output_token,
        lost.loss,
        lost.low,
        lost.high,
        unit_text(lost.relative_to),
        measured_anchor(model, priced),
        meaning=lost.word or "",
    )


def plan_row(plan: Plan, spec: ModelSpec, device: DeviceProfile) -> ComparedPlan:
    """The row of a plan."""
    done, lost, layout = plan.performance, plan.quality, plan.layout
    units = [(u.matrix, u.layers, u.scheme) for u in plan.units if u.kv_layout is None]
    caches = tuple(dict.fromkeys(u.scheme for u in plan.units if u.kv_layout is not None))
    engine = (
        None
        if plan.engine.name == ANY_ENGINE
        else parse_engine("@".join(filter(None, (plan.engine.name, plan.engine.version))))
    )
    linear = {scheme for kind, _, scheme in units if kind.partition(".")[0] in PLANNED_KINDS}
    said = plan.recommendation
    weights, checkpoint = (
        _released(spec)
        if said is not None and not said.formats
        else _weights(spec, device, engine, units, caches)
    )
    return ComparedPlan(
        plan.model.id,
        plan.device.id,
        RECOMMENDED,
        RECOMMENDED,
        f"{plan.engine.name} {plan.engine.version or ''}".rstrip(),
        _in_order(linear),
        ", ".join(caches),
        "",
        True,
        weights,
        checkpoint,
        plan.device.count,
        layout.tp,
        layout.dp,
        layout.pp,
        layout.ep,
        requests_in_flight(plan),
        plan.memory_per_device.total_bytes,
        done.output_tokens_per_second,
        done.output_tokens_per_second_per_device,
        done.tpot_seconds,
        done.ttft_seconds,
        done.usd_per_million_output_tokens,
        done.joules_per_output_token,
        lost.loss,
        lost.low,
        lost.high,
        unit_text(lost.relative_to),
        lost.measured_anchor,
        mode=AGGREGATED if plan.deployment is None else plan.deployment.mode,
        meaning=lost.word or "",
    )


def absent_row(question: Question, name: str, reason: Text) -> ComparedPlan:
    """The row of an assignment that does not run."""
    return refused_row(
        question.spec.id,
        question.device.id,
        name,
        "released" if name == RELEASED else "uniform",
        reason,
    )


def refused_row(model: str, device: str, name: str, kind: str, reason: Text) -> ComparedPlan:
    """A row with nothing but its reason."""
    return ComparedPlan(model, device, name, kind, "", (), "", reason)


def engine_label(question: Question) -> str:
    """Name and version of a question's engine."""
    return f"{question.engine} {question.engine_version}".rstrip()


def engine_of(question: Question) -> Engine | None:
    """The engine that a question is asked of."""
    return (
        None
        if question.engine == ANY_ENGINE
        else parse_engine(f"{question.engine}@{question.engine_version}".rstrip("@"))
    )


def _released(spec: ModelSpec) -> tuple[Weights, str]:
    return "released", spec.public_name


def _weights(
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine | None,
    units: Sequence[Unit],
    kv: Sequence[str],
) -> tuple[Weights, str]:
    """Where weights of these units come from, and what names them."""
    made = made_while_loading(spec, device, engine, units)
    if made is not None:
        return "made while loading", made.command
    ready = checkpoint_of(spec, device, engine, units, kv)
    return ("ready-made", ready.repository) if ready is not None else ("new", "")


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(in_catalogue_order(set(names)))
