"""Candidates of a search: layouts × sequences per rank, with their costs and bounds as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import Layout, replica_layouts
from planner.planning.costs import (
    LayoutTables,
    Model,
    cache_tokens,
    fixed_stage_bytes,
    legality,
    stage_bytes,
    stage_counts,
    unit_times,
)
from planner.planning.problem import Problem, Row, lower_bounds
from planner.planning.question import PREFILL_CHUNK, Question
from planner.throughput.fixed import pipeline_seconds
from planner.throughput.points import Points, decode_phase, points, prefill_phase

Array = NDArray[np.float64]
Int = NDArray[np.int64]
SLOTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Sequences per rank and micro-batch that are tried; the best is refined between its neighbours."""


def possible_layouts(question: Question) -> list[Layout]:
    """Single-replica layouts whose device count divides one of the sizes to try."""
    largest = max(question.sizes)
    reach = question.net.reach()
    wanted = []
    for layout in replica_layouts(question.spec, max_ranks=largest, node=question.node_devices,
                                  fixed=question.fixed):
        fits = any(size % layout.ranks == 0 for size in question.sizes) \
            if question.devices_given else layout.ranks in question.sizes
        if fits and layout.ranks <= reach:
            wanted.append(layout)
    return wanted


@dataclass(frozen=True)
class StageBytes:
    """Bytes of one layout: ``fixed`` int64 [stage], ``counts`` int64 [stage, unit] layers."""

    fixed: Int
    counts: Int


@dataclass(frozen=True)
class Space:
    """All candidates that could fit, with unit times [C, U, S] of one layer and legality."""

    model: Model
    tables: LayoutTables
    stages: list[StageBytes]
    pts: Points
    decode: Array
    prefill: Array
    decode_constant: Array
    prefill_constant: Array
    legal: NDArray[np.bool_]
    extra: Int
    """Activations, runtime and indexer cache of one rank [C]."""

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def padded(self) -> tuple[Int, Int]:
        """(fixed [L, P], counts [L, P, U]) of all layouts, padded with empty stages."""
        most = max(len(s.fixed) for s in self.stages)
        fixed = np.zeros((len(self.stages), most), dtype=np.int64)
        counts = np.zeros((len(self.stages), most, len(self.model.units)), dtype=np.int64)
        for i, stage in enumerate(self.stages):
            fixed[i, :len(stage.fixed)] = stage.fixed
            counts[i, :len(stage.fixed)] = stage.counts
        return fixed, counts

    @cached_property
    def held(self) -> Int:
        """Cache tokens that a rank holds [C]."""
        pp = self.pts.pp.astype(np.int64)
        slot = self.pts.slot.astype(np.int64)
        return np.asarray(slot * cache_tokens(self.model, 1, 1) * pp)


def bytes_per_layer(model: Model, tables: LayoutTables, layout: int, slot: int) -> Int:
    """int64 [unit, choice]: bytes one layer of a unit takes on a rank (cache: its whole slot)."""
    question = model.question
    schemes = len(question.schemes)
    size = np.zeros((len(model.units), len(model.choices)), dtype=np.int64)
    tokens = cache_tokens(model, slot, tables.layouts[layout].pp)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[i, :schemes] = tables.shard[layout, unit.row]
        elif unit.role == "cache":
            size[i, schemes:] = tables.cache[layout, unit.row] * tokens
    return size


def indexer_cache_bytes(model: Model, tables: LayoutTables, layout: int, slot: int) -> int:
    """Bytes of the sparse-attention indexer's keys in the fullest stage of one rank."""
    la = tables.layouts[layout]
    layers = -(-model.question.spec.layers // la.pp)
    return tables.indexer_token * layers * cache_tokens(model, slot, la.pp)


def budget(question: Question) -> int:
    """Bytes of one device that a plan may fill."""
    limit = question.usable_bytes
    return min(limit, question.memory_bytes) if question.memory_bytes is not None else limit


def overhead(model: Model, tables: LayoutTables, layout: int, slot: int) -> int:
    """Activations, runtime and indexer cache of one rank."""
    batch = slot * tables.layouts[layout].dp * tables.layouts[layout].pp
    act, run = fixed_stage_bytes(model, tables, layout, slot, batch)
    return act + run + indexer_cache_bytes(model, tables, layout, slot)


@dataclass(frozen=True)
class Least:
    """The smallest legal assignment of one layout: bytes by stage, and per cached token.

    ``possible`` is False where a unit has no legal choice.
    """

    weights: Int
    token: Int
    possible: bool

    def at(self, model: Model, tables: LayoutTables, layout: int, slot: int) -> int:
        """Bytes of the fullest rank with ``slot`` sequences a micro-batch."""
        if not self.possible:
            return int(np.iinfo(np.int64).max)
        held = cache_tokens(model, slot, tables.layouts[layout].pp)
        return int((self.weights + self.token * held).max()) \
            + overhead(model, tables, layout, slot)


def least(model: Model, tables: LayoutTables, stage: StageBytes, layout: int) -> Least:
    """The smallest legal choice of every unit under one layout."""
    legal = legality(model, tables, [layout])[0]
    schemes = len(model.question.schemes)
    size = np.zeros(legal.shape, dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[i, :schemes] = tables.shard[layout, unit.row]
        elif unit.role == "cache":
            size[i, schemes:] = tables.cache[layout, unit.row]
    smallest = np.where(legal, size, np.iinfo(np.int64).max).min(axis=1)
    module = np.array([u.role == "module" for u in model.units])
    cache = np.array([u.role == "cache" for u in model.units])
    if (smallest[module | cache] == np.iinfo(np.int64).max).any():
        return Least(stage.fixed, stage.fixed, False)
    return Least(stage.fixed + stage.counts @ np.where(module, smallest, 0),
                 stage.counts @ np.where(cache, smallest, 0), True)


def least_bytes(model: Model, tables: LayoutTables, stage: StageBytes, layout: int, slot: int,
                ) -> int:
    """Bytes of the fullest rank with the smallest legal choice everywhere."""
    return least(model, tables, stage, layout).at(model, tables, layout, slot)


def slots_to_try(question: Question, layout: Layout) -> list[int]:
    """Slots for one layout: the one that the given batch implies, or the grid."""
    if question.batch is not None:
        each, rest = divmod(question.batch, layout.dp * layout.pp)
        return [each] if each >= 1 and rest == 0 else []
    return list(SLOTS)


def fitting_pairs(model: Model, tables: LayoutTables, stages: list[StageBytes],
                  ) -> list[tuple[int, int]]:
    """(layout, slot) pairs whose smallest assignment fits; a layout's slots stop at the first
    that does not."""
    limit = budget(model.question)
    pairs = []
    for i, layout in enumerate(tables.layouts):
        smallest = least(model, tables, stages[i], i)
        for slot in slots_to_try(model.question, layout):
            if smallest.at(model, tables, i, slot) > limit:
                break
            pairs.append((i, slot))
    return pairs


def build_space(model: Model, tables: LayoutTables, stages: list[StageBytes],
                pairs: list[tuple[int, int]]) -> Space:
    """Times and legality of ``pairs``."""
    question = model.question
    pts = points(tables.layouts, pairs)
    length = question.workload.decode_length
    isl = question.workload.isl
    step = decode_phase(pts, length)
    prompt = prefill_phase(pts, isl, PREFILL_CHUNK)
    decode = unit_times(model, tables, pts, step)
    prefill = unit_times(model, tables, pts, prompt)
    fixed = np.array([u.role == "released" for u in model.units])
    layers = np.array([u.count for u in model.units], dtype=np.float64)
    legal = legality(model, tables, pts.layout)
    return Space(
        model, tables, stages, pts, decode, prefill,
        decode_constant=(decode[:, fixed, 0] * layers[fixed]).sum(axis=1)
        + pipeline_seconds(question.spec, model.machine, pts, step),
        prefill_constant=(prefill[:, fixed, 0] * layers[fixed]).sum(axis=1)
        + pipeline_seconds(question.spec, model.machine, pts, prompt),
        legal=legal,
        extra=np.array([overhead(model, tables, i, slot) for i, slot in pairs], dtype=np.int64))


def decision_sum(model: Model, values: Array, weights: Array) -> Array:
    """Sum unit values [..., U, S] × weights [U] into decisions [..., D, S]."""
    count = 1 + max((u.decision for u in model.units), default=-1)
    out = np.zeros((*values.shape[:-2], count, values.shape[-1]))
    for i, unit in enumerate(model.units):
        if unit.decision >= 0:
            out[..., unit.decision, :] += np.where(np.isfinite(values[..., i, :]),
                                                   values[..., i, :], 0.0) * weights[i]
    return out


def decision_legal(model: Model, legal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A decision may take what all of its units may take: [..., U, S] → [..., D, S]."""
    count = 1 + max((u.decision for u in model.units), default=-1)
    out = np.ones((*legal.shape[:-2], count, legal.shape[-1]), dtype=bool)
    for i, unit in enumerate(model.units):
        if unit.decision >= 0:
            out[..., unit.decision, :] &= legal[..., i, :]
    return out


def layer_weights(model: Model) -> Array:
    """Layers of each unit [U]."""
    return np.array([u.count for u in model.units], dtype=np.float64)


def score_scale(space: Space) -> Array:
    """Factor from step seconds to the compared score [C]: device-seconds a token, or seconds."""
    pts = space.pts
    if space.model.question.objective in ("throughput", "cost"):
        return np.asarray(pts.group * pts.pp / np.maximum(pts.batch, 1))
    return np.ones(len(pts))


def objective_arrays(space: Space) -> tuple[Array, Array]:
    """(coefficients [C, D, S], constant [C]) of the question's objective, to be minimised."""
    model, question = space.model, space.model.question
    weights = layer_weights(model)
    if question.objective == "quality":
        loss = decision_sum(model, model.layer_loss, weights)
        return np.repeat(loss[None], len(space), axis=0), np.zeros(len(space))
    if question.objective == "memory":
        return _memory_objective(space)
    scale = score_scale(space)
    return (decision_sum(model, space.decode, weights) * scale[:, None, None],
            space.decode_constant * scale)


def _memory_objective(space: Space) -> tuple[Array, Array]:
    model = space.model
    coefficients, constants = [], []
    for c in range(len(space)):
        layout, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
        la = space.tables.layouts[layout]
        stage = space.stages[layout]
        size = bytes_per_layer(model, space.tables, layout, slot).astype(np.float64)
        group = la.tp * la.dp
        coefficients.append(decision_sum(model, size, stage.counts.sum(axis=0).astype(float))
                            * group)
        constants.append(float(stage.fixed.sum() * group)
                         + int(space.extra[c]) * la.ranks)
    return np.array(coefficients), np.array(constants)


def loss_limit(model: Model) -> float | None:
    """The loss budget as a number: given, or that of the named uniform scheme (KV bf16)."""
    question = model.question
    if question.loss_scheme is None:
        return question.loss_limit
    from planner.quality.prior import layer_loss

    total = 0.0
    for unit in model.units:
        if unit.role == "module":
            loss = layer_loss(model.prior, model.reference, unit.kind, unit.bucket,
                              question.loss_scheme)
            total += (loss or 0.0) * unit.count
    return total / model.norm


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
        rows.append(Row("tpot", decision_sum(model, space.decode[c], weights),
                        question.tpot_seconds - float(space.decode_constant[c])))
    if question.ttft_seconds is not None:
        rows.append(Row("ttft", decision_sum(model, space.prefill[c], weights),
                        question.ttft_seconds - float(space.prefill_constant[c])))
    return rows


def _exact_sum(model: Model, size: Int, counts: Int) -> Int:
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
    objective, constant = objective_arrays(space)
    legal = decision_legal(model, space.legal)
    rows: list[tuple[Array, Array]] = []
    limit = loss_limit(model)
    one = np.ones(len(space))
    if limit is not None:
        loss = decision_sum(model, model.layer_loss, weights)
        rows.append((np.repeat(loss[None], len(space), axis=0), limit * one))
    rows += _time_rows(space, question, weights)
    rows.append(_memory_row(space))
    best = lower_bounds(objective, constant, legal, rows)
    for coefficients, bound in rows:
        least = np.where(legal, coefficients, np.inf).min(axis=2).sum(axis=1)
        best = np.where(least > bound * (1 + 1e-9) + 1e-15, np.inf, best)
    return best


def _time_rows(space: Space, question: Question, weights: Array) -> list[tuple[Array, Array]]:
    rows = []
    if question.tpot_seconds is not None:
        rows.append((decision_sum(space.model, space.decode, weights),
                     question.tpot_seconds - space.decode_constant))
    if question.ttft_seconds is not None:
        rows.append((decision_sum(space.model, space.prefill, weights),
                     question.ttft_seconds - space.prefill_constant))
    return rows


def _memory_row(space: Space) -> tuple[Array, Array]:
    """Bytes summed over pipeline stages (implied by the per-stage limits)."""
    model, tables = space.model, space.tables
    fixed, counts = space.padded
    schemes = len(model.question.schemes)
    layers = counts.sum(axis=1)
    size = np.zeros((len(tables.layouts), len(model.units), len(model.choices)), dtype=np.int64)
    token = np.zeros_like(size)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            size[:, i, :schemes] = tables.shard[:, unit.row] * layers[:, i, None]
        elif unit.role == "cache":
            token[:, i, schemes:] = tables.cache[:, unit.row] * layers[:, i, None]
    one = np.ones(len(model.units))
    weights = decision_sum(model, size.astype(np.float64), one)
    tokens = decision_sum(model, token.astype(np.float64), one)
    at = space.pts.layout
    room = budget(model.question) - space.extra
    limits = room * space.pts.pp - fixed.sum(axis=1)[at]
    return weights[at] + tokens[at] * space.held[:, None, None], limits.astype(np.float64)


def stage_table(model: Model, tables: LayoutTables) -> list[StageBytes]:
    """Fixed bytes and layer counts by stage for every layout."""
    counts = {pp: stage_counts(model, pp) for pp in {la.pp for la in tables.layouts}}
    return [StageBytes(stage_bytes(model, tables, i, counts[la.pp]), counts[la.pp])
            for i, la in enumerate(tables.layouts)]


def single_problem(space: Space, c: int) -> Problem:
    """The tied problem of candidate ``c`` (every decision takes one choice for all its layers)."""
    objective, constant = objective_arrays(_one(space, c))
    legal = decision_legal(space.model, space.legal[c])
    layout = int(space.pts.layout[c])
    rows = problem_rows(space, c, layer_weights(space.model), space.stages[layout].counts)
    return Problem(objective[0], float(constant[0]), legal,
                   np.ones(legal.shape[0], dtype=np.int64), tuple(rows))


def _one(space: Space, c: int) -> Space:
    pick = np.array([c], dtype=np.int64)
    return Space(space.model, space.tables, space.stages, space.pts.take(pick),
                 space.decode[pick], space.prefill[pick], space.decode_constant[pick],
                 space.prefill_constant[pick], space.legal[pick], space.extra[pick])
