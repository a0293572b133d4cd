"""Whole steps of one assignment: T(p, B) for many batches at once, and the tables serving needs.

A pass over p prompt tokens and B decoding sequences reads every weight once for p + B rows; the
attention core runs apart for the sequences that decode and for the prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.step_prices import layer_classes
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.assignment import Segment
from planner.planning.space.model import CostModel
from planner.planning.space.operators import unit_parts
from planner.planning.space.residuals import PROMPT, STEP, factor_of
from planner.planning.space.tables import LayoutTables
from planner.throughput.fixed import pipeline_seconds
from planner.throughput.points import (
    Phase,
    Points,
    decode_phase,
    mixed_phase,
    points,
    prompts_phase,
)
from planner.throughput.roofline import Parts, fused_operators
from planner.throughput.scheduling import StepTimes

Array = NDArray[np.float64]
GROUP_LIMIT = 32
"""Prompts of one pass that are tabulated for a burst of arrivals."""


@dataclass(frozen=True)
class Assignment:
    """Layers of every unit with their choices on the layout ``layout`` of ``tables``."""

    model: CostModel
    tables: LayoutTables
    layout: int
    segments: tuple[Segment, ...]

    @property
    def choice(self) -> tuple[int, ...]:
        """The choice of each unit [U] (an index into ``model.choices``; -1: as released), of
        several that of its last layers."""
        by_unit = {segment.unit: segment.choice for segment in self.segments}
        return tuple(by_unit[i] for i in range(len(self.model.units)))


@dataclass(frozen=True, slots=True)
class PassWork:
    """What forward passes do, arrays [N] or numbers that hold for all.

    ``batch`` sequences of a rank decode at ``kv_len`` cached tokens, each with ``verified`` tokens
    (draft length + 1; 1 without speculative decoding). ``prompts`` new requests of ``length``
    tokens, of which the first ``cached`` are in the prefix cache, are read beside them, on
    ``reading`` of the attention ranks at the same time.
    """

    batch: Array
    prompts: Array
    kv_len: float
    length: float
    cached: float = 0.0
    verified: float = 1.0
    reading: float = 1.0


def pass_seconds(plan: Assignment, work: PassWork) -> dict[str, Array]:
    """Seconds of every pass by module kind, arrays [N]; ``pipeline`` is the hops between stages.

    Every stage counts: with pp > 1 the sum is the time of one micro-batch through all of them.
    """
    pts, dense = dense_phase(plan, work)
    seconds: dict[str, Array] = {}
    known: dict[tuple[str, int, int], Array] = {}
    for i, unit in enumerate(plan.model.units):
        key = (unit.role, unit.row, plan.choice[i])
        known_seconds = known.get(key)
        if known_seconds is None and unit.role == "cache":
            known_seconds = _attention(plan, pts, work, i)
        elif known_seconds is None:
            parts = unit_parts(plan.model, plan.tables, pts, _seen_by(unit, work, dense), unit)
            known_seconds = _column(plan, parts, i)
        known[key] = known_seconds
        seconds[unit.kind] = seconds.get(unit.kind, np.zeros(len(pts))) + known_seconds * unit.count
    hops = pipeline_seconds(plan.model.question.spec, plan.model.machine, pts, dense)
    return seconds | {"pipeline": np.broadcast_to(hops, pts.slot.shape)}


def dense_phase(plan: Assignment, work: PassWork) -> tuple[Points, Phase]:
    """What everything but the attention core sees: one pass over all rows."""
    every = np.maximum(np.asarray(work.batch, dtype=np.float64), 1e-9)
    pts = replace(points(plan.tables.layouts, [(plan.layout, 1)] * len(every)), slot=every)
    new = work.prompts * (work.length - work.cached)
    rows = np.maximum(work.batch * work.verified + new, 1e-9)
    pooled = work.batch * work.verified * pts.dp + new * work.reading
    return pts, Phase(
        "decode",
        tokens=rows,
        pooled=pooled,
        passes=1.0,
        sequences=work.batch + work.prompts,
        kv_len=work.kv_len,
        logit_rows=np.maximum(work.batch * work.verified + work.prompts, 1e-9),
    )


def _seen_by(unit: DecisionUnit, work: PassWork, dense: Phase) -> Phase:
    """``dense``, as a prompt's pass where experts exchange one: low-latency kernels of decode
    steps hold a few hundred tokens."""
    if unit.kind in EXPERT_KINDS and np.any(work.prompts):
        return replace(dense, name="prefill")
    return dense


def _attention(plan: Assignment, pts: Points, work: PassWork, index: int) -> Array:
    """The attention core of one layer: decoding sequences, then each prompt [N].

    The verified tokens of a sequence read its cache once.
    """
    unit = plan.model.units[index]
    none = np.zeros(len(pts))
    decode = Phase(
        "decode",
        tokens=work.batch,
        pooled=work.batch,
        passes=1.0,
        sequences=work.batch,
        kv_len=work.kv_len,
        logit_rows=none,
    )
    busy = _column(plan, unit_parts(plan.model, plan.tables, pts, decode, unit), index)
    total = np.where(work.batch > 0, busy, 0.0)
    if not np.any(work.prompts):
        return total

    def prompt(length: float) -> Array:
        phase = Phase(
            "prefill",
            tokens=none + length,
            pooled=none + length,
            passes=1.0,
            sequences=none + 1,
            kv_len=length,
            logit_rows=none,
        )
        return _column(plan, unit_parts(plan.model, plan.tables, pts, phase, unit), index)

    each = prompt(work.length)
    if work.cached:
        each = np.maximum(each - prompt(work.cached), 0.0)
    return np.asarray(total + work.prompts * each)


def _column(plan: Assignment, parts: Parts, index: int) -> Array:
    """Totals [N] of the choice that unit ``index`` takes."""
    return _choice(plan, parts.total(), index)


def _choice(plan: Assignment, total: Array, index: int) -> Array:
    """The column [N] of the choice that unit ``index`` takes."""
    unit, choice = plan.model.units[index], plan.choice[index]
    if total.shape[-1] == 1:
        return np.asarray(total[:, 0])
    if unit.role == "cache":
        choice -= len(plan.model.question.schemes)
    return np.asarray(total[:, choice])


def total_seconds(seconds: dict[str, Array]) -> Array:
    """Sum over kinds [N]."""
    return np.asarray(np.sum(np.stack(list(seconds.values())), axis=0))


@dataclass(frozen=True, slots=True)
class Serving:
    """What a step table is made for. ``draft``: tokens proposed a step and sequence (0: none), by
    ``draft_layers`` extra layers; ``hit_rate``: share of a prompt that the prefix cache holds;
    ``chunk``: most prompt tokens of one pass; ``most``: the largest batch of one rank;
    ``overlap``: passes run as two micro-batches, the exchange of one behind the
    kernels of the other; ``reading``: ranks
    that read a prompt in the same pass (all of them where prompts have workers of their own);
    ``length``: tokens of a sequence's cache where it decodes (0: the mean over a request's life).
    """

    isl: int
    osl: int
    most: float
    chunk: int
    draft: int = 0
    draft_layers: int = 1
    hit_rate: float = 0.0
    overlap: bool = False
    reading: float = 1.0
    length: float = 0.0


def step_times(plan: Assignment, work: Serving) -> StepTimes:
    """T(0, B), T(I, B) and bursts of prompts for ``plan``, on a ladder of batches that does not
    depend on the largest, so that every caller reads the same times."""
    batch, question = _ladder(work.most), plan.model.question
    cached = int(work.isl * work.hit_rate)
    kv_len = work.length or work.isl + work.osl / 2
    verified = work.draft + 1.0 if work.draft else question.verified
    pts = _points(plan, np.maximum(batch, 1e-9))
    step, prompt = (factor_of(question, name) for name in (STEP, PROMPT))

    def seconds(phase_of: Callable[[Points, float], Phase]) -> Array:
        if not work.overlap:
            return phase_seconds(plan, pts, phase_of(pts, 1.0))[0]
        split = replace(pts, slot=pts.slot / 2)
        halves, talk = phase_seconds(plan, split, phase_of(split, 0.5))
        one = phase_seconds(plan, pts, phase_of(pts, 1.0))[0]
        # One sequence is not split; of two halves the exchange of each hides behind the other.
        both = np.maximum(2.0 * (halves - talk), 2.0 * talk)
        return np.where((batch < 2) & (phase_of(pts, 1.0).name == "decode"), one, both)

    longer = 1.0 + work.draft * work.draft_layers / question.spec.layers
    decode = step * seconds(lambda at, share: decode_phase(at, kv_len, verified)) * longer
    decode[0] = 0.0
    passes = -(-(work.isl - cached) // work.chunk)

    def with_prompt(reading: float) -> Array:
        every = seconds(
            lambda at, share: mixed_phase(
                at, kv_len, work.isl, work.chunk, share, reading, cached, verified
            )
        )
        return np.asarray(prompt * every * longer - (passes - 1) * decode)

    ranks = float(plan.tables.layouts[plan.layout].dp)
    mixed = with_prompt(work.reading)
    everywhere = with_prompt(ranks) if ranks > work.reading else None
    if passes > 1:
        group = (mixed if everywhere is None else everywhere)[:1]
    else:
        counts = np.arange(1.0, 1 + max(1, min(GROUP_LIMIT, work.chunk // max(work.isl, 1))))
        at = _points(plan, np.ones(len(counts)))
        read = prompts_phase(at, work.isl, work.chunk, counts, cached)
        group = prompt * phase_seconds(plan, at, read)[0]
    return StepTimes(
        batch=batch,
        decode=decode,
        mixed=mixed,
        group=group,
        chunks=passes,
        together=work.chunk / max(work.isl - cached, 1.0),
        everywhere=everywhere,
    )


def phase_seconds(plan: Assignment, pts: Points, phase: Phase) -> tuple[Array, Array]:
    """(seconds of a pass through all layers, of them those that tokens of experts are on the way
    between ranks) [N]: kernels as :mod:`planner.planning.price.step_prices` adds them up, and the
    hops between stages."""
    model, schemes = plan.model, len(plan.model.question.schemes)
    units: dict[tuple[str, int], Parts] = {}
    for unit in model.units:
        key = unit.role, unit.row
        if key not in units:
            units[key] = unit_parts(model, plan.tables, pts, phase, unit)
    groups = layer_classes(model, plan.segments)
    total = pipeline_seconds(model.question.spec, model.machine, pts, phase)
    total, talk = np.asarray(total + np.zeros(len(pts))), np.zeros(len(pts))
    known: dict[tuple[object, ...], tuple[Array, Array]] = {}
    for kernels, layers in zip(groups.kernels, groups.counts, strict=True):
        for kernel in kernels:
            members, key_of = [], []
            for segment in (plan.segments[i] for i in kernel):
                unit = model.units[segment.unit]
                column = max(segment.choice - (schemes if unit.role == "cache" else 0), 0)
                members.append((unit, column))
                key_of.append((unit.role, unit.row, column))
            name = tuple(key_of)
            if name not in known:
                columns = [units[u.role, u.row].column(column) for u, column in members]
                one = columns[0] if len(columns) == 1 else fused_operators(columns)
                exchanged = members[0][0].kind in EXPERT_KINDS
                own = one.communication[:, 0] if exchanged else np.zeros(len(pts))
                known[name] = one.total()[:, 0], own
            total = total + layers * known[name][0]
            talk = talk + layers * known[name][1]
    return total, talk


def _points(plan: Assignment, slots: Array) -> Points:
    return replace(points(plan.tables.layouts, [(plan.layout, 1)] * len(slots)), slot=slots)


def _ladder(most: float) -> Array:
    """0, 1, 2, 3, 4, 6, 8, 12 … up to the first that is ``most`` or more."""
    out, power = [0.0, 1.0], 2.0
    while out[-1] < most:
        out += [power, 1.5 * power]
        power *= 2
    return np.array(out)
