"""Price one assignment on one candidate: the additive model of the solver, then the full step.

The solver adds units up. The full step prices what engines fuse as one kernel (keys with values,
gate-up with down of the experts) and a pipeline by its slowest stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

import numpy as np

from planner.placement.cache_entries import indexer_token_bytes
from planner.placement.layout import Layout, stage_of_layer
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import CandidateTimes, Space, queue
from planner.planning.space.memory import budget, bytes_per_layer, temporary_bytes
from planner.planning.space.model import CostModel
from planner.records import cached_record, record
from planner.throughput.roofline import joint, main_bound, seconds

FUSED = {"kv-k": "attention", "kv-v": "attention", "experts-gate-up": "experts",
         "experts-down": "experts"}


BEFORE, AFTER = -1, -2
"""Keys of what runs before the first layer (embedding) and after the last (head)."""


@record
class SegmentCost:
    """Seconds of one layer by mechanism, and totals over the segment's layers.

    ``mixed`` is a prompt's way through the layer beside the decoding batch.
    """

    segment: Segment
    decode: dict[str, float]
    prefill: dict[str, float]
    mixed: dict[str, float]
    decode_seconds: float
    prefill_seconds: float
    bound: str
    loss: float
    embedding: bool


@record
class RankBytes:
    """Bytes of one pipeline stage's rank."""

    weights: int
    cache: int
    activation: int
    runtime: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.activation + self.runtime


@cached_record
class Priced:
    """An assignment priced. ``additive_*`` are the solver's sums, ``pipelined_tpot`` is what its
    limit on TPOT compares (pp × the slowest stage), the others are the full step.

    ``interruption`` is the part of TPOT that prompts take; ``queue`` the part of TTFT before a
    prompt is read, at ``utilisation`` of a rank by prompts.
    """

    layout: Layout
    slot: int
    batch: int
    costs: tuple[SegmentCost, ...]
    tpot: float
    ttft: float
    interruption: float
    queue: float
    utilisation: float
    additive_tpot: float
    additive_ttft: float
    pipelined_tpot: float
    loss: float
    stages: tuple[RankBytes, ...]
    sequence_bytes: tuple[int, ...]
    token_bytes: tuple[int, ...]

    @property
    def fullest(self) -> RankBytes:
        return max(self.stages, key=lambda s: s.total)

    def tokens_per_second(self, replicas: int) -> float:
        return replicas * self.batch / self.tpot


@record
class Prompts:
    """How often a prompt interrupts a step, and over how many passes."""

    weight: float
    passes: float

    def added(self, decode: float, mixed: float) -> float:
        """Seconds that prompts add to a step of ``decode`` seconds."""
        return self.weight * max(mixed - self.passes * decode, 0.0)


def price(space: Space, c: int, segments: Sequence[Segment]) -> Priced:
    """Everything about ``segments`` on candidate ``c`` of ``space``."""
    model = space.model
    layout = space.tables.layouts[space.pts.layout[c]]
    slot = int(space.pts.slot[c])
    times, n = _own_times(space), int(space.rows[c])
    costs = _segment_costs(model, times, n, segments)
    prompts = Prompts(float(times.weight[n]), times.passes)
    hop, hop_mixed = float(times.hop[n]), float(times.hop_mixed[n])
    hop_step = hop + prompts.added(hop, hop_mixed)
    stages, per_sequence, per_token = _memory(space, c, segments)
    decode, mixed = _fused(model, costs, "decode"), _fused(model, costs, "mixed")
    both = {layer: s + prompts.added(s, mixed[layer]) for layer, s in decode.items()}
    tpot = _pipelined_seconds(model, layout, both, hop_step)
    prompt = fsum(mixed.values()) + hop_mixed
    interruption = tpot - _pipelined_seconds(model, layout, decode, hop)
    busy = interruption / tpot
    wait = float(queue(np.array(busy), np.array(prompt / layout.pp), np.array(slot * layout.pp)))
    return Priced(
        layout, slot, slot * layout.dp * layout.pp, costs, tpot=tpot, ttft=prompt + wait,
        interruption=interruption, queue=wait,
        utilisation=busy,
        additive_tpot=fsum(_step_seconds(k, prompts) for k in costs) + hop_step,
        pipelined_tpot=_pipelined_seconds(model, layout, _unfused_seconds(costs, prompts),
                                          hop_step),
        additive_ttft=fsum(seconds(k.mixed) * k.segment.count for k in costs) + hop_mixed,
        loss=fsum(k.loss for k in costs), stages=stages, sequence_bytes=per_sequence,
        token_bytes=per_token)


def _own_times(space: Space) -> CandidateTimes:
    """The times of the space, which must be those of its model: limits and the objective may have
    changed since, neither the device nor the workload."""
    mine, theirs = space.model, space.times.model
    if mine.machine is not theirs.machine or mine.question.workload != theirs.question.workload \
            or mine.question.device is not theirs.question.device:
        raise ValueError("the times of a space are of another model: see candidates.timed_again")
    return space.times


def _step_seconds(cost: SegmentCost, prompts: Prompts) -> float:
    """What a segment adds to the average step, prompts included [s]."""
    mixed = seconds(cost.mixed) * cost.segment.count
    return cost.decode_seconds + prompts.added(cost.decode_seconds, mixed)


def _segment_costs(model: CostModel, times: CandidateTimes, n: int,
                   segments: Sequence[Segment]) -> tuple[SegmentCost, ...]:
    schemes = len(model.question.schemes)
    known: dict[tuple[tuple[str, int], int], tuple[dict[str, float], ...]] = {}
    out = []
    for segment in segments:
        unit = model.units[segment.unit]
        key = (unit.role, unit.row)
        column = 0 if segment.choice < 0 else segment.choice - (
            schemes if unit.role == "cache" else 0)
        if (key, column) not in known:
            known[key, column] = times.units[key].mechanisms(n, column)
        decode, prefill, mixed = known[key, column]
        loss = 0.0 if segment.choice < 0 \
            else float(model.layer_loss[segment.unit, segment.choice]) * segment.count
        out.append(SegmentCost(segment, decode, prefill, mixed, seconds(decode) * segment.count,
                               seconds(prefill) * segment.count, main_bound(decode), loss,
                               unit.kind == "embedding"))
    return tuple(out)


def _fused(model: CostModel, costs: Sequence[SegmentCost], phase: str) -> dict[int, float]:
    """Seconds by layer (BEFORE or AFTER: outside the stack), fused kernels priced together."""
    members: dict[tuple[str, int], tuple[int, ...]] = {}
    by_layer: dict[int, float] = {}
    for i, cost in enumerate(costs):
        group = FUSED.get(model.units[cost.segment.unit].kind)
        if group is not None:
            for layer in cost.segment.layers:
                members[group, layer] = (*members.get((group, layer), ()), i)
            continue
        alone = seconds(getattr(cost, phase))
        for layer in cost.segment.layers or (_outside(cost),):
            by_layer[layer] = by_layer.get(layer, 0.0) + alone
    fused: dict[tuple[int, ...], float] = {}
    for (_, layer), which in members.items():
        if which not in fused:
            fused[which] = seconds(joint([getattr(costs[i], phase) for i in which]))
        by_layer[layer] = by_layer.get(layer, 0.0) + fused[which]
    return by_layer


def _unfused_seconds(costs: Sequence[SegmentCost], prompts: Prompts) -> dict[int, float]:
    """Seconds by layer with every unit priced alone, as the limits of the solver do."""
    by_layer: dict[int, float] = {}
    for cost in costs:
        one = seconds(cost.decode)
        one += prompts.added(one, seconds(cost.mixed))
        for layer in cost.segment.layers or (_outside(cost),):
            by_layer[layer] = by_layer.get(layer, 0.0) + one
    return by_layer


def _outside(cost: SegmentCost) -> int:
    """The place of what is outside the stack: before it, or after it."""
    return BEFORE if cost.embedding else AFTER


def _pipelined_seconds(model: CostModel, layout: Layout, by_layer: dict[int, float],
                       hop: float) -> float:
    """Seconds of a step from those of its layers: pp × the slowest stage, and the hops."""
    stages = stage_of_layer(model.question.spec.layers, layout.pp)
    stage = [0.0] * layout.pp
    for layer, value in by_layer.items():
        stage[stages[layer] if layer >= 0 else 0 if layer == BEFORE else -1] += value
    if layout.pp == 1:
        return stage[0]
    return layout.pp * max(stage) + hop


def _memory(space: Space, c: int, segments: Sequence[Segment],
            ) -> tuple[tuple[RankBytes, ...], tuple[int, ...], tuple[int, ...]]:
    """(stages, cache bytes of one sequence by stage, of one more token by stage)."""
    model = space.model
    index, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
    layout = space.tables.layouts[index]
    size = bytes_per_layer(model, space.tables, index, slot)
    schemes = len(model.question.schemes)
    stages = stage_of_layer(model.question.spec.layers, layout.pp)
    weights = [int(b) for b in space.stages[index].fixed]
    sequence = [0] * layout.pp
    token = [0] * layout.pp
    for segment in segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            continue
        if not segment.layers:
            weights[0 if unit.kind == "embedding" else -1] += int(
                size[segment.unit, segment.choice])
        for layer in segment.layers:
            if unit.role == "module":
                weights[stages[layer]] += int(size[segment.unit, segment.choice])
            else:
                column = segment.choice - schemes
                sequence[stages[layer]] += int(space.tables.cache[index, unit.row, column])
                token[stages[layer]] += int(space.tables.token[index, unit.row, column])
    for group in model.question.spec.attention:
        keys = indexer_token_bytes(group, fp8=model.indexer_fp8)
        for layer in group.layers:
            sequence[stages[layer]] += int(space.tables.fixed[index, layer])
            token[stages[layer]] += keys
    act, run = temporary_bytes(model, layout, slot)
    memory = tuple(RankBytes(w, s * slot * layout.pp, act, run)
                   for w, s in zip(weights, sequence, strict=True))
    return memory, tuple(sequence), tuple(token)


def fits(space: Space, c: int, priced: Priced) -> bool:
    """Whether the fullest rank stays within the question's budget."""
    return priced.fullest.total <= budget(space.model.question)

