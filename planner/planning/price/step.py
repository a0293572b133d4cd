"""Whole steps of one assignment: T(p, B) for many batches at once, and the tables serving needs.

A pass over p prompt tokens and B decoding sequences reads every weight once for p + B rows; the
attention core runs apart for the sequences that decode and for the prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from planner.placement.modules import EXPERT_KINDS
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.model import CostModel
from planner.planning.space.operators import unit_parts
from planner.planning.space.tables import LayoutTables
from planner.throughput.fixed import pipeline_seconds
from planner.throughput.points import Phase, Points, points
from planner.throughput.roofline import Parts
from planner.throughput.scheduling import StepTimes

Array = NDArray[np.float64]
GROUP_LIMIT = 32
"""Prompts of one pass that are tabulated for a burst of arrivals."""


@dataclass(frozen=True)
class Assignment:
    """One choice for every unit (an index into ``model.choices``; -1: as released) on the layout
    ``layout`` of ``tables``."""

    model: CostModel
    tables: LayoutTables
    layout: int
    choice: tuple[int, ...]


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


def exchange_seconds(plan: Assignment, work: PassWork) -> Array:
    """Seconds of every pass that expert tokens are on the way between ranks [N]."""
    pts, dense = dense_phase(plan, work)
    total = np.zeros(len(pts))
    for i, unit in enumerate(plan.model.units):
        if unit.role == "module" and unit.kind in EXPERT_KINDS:
            parts = unit_parts(plan.model, plan.tables, pts, _seen_by(unit, work, dense), unit)
            total = total + _choice(plan, parts.communication, i) * unit.count
    return total


def overlapped_seconds(plan: Assignment, work: PassWork) -> Array:
    """Seconds of every pass run as two micro-batches of half its sequences and prompts [N]: the
    exchange of one hides behind the other's kernels, max(2·(T − X), 2·X) of the halves. One
    sequence alone is not split."""
    half = replace(work, batch=work.batch / 2, prompts=work.prompts / 2)
    talk = 2.0 * exchange_seconds(plan, half)
    unsplit = 2.0 * total_seconds(pass_seconds(plan, half))
    alone = (work.batch < 2) & (work.prompts == 0)
    return np.where(
        alone, total_seconds(pass_seconds(plan, work)), np.maximum(unsplit - talk, talk)
    )


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
    ``overlap``: passes run as two micro-batches (:func:`overlapped_seconds`); ``reading``: ranks
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
    """T(0, B), T(I, B) and bursts of prompts for ``plan``, on a grid of batches."""
    most = max(work.most, 1.0)
    batch = np.unique(np.concatenate([[0.0, 1.0], np.geomspace(1.0, most, 12)]))
    cached = float(int(work.isl * work.hit_rate))
    kv_len, verified = work.length or work.isl + work.osl / 2, work.draft + 1.0
    nothing = np.zeros(len(batch))

    def seconds(
        prompts: Array,
        sequences: Array,
        length: float,
        skipped: float,
        reading: float = work.reading,
    ) -> Array:
        one = PassWork(sequences, prompts, kv_len, length, skipped, verified, reading)
        if work.overlap:
            return overlapped_seconds(plan, one)
        return total_seconds(pass_seconds(plan, one))

    layers = plan.model.question.spec.layers
    longer = 1.0 + work.draft * work.draft_layers / layers
    decode = seconds(nothing, batch, 1.0, 0.0) * longer
    decode[0] = 0.0
    borders = _borders(work.isl, int(cached), work.chunk)

    def with_prompt(reading: float) -> Array:
        with_prompts = decode.copy()
        for start, end in pairwise(borders):
            pass_ = seconds(nothing + 1, batch, float(end), float(start), reading)
            with_prompts += pass_ * longer - decode
        return with_prompts

    ranks = float(plan.tables.layouts[plan.layout].dp)
    mixed = with_prompt(work.reading)
    everywhere = with_prompt(ranks) if ranks > work.reading else None
    if len(borders) > 2:
        group = (mixed if everywhere is None else everywhere)[:1]
    else:
        together = np.arange(1.0, 1 + max(1, min(GROUP_LIMIT, work.chunk // max(work.isl, 1))))
        group = seconds(
            together, np.zeros(len(together)), float(work.isl), cached, max(ranks, work.reading)
        )
    return StepTimes(
        batch=batch,
        decode=decode,
        mixed=mixed,
        group=group,
        chunks=len(borders) - 1,
        together=work.chunk / max(work.isl - cached, 1.0),
        everywhere=everywhere,
    )


def _borders(isl: int, cached: int, chunk: int) -> list[int]:
    """Ends of the chunks in which a prompt is read, from what is cached on."""
    return [cached, *range(cached + chunk, isl, chunk), isl]
