"""Rows of a comparison: of a placed assignment, of a plan, and of what does not run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.formats.schemes import in_catalogue_order
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS
from planner.planning.answer.measured_anchor import measured_anchor
from planner.planning.engines.checkpoints import Unit, checkpoint_of, made_while_loading
from planner.planning.plan.record import Plan
from planner.planning.price.intervals import performance
from planner.planning.price.price import cached_loss, price
from planner.planning.question.named import RELEASED
from planner.planning.question.question import Question
from planner.planning.search.served_batch import served_candidate
from planner.planning.search.uniform import PlacedUniform
from planner.planning.space.printed_loss import quality
from planner.planning.what_if.compared import ComparedPlan, Weights
from planner.quality.loss_units import unit_text
from planner.throughput.calibration import ANY_ENGINE

RECOMMENDED = "recommended"
PLAIN = "bf16"


def placed_row(uniform: PlacedUniform, *, within_limits: bool) -> ComparedPlan:
    """The row of an assignment on its best candidate."""
    model, question = uniform.space.model, uniform.space.model.question
    served = (
        served_candidate(uniform.space, uniform.candidate, uniform.segments)
        if within_limits
        else None
    )
    priced = (
        price(uniform.space, uniform.candidate, uniform.segments)
        if served is None
        else served.priced
    )
    replicas = question.replicas(priced.layout.ranks)
    done, lost, layout = (
        performance(model, priced, replicas),
        quality(model, priced.loss, cached=cached_loss(model, priced)),
        priced.layout,
    )
    chosen = [
        (model.units[s.unit].matrix, s.layers, model.choices[s.choice])
        for s in uniform.segments
        if s.choice >= 0 and model.units[s.unit].role == "module"
    ]
    named = {name for name, _, _ in chosen}
    units = [*chosen, *((kind, (), PLAIN) for kind in ("embedding", "head") if kind not in named)]
    linear = {scheme for kind, _, scheme in chosen if kind.partition(".")[0] in PLANNED_KINDS}
    is_released = uniform.wanted.scheme == RELEASED
    weights, checkpoint = (
        _released(question.spec)
        if is_released
        else _weights(
            question.spec, question.device, engine_of(question), units, (uniform.wanted.kv,)
        )
    )
    return ComparedPlan(
        question.spec.id,
        question.device.id,
        uniform.wanted.scheme,
        "released" if is_released else "uniform",
        engine_label(question),
        _in_order(linear),
        uniform.wanted.kv,
        "",
        within_limits,
        weights,
        checkpoint,
        replicas * layout.ranks,
        layout.tp,
        layout.dp,
        layout.pp,
        layout.ep,
        replicas * priced.batch,
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
        layout.replicas * plan.workload.batch,
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
    )


def absent_row(question: Question, name: str, reason: str) -> ComparedPlan:
    """The row of an assignment that does not run."""
    return refused_row(
        question.spec.id,
        question.device.id,
        name,
        "released" if name == RELEASED else "uniform",
        reason,
    )


def refused_row(model: str, device: str, name: str, kind: str, reason: str) -> ComparedPlan:
    """A row with nothing but its reason."""
    return ComparedPlan(model, device, name, kind, "", (), "", " ".join(reason.split()))


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
