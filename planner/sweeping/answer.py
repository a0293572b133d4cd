"""One question to one row: the answer, the limit that excludes it, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from planner.base.errors import PlannerError, UnsupportedError
from planner.base.units import format_layers
from planner.hardware.learned_runs import NOTHING_KEPT, KeptRuns
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.models.spec import ModelSpec
from planner.planning.answer.recommend import verdict_kind
from planner.planning.choose.decision import decide
from planner.planning.choose.weight_sources import ReadyWeights
from planner.planning.infeasible.binding_limit import Binding, binding
from planner.planning.inspect.priced_input import best_engine
from planner.planning.plan.record import Estimate
from planner.planning.price.intervals import performance
from planner.planning.price.price import Priced, cached_loss, price
from planner.planning.question.defaults import default_of, with_default
from planner.planning.question.engine_choice import AUTO_ENGINE, NamedByUser, ways_to_serve
from planner.planning.question.given_values import GivenValues
from planner.planning.question.learned import with_learned
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.question.scenario import Scenario
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.search.grid_search import SearchResult, shown_gap
from planner.planning.search.rivals import Rival, shown_schemes
from planner.planning.space.assignment import Segment
from planner.planning.space.model import CostModel
from planner.planning.space.printed_loss import quality
from planner.quality.loss_units import unit_text
from planner.quality.profile import Profile
from planner.sweeping.columns import ten
from planner.sweeping.record import SweepQuestion
from planner.workloads import load_workload

Row = dict[str, Any]
ELSEWHERE = ("engine", "scenario", "profile", "scheme")


@dataclass(frozen=True, slots=True)
class Context:
    """What the questions of a chunk share; ``learned``: what was measured where the sweep began."""

    spec: ModelSpec
    device: DeviceProfile
    scenario: Scenario | None
    profile: Profile | None
    learned: KeptRuns = NOTHING_KEPT


def row(context: Context, question: SweepQuestion) -> Row:
    """The answer's cells of one question; every error of a question is its row, also one that is
    this program's fault (``failed``)."""
    try:
        return _answer_row(context, question)
    except PlannerError as error:
        return refused(error)
    except Exception as error:  # one broken question must not lose the others
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"[:500]}


def refused(error: PlannerError) -> Row:
    """The row of a question that cannot be asked or executed."""
    status = "unsupported" if isinstance(error, UnsupportedError) else "invalid"
    return {"status": status, "reason": " ".join(error.message.split())}


def _answer_row(context: Context, question: SweepQuestion) -> Row:
    exact = bool(dict(question.values).get("exact", False))
    questions = serving(context, question)
    if question.verb != "plan":
        priced = best_engine(questions) or solve_with_relaxations(questions, exact=exact)[0]
        return excluded(binding(questions)) if priced is None else _cells(priced)
    decision = decide(questions, exact=exact)
    if decision is None:
        return excluded(binding(questions))
    # The row is the plan that `plan` would make; its gap is the proof of the optimum.
    choice = decision.choice
    taken, weights, result = choice.option.rival, choice.option.weights, choice.exact
    gap = max(result.value - result.bound, 0.0) / abs(result.value) if result.value else 0.0
    return {**_cells(taken.result), **_advice(taken, weights), "gap": shown_gap(float(gap))}


def _advice(taken: Rival, weights: ReadyWeights) -> Row:
    """What a plan recommends: its verdict, its formats, and where its weights come from."""
    return {
        "verdict": verdict_kind(taken),
        "formats": " + ".join(shown_schemes(taken)),
        "cache": taken.kv or None,
        "needs_new_weights": taken.formats > 0 and weights.new_weights,
        "checkpoint": weights.checkpoint or None,
    }


def excluded(binding: Binding) -> Row:
    """The row of a question without a plan."""
    return {"status": "infeasible", "limit": "+".join(binding.limits), "reason": str(binding.text)}


def serving(
    context: Context,
    question: SweepQuestion,
    *,
    defaults: bool = True,
) -> tuple[Question, ...]:
    """The exact questions whose best answer is the row, as `plan` and `estimate` ask them;
    ``defaults``: those of limits and users hold.

    Raises:
        InputError: the question cannot be asked. UnsupportedError: it cannot be executed.
    """
    values = dict(question.values)
    own: dict[str, Any] = {k: v for k, v in values.items() if k not in ELSEWHERE}
    if (name := own.get("workload")) is not None:
        own["workload"] = load_workload(name)
    given_values = GivenValues(**own)
    scenario = context.scenario
    known = scenario.values if scenario is not None else {}
    uniform = (
        values.get("scheme") or known.get("scheme") or "" if question.verb == "estimate" else None
    )
    full = given_values.with_scenario(scenario)
    default = default_of(full, context.device) if defaults else ""

    def build(engine: Engine | None, given_values: GivenValues = given_values) -> Question:
        return with_default(
            lambda a: with_learned(
                build_question(
                    context.spec,
                    context.device,
                    a,
                    scenario,
                    uniform=uniform,
                    given=None,
                    profile=context.profile,
                    engine=engine,
                ),
                kept=context.learned,
            ),
            given_values,
            default,
        )

    kv = full.kv not in (None, "auto")
    named = (
        NamedByUser(bool(uniform), kv, in_one_mode=True, any_cache=full.kv == "auto")
        if uniform is not None
        else NamedByUser(
            full.schemes is not None,
            kv,
            free=lambda engine: build(engine, replace(given_values, schemes=None, kv=None)),
        )
    )
    return ways_to_serve(build, values.get("engine") or known.get("engine") or AUTO_ENGINE, named)


def _cells(result: SearchResult) -> Row:
    space, model = result.space, result.space.model
    question = model.question
    priced = price(space, result.candidate, result.segments)
    replicas = question.replicas(priced.layout.ranks)
    return {
        "status": "ok",
        "served_by": served_by(question),
        "replicas": replicas,
        "devices": replicas * priced.layout.ranks,
        **_shape(question, priced),
        **_times(model, priced, replicas),
        **_memory(question, priced),
        **loss_cells(model, priced.loss, cached_loss(model, priced)),
        "assignment": assignment(model, result.segments),
    }


def served_by(question: Question) -> str:
    """The engine of an answer with its version; ``any``: theory."""
    return f"{question.engine} {question.engine_version}".rstrip()


def layout_text(tp: int, dp: int, pp: int, ep: int) -> str:
    """``tp8 pp2 ep8``: what divides a replica; ``tp1`` for one device."""
    ways = (("tp", tp), ("dp", dp), ("pp", pp), ("ep", ep))
    return " ".join(f"{name}{count}" for name, count in ways if count > 1) or "tp1"


def _shape(question: Question, priced: Priced) -> Row:
    layout, work = priced.layout, question.workload
    return {
        "tp": layout.tp,
        "dp": layout.dp,
        "pp": layout.pp,
        "ep": layout.ep,
        "layout": layout_text(layout.tp, layout.dp, layout.pp, layout.ep),
        "context_tokens": work.context,
        "isl": work.isl,
        "osl": work.osl,
        "batch": priced.batch,
    }


def _times(model: CostModel, priced: Priced, replicas: int) -> Row:
    perf = performance(model, priced, replicas)
    return {
        **_interval("tpot", perf.tpot_seconds),
        **_interval("ttft", perf.ttft_seconds),
        **spread("output_tokens_per_second", perf.output_tokens_per_second),
        **spread("output_tokens_per_second_per_device", perf.output_tokens_per_second_per_device),
        **cost_cells(perf.usd_per_million_output_tokens, perf.joules_per_output_token),
    }


def cost_cells(usd: Estimate | None, joules: Estimate | None) -> Row:
    """Money and energy of output tokens with their intervals; empty without a price or a power."""
    return {
        **spread("usd_per_million_output_tokens", usd),
        **spread("joules_per_output_token", joules),
    }


def spread(name: str, estimate: Estimate | None) -> Row:
    """A value and the ends of its interval; empty for None."""
    return {
        f"{name}{end}": ten(None if estimate is None else getattr(estimate, end[1:] or "value"))
        for end in ("", "_low", "_high")
    }


def _interval(name: str, value: Estimate) -> Row:
    return {
        f"{name}_seconds": ten(value.value),
        f"{name}_seconds_low": ten(value.low),
        f"{name}_seconds_high": ten(value.high),
        f"{name}_basis": value.basis,
    }


def _memory(question: Question, priced: Priced) -> Row:
    full = priced.fullest
    return {
        "weights_bytes": full.weights,
        "kv_cache_bytes": full.cache,
        "activation_bytes": full.activation,
        "runtime_bytes": full.runtime,
        "total_bytes": full.total,
        "usable_bytes": question.usable_bytes,
    }


def loss_cells(model: CostModel, loss: float, cached: float) -> Row:
    """A loss, ``cached`` of it by caches, with its band, its unit and what it rests on."""
    info = quality(model, loss, cached=cached)
    return {
        "loss": ten(info.loss),
        "loss_low": ten(info.low),
        "loss_high": ten(info.high),
        "loss_unit": f"{unit_text(info.relative_to)}, {info.tier}",
    }


def assignment(model: CostModel, segments: tuple[Segment, ...]) -> str:
    """``kind scheme`` of every decided kind; layers where a kind takes several schemes."""
    kinds: dict[str, dict[str, list[int]]] = {}
    for segment in segments:
        if segment.choice >= 0:
            schemes = kinds.setdefault(model.units[segment.unit].kind, {})
            schemes.setdefault(model.choices[segment.choice], []).extend(segment.layers)
    return "; ".join(
        f"{kind} "
        + ", ".join(
            name if len(schemes) == 1 else f"{name} {format_layers(tuple(layers))}"
            for name, layers in schemes.items()
        )
        for kind, schemes in kinds.items()
    )
