"""Answers to random questions, made once, and what they come to: objective, limits, figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import isinf
from unittest.mock import patch

from planner.base.errors import InfeasibleError, InputError
from planner.planning.answer import recommend as advice
from planner.planning.answer.assemble import recommended
from planner.planning.choose import selection as weighing
from planner.planning.choose.selection import choose
from planner.planning.inspect.reprice import reprice
from planner.planning.plan.record import Plan
from planner.planning.question.question import Question
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.next_loss_step import FourBit
from planner.planning.search.rivals import Rival, rival_of
from planner.planning.space.candidates import Space
from planner.planning.space.losses import saturated_loss
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from support.random_questions import Case, model_named

ROUNDING = 1e-9
"""Relative difference that two ways to add floats may have."""
PRINTED = 5e-3
"""Relative precision of a figure that an assumption gives in three digits."""


class NotAskedError(Exception):
    """A question that cannot be asked, or a law that says nothing of it; the message says why."""


@cache
def answered(case: Case) -> Plan | None:
    """The plan of a case as `planner.plan` makes it with ``exact``, None where there is none: a
    refusal's reasons take longer than the plans.

    Raises:
        NotAskedError: the device or the engine cannot, or the layout does not exist.
    """
    try:
        return planned(case.questions())
    except InfeasibleError:
        return None
    except InputError as error:
        raise NotAskedError(error.message) from error


def planned(questions: Sequence[Question]) -> Plan | None:
    """The plan of exact questions, None where nothing keeps their limits."""
    found, others, _ = solve_with_relaxations(questions, exact=True)
    if found is None:
        return None
    # The laws are of the optimum: what it is weighed against takes longer than the search.
    with patch.object(weighing, "rivals", _alone), patch.object(advice, "four_bit", _none):
        return recommended(choose((found.grid, *others), found, exact=True), others=others)


def _alone(
    spaces: Sequence[Space],
    best: SearchResult,
    *,
    allowed: float | None,
    files: Sequence[Space] = (),
) -> tuple[Rival, ...]:
    return (rival_of("optimum", "optimum", best),)


def _none(spaces: Sequence[Space], *, allowed: float | None) -> FourBit:
    return FourBit(None, None, "not asked")


def some(case: Case) -> Plan:
    """The plan of a case that has one.

    Raises:
        NotAskedError: it has none.
    """
    found = answered(case)
    if found is None:
        raise NotAskedError("there is no plan")
    return found


def objective_of(plan: Plan, objective: str) -> float:
    """What ``objective`` minimises, by the plan's own figures: device-seconds of an output token
    (throughput, cost), seconds of a token (latency), bytes of all devices, loss."""
    if objective in ("throughput", "cost"):
        return 1 / plan.performance.output_tokens_per_second_per_device.value
    if objective == "latency":
        return plan.performance.tpot_seconds.value
    if objective == "memory":
        return float(all_bytes(plan))
    return plan.quality.loss


def all_bytes(plan: Plan) -> int:
    """Bytes of all devices; a plan file has those of the fullest, and stages differ."""
    layout = plan.layout
    if layout.pp == 1:
        return plan.memory_per_device.total_bytes * plan.device.count
    priced = reprice(plan, spec=model_named(plan.model.id)).priced
    return sum(stage.total for stage in priced.stages) * layout.tp * layout.dp * layout.replicas


def least_of(plan: Plan) -> tuple[float, float]:
    """(the least objective that was found, its relative precision). Under quality the plan may lose
    more, inside the band of what cannot be told apart, and its file gives the least in digits."""
    for note in plan.assumptions:
        if plan.objective == "quality" and note.key == "indistinguishable":
            return float(note.value.split(" for ")[1].split()[0]), PRINTED
    return objective_of(plan, plan.objective), 0.0


def assumed(plan: Plan, key: str) -> str | None:
    """The value of an assumption, None where the plan has none of that name."""
    return next((a.value for a in plan.assumptions if a.key == key), None)


def worse(tight: Plan, loose: Plan, scale: float = 1.0) -> str:
    """What says that ``loose`` is worse than ``scale`` × ``tight`` by more than both gaps and the
    precision of the figures; empty where it is not."""
    (theirs, coarse), (ours, fine) = least_of(tight), least_of(loose)
    slack = tight.solver.gap + loose.solver.gap + coarse + fine + ROUNDING
    if ours <= theirs * scale * (1 + slack):
        return ""
    return f"{loose.objective} {ours:.9g} > {theirs * scale:.9g} ({_share(ours, theirs * scale)})"


def _share(ours: float, theirs: float) -> str:
    share = ours / theirs - 1 if theirs else float("inf")
    return "from nothing" if isinf(share) else f"{share:+.3%}"


@cache
def _loss_limit(case: Case) -> float | None:
    model = build_model(case.questions()[0], load_prior())
    limit = loss_limit(model)
    return None if limit is None else saturated_loss(model, limit)


def broken_limits(case: Case, plan: Plan) -> list[str]:
    """The limits of ``case`` that ``plan`` breaks by its own printed figures."""
    figures = plan.performance
    pairs = [
        ("tpot", figures.tpot_seconds.value, case.get("tpot_seconds")),
        ("ttft", figures.ttft_seconds.value, case.get("ttft_seconds")),
        ("memory", plan.memory_per_device.total_bytes, case.get("memory_bytes")),
        ("usable", plan.memory_per_device.total_bytes, plan.memory_per_device.usable_bytes),
        ("loss", plan.quality.loss, _loss_limit(case)),
    ]
    return [
        f"{name} {value:.12g} > {limit:.12g}"
        for name, value, limit in pairs
        if limit is not None and value > limit * (1 + ROUNDING) + 1e-12
    ]


def choices(plan: Plan) -> dict[tuple[str, int], str]:
    """The scheme or cache layout of every kind and layer; -1: outside the stack."""
    return {
        (unit.kind, layer): unit.scheme for unit in plan.units for layer in unit.layers or (-1,)
    }


def different(one: Plan, other: Plan) -> list[str]:
    """What two plans have otherwise."""
    told = []
    if one.layout != other.layout:
        told.append(f"layout {one.layout} → {other.layout}")
    if one.workload.batch != other.workload.batch:
        told.append(f"batch {one.workload.batch} → {other.workload.batch}")
    first, second = choices(one), choices(other)
    told += [
        f"{kind} of {layer}: {first.get((kind, layer))} → {second.get((kind, layer))}"
        for kind, layer in sorted(first.keys() | second.keys())
        if first.get((kind, layer)) != second.get((kind, layer))
    ]
    return told
