"""Candidates as optimisation problems: objective, limits and bounds, summed into decisions.

With a pipeline every token waits for the slowest stage, pp times: as an objective, pp × the slowest
stage is the largest of several sums of kernels. The sum of the stage that is slowest at the fastest
choices stands in the objective, and a row for every other stage that may be slower raises it
(:data:`planner.planning.solver.problem.PACE`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import RATES, TIMED, Question
from planner.planning.solver.problem import PACE, Problem, Row, excluded, lower_bounds
from planner.planning.space.candidates import Space
from planner.planning.space.file_bytes import file_bytes, file_room
from planner.planning.space.losses import uniform_loss
from planner.planning.space.memory import (
    budget,
    bytes_per_layer,
    host_bytes,
    host_room,
    layout_bytes,
)
from planner.planning.space.model import CostModel

Array = NDArray[np.float64]
Int = NDArray[np.int64]
ALIKE = 0.98
"""Stages that take this share of the slowest are as good as slowest."""


def score_scale(space: Space) -> Array:
    """Factor from step seconds to the compared score [C]: device-seconds a token, or seconds, of
    the closed loop."""
    pts = space.pts
    if space.model.question.objective in RATES:
        return np.asarray(pts.group * pts.pp / np.maximum(pts.batch, 1) * space.rate_pace)
    return space.step_pace


def objective_arrays(space: Space, *, bound: bool = False) -> tuple[Array, Array]:
    """(coefficients [C, D, O], constant [C]) of the question's objective, to be minimised: that of
    one stage where it is a pace (:func:`step_weights`). ``bound``: of
    what is never more than it, for a lower bound."""
    model, question = space.model, space.model.question
    decided = model.decided
    if question.objective == "quality":
        loss = decided.total(decided.loss, decided.layers)
        return np.repeat(loss[None], len(space), axis=0), np.zeros(len(space))
    if question.objective == "memory":
        return _memory_objective(space)
    scale = score_scale(space)
    paced, constant = step_weights(space, bound=bound)
    return decided.total(space.decode, paced) * scale[:, None, None], constant * scale


def _memory_objective(space: Space) -> tuple[Array, Array]:
    """Bytes over all devices of the deployment, every replica counted."""
    model, question = space.model, space.model.question
    fixed, counts = space.padded
    layers = counts.sum(axis=1)
    size, token, once = layout_bytes(model, space.tables)
    weights = model.decided.total(size.astype(np.float64), layers.astype(np.float64))
    group = np.array([la.tp * la.dp * question.replicas(la.ranks) for la in space.tables.layouts])[
        space.pts.layout
    ]
    at = space.pts.layout
    beside = (
        fixed.sum(axis=1)[at]
        + space.stages.caches(at, space.resident).sum(axis=1)
        + space.extra * space.pts.pp.astype(np.int64)
    )
    coefficients = (weights[at] + _cached(space, token, once, layers)) * group[:, None, None]
    return coefficients, (beside * group).astype(np.float64)


def _cached(space: Space, token: Int, once: Int, layers: Int) -> Array:
    """Cache bytes of each decision under each option on a rank [C, D, O], of its sequences and at
    least of one of the context; ``layers`` [L, K] are those of a rank."""
    decided, at, stage_layers = space.model.decided, space.pts.layout, space.resident
    weights = layers.astype(np.float64)
    out = decided.total(token.astype(np.float64), weights)[at] * stage_layers[:, None, None]
    few = np.flatnonzero(stage_layers < space.tables.plenty)
    if len(few):
        at, stage_layers = at[few], stage_layers[few]
        most = np.maximum(token[at] * stage_layers[:, None, None], once[at])
        out[few] = decided.total(most.astype(np.float64), weights[at])
    return np.asarray(out)


def loss_limit(model: CostModel) -> float | None:
    """The loss budget as a number: given, or that of the named uniform scheme (KV bf16).

    Raises:
        UnsupportedError: the named scheme has no loss in some unit.
    """
    question = model.question
    if question.loss_scheme is None:
        return question.loss_limit
    return uniform_loss(model, question.loss_scheme)


def stage_rooms(space: Space, c: int) -> list[int]:
    """Bytes of each pipeline stage of candidate ``c`` that choices may fill."""
    stage = space.stages[space.pts.layout[c]]
    left = budget(space.model.question) - int(space.extra[c])
    cached = stage.caches(int(space.resident[c]))
    return [left - int(fixed) - int(own) for fixed, own in zip(stage.fixed, cached, strict=True)]


def problem_rows(space: Space, c: int) -> list[Row]:
    """The limits of candidate ``c``, but that on TTFT
    (:mod:`planner.planning.search.first_token`)."""
    model, question, decided = space.model, space.model.question, space.model.decided
    layout = int(space.pts.layout[c])
    counts = space.stages[layout].counts
    size = decided.by_option(bytes_per_layer(model, space.tables, layout, int(space.pts.slot[c])))
    rows = []
    for layers, room in zip(counts, stage_rooms(space, c), strict=True):
        exact = decided.total(size, layers)
        rows.append(Row("memory", exact.astype(np.float64), float(room), exact, room))
    if (there := host_room(question)) is not None:
        exact = decided.total(
            decided.by_option(host_bytes(model, space.tables)), counts.sum(axis=0)
        )
        rows.append(Row("host memory", exact.astype(np.float64), float(there), exact, there))
    if (most := file_room(model)) is not None:
        exact = decided.total(decided.by_option(file_bytes(model)), counts.sum(axis=0))
        rows.append(Row("file", exact.astype(np.float64), float(most), exact, most))
    limit_loss = loss_limit(model)
    if limit_loss is not None:
        rows.append(Row("max-loss", decided.total(decided.loss, decided.layers), limit_loss))
    if (limit := question.step_limit) is not None:
        paces = stage_limits(space.for_limits, c, limit[1])
        rows += [
            Row(
                limit[0], decided.total(space.for_limits.decode[c], layers.astype(np.float64)), pace
            )
            for layers, pace in zip(counts, paces, strict=True)
        ]
    return rows


def stage_limits(space: Space, c: int, tpot_seconds: float) -> list[float]:
    """Seconds that the choices of each stage may take together, so that the step keeps TPOT: with
    a pipeline every token waits for the slowest stage, pp times."""
    stages = len(space.stages[space.pts.layout[c]].fixed)
    tpot_seconds = tpot_seconds / float(space.tpot_pace[c])
    share = (tpot_seconds - (float(space.hop_step[c]) if stages > 1 else 0.0)) / stages
    return [share - float(seconds) for seconds in space.released_stages[c, :stages]]


def bounds(space: Space) -> Array:
    """A lower bound of the objective at the first slot of every candidate [C]; inf where no slot
    that it stands for can be feasible."""
    objective, constant, legal, rows = relaxation(space)
    out = np.full(len(space), np.inf)
    keep = np.nonzero(~excluded(legal, rows))[0]
    if len(keep):
        out[keep] = lower_bounds(
            objective[keep], constant[keep], legal[keep], [(c[keep], b[keep]) for c, b in rows]
        )
    return out


def relaxation(space: Space) -> tuple[Array, Array, NDArray[np.bool_], list[tuple[Array, Array]]]:
    """What is never more than the objective (coefficients, constant), what is legal, and limits."""
    model, question, decided = space.model, space.model.question, space.model.decided
    objective, constant = objective_arrays(space, bound=True)
    legal = decided.all_allowed(space.legal)
    rows: list[tuple[Array, Array]] = []
    limit = loss_limit(model)
    if limit is not None:
        loss = decided.total(decided.loss, decided.layers)
        rows.append((np.broadcast_to(loss, (len(space), *loss.shape)), np.full(len(space), limit)))
    rows += _time_rows(space, question)
    if (room := host_room(question)) is not None:
        used = decided.total(
            decided.by_option(host_bytes(model, space.tables)).astype(np.float64), decided.layers
        )
        rows.append((np.repeat(used[None], len(space), axis=0), np.full(len(space), float(room))))
    if (most := file_room(model)) is not None:
        stored = decided.total(
            decided.by_option(file_bytes(model)).astype(np.float64), decided.layers
        )
        rows.append((np.repeat(stored[None], len(space), axis=0), np.full(len(space), float(most))))
    rows.append(_memory_row(space))
    return objective, constant, legal, rows


def _time_rows(space: Space, question: Question) -> list[tuple[Array, Array]]:
    exact = space.for_limits
    rows: list[tuple[Array, Array]] = []
    limit, request = question.step_limit, question.request_limits(exact.ttft_pace)
    if limit is not None:
        step, fixed = _summed(exact, exact.decode, exact.hop_step)
        rows.append((step, limit[1] / exact.tpot_pace - fixed))
    if question.limits_prompts:
        prompt, read = _summed(space, space.prefill, space.hop_prefill)
    if question.ttft_seconds is not None:
        rows.append((prompt, space.prompt_limit - read))
    if request is not None and limit is not None:
        wait = space.least_wait
        more = question.tokens_after_first * exact.tpot_pace / exact.ttft_pace
        both = prompt * wait[:, None, None] + more[:, None, None] * step
        rows.append((both, request - read * wait - more * fixed))
    return rows


def _summed(space: Space, seconds: Array, hop: Array) -> tuple[Array, Array]:
    """(``seconds`` [C, K, O] of all layers by option [C, D, O], those beside the options [C])."""
    decided = space.model.decided
    return decided.total(seconds, decided.layers), space.constants(seconds) + hop


def _memory_row(space: Space) -> tuple[Array, Array]:
    """Bytes of the fullest pipeline stage; where layers of a unit may take different choices and
    must weigh alike, those of all stages together."""
    model, decided = space.model, space.model.decided
    fixed, counts = space.padded
    at = space.pts.layout
    together = model.question.untie
    size, token, once = layout_bytes(model, space.tables)
    cached = space.stages.caches(at, space.resident)
    if together:
        own, layers = fixed.sum(axis=1)[at] + cached.sum(axis=1), counts.sum(axis=1)
    else:
        stage = _fullest(space, size, token, once)
        own = fixed[at, stage[at]] + cached[np.arange(len(at)), stage[at]]
        layers = counts[np.arange(len(counts)), stage]
    weights = decided.total(size.astype(np.float64), layers.astype(np.float64))
    room = budget(model.question) - space.extra
    limits = room * (space.pts.pp if together else 1) - own
    return weights[at] + _cached(space, token, once, layers), limits.astype(np.float64)


def _fullest(space: Space, size: Int, token: Int, once: Int) -> Int:
    """The stage of each layout that is fullest where every kernel takes the smallest option, with
    the most sequences that are tried."""
    fixed, counts = space.padded
    layer_counts = np.ones(len(counts), dtype=np.int64)
    np.maximum.at(layer_counts, space.pts.layout, space.resident)
    used = size + np.maximum(token * layer_counts[:, None, None], once)
    able = space.model.decided.allowed(space.model.possible)
    least = np.where(able & (used > 0), used, np.iinfo(np.int64).max).min(axis=2)
    least[least == np.iinfo(np.int64).max] = 0
    own = fixed + space.stages.caches(np.arange(len(counts)), layer_counts)
    return np.asarray((own + (counts * least[:, None, :]).sum(axis=2)).argmax(axis=1))


def single_problem(space: Space, c: int) -> Problem:
    """The tied problem of candidate ``c`` (every decision takes one option for all its layers),
    without the limit on TTFT."""
    space, c = space.take(np.array([c], dtype=np.int64)), 0
    decided = space.model.decided
    objective, constant = objective_arrays(space)
    legal = decided.all_allowed(space.legal[c])
    counts = space.stages[space.pts.layout[c]].counts
    rows = problem_rows(space, c)
    if space.model.question.objective in TIMED:
        own, scale = counts[space.pacing[c]], float(score_scale(space)[c])
        rows += [
            Row(
                PACE,
                decided.total(space.decode[c], ((counts[s] - own) * len(counts)).astype(np.float64))
                * scale,
                room * scale,
            )
            for s, room in maybe_slower(space, c)
        ]
    return Problem(
        objective[0],
        float(constant[0]),
        legal,
        np.ones(legal.shape[0], dtype=np.int64),
        tuple(rows),
    )


def step_weights(space: Space, *, bound: bool) -> tuple[Array, Array]:
    """(weights of the decode seconds of one layer of each kernel [C, K], constant [C]) of the
    step's seconds at the pace of the stage that stands in the objective.

    ``bound``: of a sum that is a good lower bound of them. Where stages decide apart, one alone
    would take what all share of the loss. Then it is the mean of those that are as good as slowest,
    or, where layers of a unit may take different choices and must weigh alike, that of all.
    """
    pp = np.rint(space.pts.pp).astype(np.int64)
    question, at = space.model.question, space.pts.layout
    counts, every = space.padded[1], np.arange(len(space))
    hop = np.where(pp > 1, space.hop_step, 0.0)
    if not bound or not (question.untie or question.profile is not None):
        own = space.pacing
        return (
            np.asarray(counts[at, own] * pp[:, None], dtype=np.float64),
            pp * space.released_stages[every, own] + hop,
        )
    stages = np.zeros((len(space), counts.shape[1]))
    if question.untie:
        stages[np.arange(counts.shape[1]) < pp[:, None]] = 1.0
    else:
        stages[space.fast_stages >= ALIKE * space.fast_stages.max(axis=1, keepdims=True)] = 1.0
    stages *= (pp / stages.sum(axis=1))[:, None]
    weights = np.einsum("cp,cpk->ck", stages, counts[at])
    return weights, (stages * space.released_stages).sum(axis=1) + hop


def other_stages(space: Space, c: int) -> list[tuple[int, float]]:
    """(stage, room): the stages beside the objective's of candidate ``c``, and the seconds by which
    what is as released of the objective's exceeds theirs, both times pp."""
    stages = len(space.stages[space.pts.layout[c]].fixed)
    released = space.released_stages
    own = int(space.pacing[c])
    return [
        (s, float(released[c, own] - released[c, s]) * stages) for s in range(stages) if s != own
    ]


def maybe_slower(space: Space, c: int) -> list[tuple[int, float]]:
    """:func:`other_stages` that are slower than the objective's under some choice of decisions that
    hold in all stages; of equal ones the first."""
    counts = space.stages[space.pts.layout[c]].counts
    own = counts[space.pacing[c]]
    decided = ~space.model.decided.released
    by_difference: dict[tuple[int, ...], tuple[int, float]] = {}
    for s, room in other_stages(space, c):
        more = (counts[s] - own)[decided]
        if room < 0 or (more > 0).any():
            key = (*more.tolist(), room)
            by_difference.setdefault(key, (s, room))
    return list(by_difference.values())
