"""Price one assignment on one candidate: the arrays of :mod:`planner.planning.price.step_prices` of
length 1, with what each segment and each pipeline stage has of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum

import numpy as np

from planner.base.records import cached_record, record
from planner.placement.cache_entries import indexer_token_bytes
from planner.placement.layout import Layout, stage_of_layer
from planner.planning.price.rank_bytes import (
    resident_bytes,
    segment_counts,
    stage_caches,
    stage_weights,
)
from planner.planning.price.served import ServedLoop, served_loop
from planner.planning.price.step import Assignment
from planner.planning.price.step_prices import step_prices
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.draft_bytes import draft_token_bytes
from planner.planning.space.file_bytes import file_bytes, unchosen_bytes
from planner.planning.space.kernel_times import CandidateTimes
from planner.planning.space.memory import (
    activations,
    budget,
    host_room,
    overhead_rates,
)
from planner.planning.space.model import CostModel
from planner.throughput.roofline import main_bound, seconds


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


@record
class StageCache:
    """Cache bytes of one pipeline stage's rank by what grows alike: ``each`` of one request,
    ``once`` of one sequence of the context; ``token`` of one more token."""

    each: tuple[int, ...]
    once: tuple[int, ...]
    token: int

    def resident(self, sequences: int) -> int:
        """Bytes kept for so many requests: at least one of the context has room."""
        return sum(max(sequences * a, b) for a, b in zip(self.each, self.once, strict=True))


@cached_record
class Priced:
    """An assignment priced in the closed loop of its ``batch`` requests: what is printed and what
    limits are compared with. ``added`` is the TPOT of the search, where all of them decode.

    ``requests`` of them are in flight on average: all, unless fewer are given. ``rate`` is output
    tokens/s of a replica; ``interruption`` the part of TPOT that prompts take, ``host`` that the
    host takes; ``queue`` the part of TTFT before a prompt is read, at ``utilisation`` of a rank by
    prompts; ``active`` sequences of a rank decode.
    """

    layout: Layout
    slot: int
    batch: int
    requests: float
    costs: tuple[SegmentCost, ...]
    tpot: float
    ttft: float
    rate: float
    interruption: float
    host: float
    queue: float
    utilisation: float
    active: float
    added: float
    loss: float
    stages: tuple[RankBytes, ...]
    caches: tuple[StageCache, ...]

    @property
    def fullest(self) -> RankBytes:
        return max(self.stages, key=lambda s: s.total)

    def tokens_per_second(self, replicas: int) -> float:
        return replicas * self.rate


def price(space: Space, c: int, segments: Sequence[Segment]) -> Priced:
    """Everything about ``segments`` on candidate ``c`` of ``space``."""
    model = space.model
    layout = space.tables.layouts[space.pts.layout[c]]
    slot = int(space.pts.slot[c])
    times, n = _own_times(space), int(space.rows[c])
    costs = _segment_costs(model, times, n, segments)
    stages, caches = _memory(space, c, segments)
    prices = step_prices(model, times, space.pts.take(np.array([c])), segments, np.array([n]))
    priced = Priced(
        layout,
        slot,
        slot * layout.dp * layout.pp,
        model.question.requests(layout, slot),
        costs,
        tpot=prices.tpot.item(),
        ttft=prices.ttft.item(),
        rate=slot * layout.dp * layout.pp / prices.tpot.item(),
        interruption=prices.interruption.item(),
        host=0.0,
        queue=prices.wait.item(),
        utilisation=prices.utilisation.item(),
        active=float(slot * layout.pp),
        added=prices.tpot.item(),
        loss=fsum(k.loss for k in costs),
        stages=stages,
        caches=caches,
    )
    if not times.in_loop:
        return priced
    plan = Assignment(model, space.tables, int(space.pts.layout[c]), tuple(segments))
    return _in_loop(priced, served_loop(plan, priced.requests))


def _in_loop(priced: Priced, loop: ServedLoop) -> Priced:
    """``priced`` as it is served."""
    state = loop.state
    return replace(
        priced,
        tpot=state.tpot,
        ttft=state.ttft,
        rate=loop.rate,
        interruption=state.interruption,
        host=state.host,
        queue=max(state.ttft - loop.reading, 0.0),
        utilisation=state.utilisation,
        active=state.active,
    )


def _own_times(space: Space) -> CandidateTimes:
    """The times of the space, which must be those of its model: limits and the objective may have
    changed since, neither the device nor the workload."""
    mine, theirs = space.model, space.times.model
    if (
        mine.machine is not theirs.machine
        or mine.question.workload != theirs.question.workload
        or mine.question.device is not theirs.question.device
    ):
        raise ValueError("the times of a space are of another model: see candidates.retimed")
    return space.times


def _segment_costs(
    model: CostModel, times: CandidateTimes, n: int, segments: Sequence[Segment]
) -> tuple[SegmentCost, ...]:
    schemes = len(model.question.schemes)
    known: dict[tuple[tuple[str, int], int], tuple[dict[str, float], ...]] = {}
    out = []
    for segment in segments:
        unit = model.units[segment.unit]
        key = (unit.role, unit.row)
        column = (
            0 if segment.choice < 0 else segment.choice - (schemes if unit.role == "cache" else 0)
        )
        if (key, column) not in known:
            known[key, column] = times.units[key].mechanisms(n, column)
        decode, prefill, mixed = known[key, column]
        loss = (
            0.0
            if segment.choice < 0
            else float(model.layer_loss[segment.unit, segment.choice]) * segment.count
        )
        out.append(
            SegmentCost(
                segment,
                decode,
                prefill,
                mixed,
                seconds(decode) * segment.count,
                seconds(prefill) * segment.count,
                main_bound(decode),
                loss,
                unit.kind == "embedding",
            )
        )
    return tuple(out)


def _memory(
    space: Space,
    c: int,
    segments: Sequence[Segment],
) -> tuple[tuple[RankBytes, ...], tuple[StageCache, ...]]:
    """(bytes, caches) by stage."""
    model, tables = space.model, space.tables
    index, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
    layout, stage = tables.layouts[index], space.stages[index]
    counts = segment_counts(model, segments, layout.pp)
    weights = stage_weights(model, tables, stage, index, segments, counts)
    each = stage_caches(model, segments, counts, tables.cache[index], stage.sequence)
    once = stage_caches(model, segments, counts, tables.once[index], stage.once)
    token = stage_caches(
        model, segments, counts, tables.token[index], np.zeros(layout.pp, dtype=np.int64)
    ).sum(axis=0)
    stages = stage_of_layer(model.question.spec.layers, layout.pp)
    for group in model.question.spec.attention:
        for layer in group.layers:
            token[stages[layer]] += indexer_token_bytes(group, fp8=model.indexer_fp8)
    token[-1] += draft_token_bytes(model, layout)
    caches = tuple(
        StageCache(tuple(sequence_bytes), tuple(most), more)
        for sequence_bytes, most, more in zip(
            each.T.tolist(), once.T.tolist(), token.tolist(), strict=True
        )
    )
    resident = resident_bytes(each[:, :, None], once[:, :, None], np.array([slot * layout.pp]))
    rates = overhead_rates(model, tables, np.array([index]))
    act = activations(
        model, rates, np.array([slot]), np.array([model.question.workload.isl])
    ).item()
    return tuple(
        RankBytes(*sizes, act, int(rates[0, 2]))
        for sizes in zip(weights.tolist(), resident[:, 0].tolist(), strict=True)
    ), caches


def fits(space: Space, c: int, priced: Priced) -> bool:
    """Whether the fullest rank stays within the question's budget."""
    room, most = host_room(space.model.question), space.model.question.file_bytes
    return (
        priced.fullest.total <= budget(space.model.question)
        and (room is None or host_bytes_of(space, priced) <= room)
        and (most is None or file_bytes_of(space.model, priced) <= most)
    )


def host_bytes_of(space: Space, priced: Priced) -> int:
    """Bytes that an assignment keeps in the memory of a host."""
    model, tables = space.model, space.tables
    return sum(
        int(tables.host[model.units[s.unit].row, s.choice]) * s.count
        for s in (cost.segment for cost in priced.costs)
        if s.choice >= 0 and model.units[s.unit].role == "module"
    )


def file_bytes_of(model: CostModel, priced: Priced) -> int:
    """Bytes of the weights' file of an assignment."""
    size = file_bytes(model)
    return unchosen_bytes(model) + sum(
        int(size[s.unit, s.choice]) * s.count
        for s in (cost.segment for cost in priced.costs)
        if s.choice >= 0 and model.units[s.unit].role == "module"
    )


def cached_loss(model: CostModel, priced: Priced) -> float:
    """What of the summed loss of an assignment its caches lose."""
    return fsum(c.loss for c in priced.costs if model.units[c.segment.unit].role == "cache")
