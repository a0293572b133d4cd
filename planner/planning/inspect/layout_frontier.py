"""The frontier on a plan's own layout: batch and formats move, the loss is bounded."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.base.errors import InputError
from planner.planning.inspect.reprice import Repriced, engine_of
from planner.planning.plan.record import Plan
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question, without_time_limits
from planner.planning.question.resolve import build_question
from planner.planning.question.scenario import Scenario
from planner.planning.search.requery import Optimum, best_in, loss_of, priced
from planner.planning.search.spaces import with_question
from planner.planning.space.candidates import Space, build_space, fitting_pairs, possible_layouts
from planner.planning.space.losses import additive_loss, saturated_loss
from planner.planning.space.memory import budget, stage_table
from planner.planning.space.model import build_model
from planner.planning.space.smallest import least_bytes
from planner.planning.space.tables import layout_tables
from planner.quality.prior import load_prior

LEVELS = 4
"""Bounds of the loss above the plan's, and below it, equally far apart in its logarithm."""
TIGHTEST = 1 / 10
"""The lowest bound, relative to the plan's loss."""
LEAST = 1e-3
"""The lowest bound, relative to the loss of the fastest."""
NEAR = 0.05
"""Uniform formats are called alike where loss, TPOT and speed differ by less than this share."""
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class FrontierReach:
    """The best assignment under one bound of the loss; bytes are of the fullest device."""

    loss: float
    tpot_seconds: float
    output_tokens_per_second_per_device: float
    total_bytes_per_device: int
    batch: int


def own_frontier(it: Repriced, *, scenario: Scenario | None = None) -> tuple[FrontierReach, ...]:
    """What more or less loss would buy with the plan's devices and layout: in order of loss, each
    better than the one before by TPOT (objective latency) or tokens a second per device.

    Limits of the question on time and bytes are not applied; every scheme and cache layout that
    the engine runs on the device may be taken.

    Raises:
        InputError: the plan's losses are from a quality profile, which its file does not hold.
        UnsupportedError: the plan is in pools.
    """
    it.refuse_pools()
    if not it.plan.quality.tier.startswith("T0"):
        raise InputError(
            "its losses are from a quality profile, which the plan file does not hold",
            hint="plan frontier --profile FILE",
        )
    fast = "latency" if it.plan.objective == "latency" else "throughput"
    reaches = [
        reach
        for question in engine_questions(_question(it, fast, scenario))
        for reach in _reaches(it, question)
    ]
    return _undominated(reaches, fast)


def _question(it: Repriced, objective: str, scenario: Scenario | None) -> Question:
    """The plan's question with its layout alone, any batch and no limits."""
    plan, layout = it.plan, it.plan.layout
    question = build_question(
        it.question.spec,
        it.question.device,
        GivenValues(
            devices=plan.device.count,
            tp=layout.tp,
            dp=layout.dp,
            pp=layout.pp,
            ep=layout.ep,
            objective=objective,
        ),
        scenario,
        uniform=None,
        given=None,
        engine=engine_of(plan),
    )
    return replace(
        without_time_limits(question),
        workload=it.question.workload,
        corrections=it.question.corrections,
        batch=None,
        memory_bytes=None,
        loss_scheme=None,
        loss_limit=None,
        kept=(),
    )


def _reaches(it: Repriced, question: Question) -> list[FrontierReach]:
    space = _space(it, question)
    if space is None:
        return []
    model = space.model
    answers = _answers(space, additive_loss(model, it.plan.quality.loss))
    replicas = it.plan.layout.replicas
    return [
        FrontierReach(
            saturated_loss(model, assignment_price.loss),
            assignment_price.tpot,
            assignment_price.tokens_per_second(replicas)
            / (replicas * assignment_price.layout.ranks),
            assignment_price.fullest.total,
            assignment_price.batch,
        )
        for assignment_price in priced(answers)
        if assignment_price is not None
    ]


def _space(it: Repriced, question: Question) -> Space | None:
    """The plan's layout with every batch of the grid that fits, and the plan's own."""
    model = build_model(question, load_prior())
    layouts = possible_layouts(question)
    if not layouts:
        return None
    tables = layout_tables(model, layouts)
    stages = stage_table(model, tables)
    pairs = fitting_pairs(model, tables, stages)
    own = (0, it.priced.slot)
    if own not in pairs and least_bytes(model, tables, stages[0], *own) <= budget(question):
        pairs = sorted([*pairs, own])
    return build_space(model, tables, stages, pairs) if pairs else None


def _answers(space: Space, own: float) -> list[Optimum]:
    """Distinct best assignments, from the fastest of all to the tightest bound that can be kept."""
    fastest, known = best_in(space)
    if fastest is None:
        return []
    out, at, most = (
        {(fastest.candidate, fastest.segments): fastest},
        fastest.candidate,
        loss_of(fastest),
    )
    for bound in _bounds(most, own):
        answer, known = best_in(with_question(space, loss_limit=bound * (1 + SLACK)), known, at)
        if answer is None:
            break
        at = answer.candidate
        out.setdefault((at, answer.segments), answer)
    return list(out.values())


def _bounds(most: float, own: float) -> list[float]:
    """Falling bounds from under ``most``, the loss of the fastest, past the plan's ``own``."""
    if most <= 0:
        return []
    middle = min(max(own, most * LEAST), most)
    above = np.geomspace(most, middle, LEVELS + 1)[1:] if middle < most else np.array([])
    below = np.geomspace(middle, max(middle * TIGHTEST, most * LEAST), LEVELS + 1)[1:]
    return [float(b) for b in (*above, *below)]


def _undominated(reaches: list[FrontierReach], fast: str) -> tuple[FrontierReach, ...]:
    kept: list[FrontierReach] = []
    for reach in sorted(reaches, key=lambda r: (r.loss, -_merit(r, fast))):
        if not kept or _merit(reach, fast) > _merit(kept[-1], fast):
            kept.append(reach)
    return tuple(kept)


def _merit(frontier_reach: FrontierReach, fast: str) -> float:
    return (
        -frontier_reach.tpot_seconds
        if fast == "latency"
        else frontier_reach.output_tokens_per_second_per_device
    )


def uniform_groups(plan: Plan) -> list[tuple[list[str], float, float, float]]:
    """The uniform formats that fit, those that hardly differ together: (names, loss, TPOT [s],
    output tokens/s per device)."""
    out: list[tuple[list[str], float, float, float]] = []
    for line in plan.baselines:
        if not line.feasible:
            continue
        rate = line.output_tokens_per_second_per_device
        own = line.loss, line.tpot_seconds, rate
        for names, *other in out:
            if all(abs(a - b) <= NEAR * b for a, b in zip(own, other, strict=True)):
                names.append(line.name)
                break
        else:
            out.append(([line.name], line.loss, line.tpot_seconds, rate))
    return out
