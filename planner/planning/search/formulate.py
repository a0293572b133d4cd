"""Candidates as optimisation problems: objective, limits and bounds, summed into decisions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import RATES, TIMED, Question
from planner.planning.search.pipeline_pace import TIE, maybe_slower, step_weights
from planner.planning.solver.problem import PACE, Problem, Row, excluded, lower_bounds
from planner.planning.space.candidates import Space
from planner.planning.space.losses import uniform_loss
from planner.planning.space.memory import budget, bytes_per_layer
from planner.planning.space.model import CostModel

Array = NDArray[np.float64]
Int = NDArray[np.int64]


def layer_weights(model: CostModel) -> Array:
    """Layers of each unit [U]."""
    return np.array([u.count for u in model.units], dtype=np.float64)


def decision_sum(model: CostModel, values: Array, weights: Array) -> Array:
    """Sum unit values [..., U, S] × weights [..., U] into decisions [..., D, S]."""
    count = 1 + max((u.decision for u in model.units), default=-1)
    out = np.zeros((*values.shape[:-2], count, values.shape[-1]))
    for i, unit in enumerate(model.units):
        if unit.decision >= 0:
            out[..., unit.decision, :] += np.where(np.isfinite(values[..., i, :]),
                                                   values[..., i, :], 0.0) \
                * weights[..., i, None]
    return out


def decision_legal(model: CostModel, legal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A decision may take what all of its units may take: [..., U, S] → [..., D, S]."""
    count = 1 + max((u.decision for u in model.units), default=-1)
    out = np.ones((*legal.shape[:-2], count, legal.shape[-1]), dtype=bool)
    for i, unit in enumerate(model.units):
        if unit.decision >= 0:
            out[..., unit.decision, :] &= legal[..., i, :]
    return out


def score_scale(space: Space) -> Array:
    """Factor from step seconds to the compared score [C]: device-seconds a token, or seconds."""
    pts = space.pts
    if space.model.question.objective in RATES:
        return np.asarray(pts.group * pts.pp / np.maximum(pts.batch, 1))
    return np.ones(len(pts))


def objective_arrays(space: Space, *, bound: bool = False) -> tuple[Array, Array]:
    """(coefficients [C, D, S], constant [C]) of the question's objective, to be minimised: that of
    one stage where it is a pace (see :mod:`planner.planning.search.pipeline_pace`). ``bound``: of
    what is never more than it, for a lower bound."""
    model, question = space.model, space.model.question
    weights = layer_weights(model)
    if question.objective == "quality":
        loss = decision_sum(model, model.layer_loss, weights)
        return np.repeat(loss[None], len(space), axis=0), np.zeros(len(space))
    if question.objective == "memory":
        return _memory_objective(space)
    scale = score_scale(space)
    paced, constant = step_weights(space, bound=bound)
    return decision_sum(model, space.decode, paced) * scale[:, None, None], constant * scale


def _memory_objective(space: Space) -> tuple[Array, Array]:
    """Bytes over all devices of the deployment, every replica counted."""
    model, question = space.model, space.model.question
    coefficients, constants = [], []
    for c in range(len(space)):
        layout, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
        la = space.tables.layouts[layout]
        stage = space.stages[layout]
        size = bytes_per_layer(model, space.tables, layout, slot).astype(np.float64)
        group = la.tp * la.dp * question.replicas(la.ranks)
        coefficients.append(decision_sum(model, size, stage.counts.sum(axis=0).astype(float))
                            * group)
        constants.append(float(stage.fixed.sum() * group)
                         + int(space.extra[c]) * group * la.pp)
    return np.array(coefficients), np.array(constants)


def loss_limit(model: CostModel) -> float | None:
    """The loss budget as a number: given, or that of the named uniform scheme (KV bf16).

    Raises:
        UnsupportedError: the named scheme has no loss in some unit.
    """
    question = model.question
    if question.loss_scheme is None:
        return question.loss_limit
    return uniform_loss(model, question.loss_scheme)


def problem_rows(space: Space, c: int, weights: Array, unit_counts: Int) -> list[Row]:
    """The limits of candidate ``c``; ``unit_counts`` int64 [stage, unit] weigh the bytes."""
    model, question = space.model, space.model.question
    layout, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
    stage = space.stages[layout]
    size = bytes_per_layer(model, space.tables, layout, slot)
    extra = int(space.extra[c])
    rows = []
    for s in range(len(stage.fixed)):
        exact = _exact_sum(model, size, unit_counts[s])
        limit = budget(question) - extra - int(stage.fixed[s])
        rows.append(Row("memory", exact.astype(np.float64), float(limit), exact, limit))
    limit_loss = loss_limit(model)
    if limit_loss is not None:
        rows.append(Row("max-loss", decision_sum(model, model.layer_loss, weights), limit_loss))
    if question.tpot_seconds is not None:
        paces = stage_limits(space, c, question.tpot_seconds)
        rows += [Row("tpot", decision_sum(model, space.decode[c], layers.astype(np.float64)), pace)
                 for layers, pace in zip(unit_counts, paces, strict=True)]
    if question.ttft_seconds is not None:
        rows.append(Row("ttft", decision_sum(model, space.prefill[c], weights),
                        float(space.prompt_limit[c] - space.prefill_constant[c])))
    return rows


def stage_limits(space: Space, c: int, tpot_seconds: float) -> list[float]:
    """Seconds that the choices of each stage may take together, so that the step keeps TPOT: with
    a pipeline every token waits for the slowest stage, pp times."""
    released, hop = space.released_stages
    stages = len(space.stages[space.pts.layout[c]].fixed)
    share = (tpot_seconds - float(hop[c])) / stages
    return [share - float(seconds) for seconds in released[c, :stages]]


def _exact_sum(model: CostModel, size: Int, counts: Int) -> Int:
    total = 1 + max((u.decision for u in model.units), default=-1)
    out = np.zeros((total, size.shape[1]), dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.decision >= 0:
            out[unit.decision] += size[i] * counts[i]
    return out


def bounds(space: Space) -> Array:
    """A lower bound of the objective for every candidate [C]; inf where it cannot be feasible."""
    model, question = space.model, space.model.question
    weights = layer_weights(model)
    objective, constant = objective_arrays(space, bound=True)
    legal = decision_legal(model, space.legal)
    rows: list[tuple[Array, Array]] = []
    limit = loss_limit(model)
    one = np.ones(len(space))
    if limit is not None:
        loss = decision_sum(model, model.layer_loss, weights)
        rows.append((np.repeat(loss[None], len(space), axis=0), limit * one))
    rows += _time_rows(space, question, weights)
    rows.append(_memory_row(space))
    out = np.full(len(space), np.inf)
    keep = np.nonzero(~excluded(legal, rows))[0]
    if len(keep):
        out[keep] = lower_bounds(objective[keep], constant[keep], legal[keep],
                                 [(c[keep], b[keep]) for c, b in rows])
    return out


def _time_rows(space: Space, question: Question, weights: Array) -> list[tuple[Array, Array]]:
    rows = []
    if question.tpot_seconds is not None:
        rows.append((decision_sum(space.model, space.decode, weights),
                     question.tpot_seconds - space.decode_constant))
    if question.ttft_seconds is not None:
        rows.append((decision_sum(space.model, space.prefill, weights),
                     space.prompt_limit - space.prefill_constant))
    return rows


def _memory_row(space: Space) -> tuple[Array, Array]:
    """Bytes of the fullest pipeline stage; where layers of a unit may take different choices and
    must weigh alike, those of all stages together."""
    model, tables = space.model, space.tables
    fixed, counts = space.padded
    every = np.arange(len(counts))
    schemes, together = len(model.question.schemes), model.question.untie
    size = np.zeros((len(counts), len(model.units), len(model.choices)), dtype=np.int64)
    token = np.zeros_like(size)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[:, i, :schemes] = tables.shard[:, unit.row]
        elif unit.role == "cache":
            token[:, i, schemes:] = tables.cache[:, unit.row]
    if together:
        own, layers = fixed.sum(axis=1), counts.sum(axis=1)
    else:
        stage = _fullest(space, size, token)
        own, layers = fixed[every, stage], counts[every, stage]
    weights = decision_sum(model, size.astype(np.float64), layers.astype(np.float64))
    tokens = decision_sum(model, token.astype(np.float64), layers.astype(np.float64))
    at = space.pts.layout
    room = budget(model.question) - space.extra
    limits = room * (space.pts.pp if together else 1) - own[at]
    return weights[at] + tokens[at] * space.held[:, None, None], limits.astype(np.float64)


def _fullest(space: Space, size: Int, token: Int) -> Int:
    """The stage of each layout that is fullest where every unit takes the smallest possible choice,
    with the most sequences that are tried."""
    fixed, counts = space.padded
    held = np.ones(len(counts), dtype=np.int64)
    np.maximum.at(held, space.pts.layout, space.held)
    used = size + token * held[:, None, None]
    least = np.where(space.model.possible & (used > 0), used, np.iinfo(np.int64).max).min(axis=2)
    least[least == np.iinfo(np.int64).max] = 0
    return np.asarray((fixed + (counts * least[:, None, :]).sum(axis=2)).argmax(axis=1))


def single_problem(space: Space, c: int) -> Problem:
    """The tied problem of candidate ``c`` (every decision takes one choice for all its layers)."""
    space, c = space.take(np.array([c], dtype=np.int64)), 0
    objective, constant = objective_arrays(space)
    legal = decision_legal(space.model, space.legal[c])
    counts = space.stages[space.pts.layout[c]].counts
    rows = problem_rows(space, c, layer_weights(space.model), counts)
    if space.model.question.objective in TIMED:
        own, scale = counts[space.pacing[c]], float(score_scale(space)[c])
        rows += [Row(PACE, decision_sum(space.model, space.decode[c], (counts[s] - own)
                                        * ((1 - TIE) * len(counts))) * scale, room * scale)
                 for s, room in maybe_slower(space, c)]
    return Problem(objective[0], float(constant[0]), legal,
                   np.ones(legal.shape[0], dtype=np.int64), tuple(rows))
