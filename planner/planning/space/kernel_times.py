"""Seconds of every kernel under every option, on many candidates.

A step decodes one token of every sequence; a mixed pass reads a part of a prompt beside them. The
average step is a step with its share of prompts, which is what a plan's TPOT is made of. Where
tokens are drafted, a step verifies several, and its seconds are told for each that is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.question.corrections import PROMPT, STEP
from planner.planning.question.question import Question
from planner.planning.space.decisions import DecidedKernel
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
from planner.planning.space.times import Key, Lengths, UnitTimes, steps_of_prompt, timed_units
from planner.throughput.arrivals import passes_with_holding, prompts_each_step, ranks_reading
from planner.throughput.fixed import pipeline_seconds
from planner.throughput.points import Number, Phase, Points, decode_phase, mixed_phase
from planner.throughput.roofline import fused_operators

Array = NDArray[np.float64]
Int = NDArray[np.int64]


@cached_record
class CandidateTimes:
    """Mechanisms of every unit on C candidates, and seconds between pipeline stages [C].

    ``passes`` are those of a prompt; the average step starts ``weight`` of them [C], at most
    1 / passes: beyond it every step is a mixed pass that carries more than one prompt. Where a step
    gains several tokens a sequence, both are for one of them: ``weight`` of a step divided by their
    number, ``passes`` times it. ``model`` is whose times they are. ``in_loop``: answers are
    followed by prompts; not so in a worker of a pool."""

    model: CostModel
    units: dict[Key, UnitTimes]
    hop: Array
    hop_mixed: Array
    weight: Array
    passes: Number
    in_loop: bool = True


def step_times(model: CostModel, tables: LayoutTables, pts: Points) -> CandidateTimes:
    """Times of all units on ``pts`` under the question's own workload."""
    work = model.question.workload
    lengths = Lengths(
        work.decode_length, work.isl, cached=work.cached, chunk=model.question.chunk_tokens
    )
    return candidate_times(model, tables, pts, lengths, work.osl)


def candidate_times(
    model: CostModel, tables: LayoutTables, pts: Points, lengths: Lengths, osl: int | Int
) -> CandidateTimes:
    """Times of all units on ``pts`` [C]; tokens of prompts and answers are numbers that hold for
    all candidates or arrays [C]. How many prompts a step reads follows from them."""
    verified, accepted = model.question.verified, model.question.accepted
    ended = pts.batch * accepted / osl
    arriving, reading = prompts_read(model.question, pts, ended)
    weight, reads = prompt_passes(arriving, lengths.isl - lengths.cached, lengths.chunk, accepted)
    lengths = replace(lengths, prompts=reads, reading=reading, verified=verified, accepted=accepted)
    step = decode_phase(pts, lengths.decode, verified)
    mixed = mixed_phase(
        pts, lengths.decode, lengths.isl, lengths.chunk, reads, reading, lengths.cached, verified
    )
    hop, hop_mixed = hops_of_passes(model, pts, step, mixed)
    return CandidateTimes(
        model,
        timed_units(model, tables, pts, lengths),
        hop / accepted,
        hop_mixed,
        weight,
        mixed.passes * accepted,
    )


def kernel_seconds(model: CostModel, times: CandidateTimes) -> tuple[Array, Array, Array]:
    """Seconds of one layer [C, kernel, option]: of a step without prompts, of a mixed pass, of a
    step with its prompts; inf beyond a decision's options."""
    decided = model.decided
    count = len(times.weight)
    out = tuple(np.full((count, len(decided.kernels), decided.width), np.inf) for _ in range(3))
    known: dict[tuple[object, ...], tuple[Array, Array, Array]] = {}
    for k, kernel in enumerate(decided.kernels):
        picks = decided.picks(kernel)
        key = (*((model.units[i].role, model.units[i].row) for i in kernel.units), picks.tobytes())
        if key not in known:
            step, mixed, at = _rows(model, times, kernel, picks)
            step, mixed = step[at], mixed[at]
            known[key] = step, mixed, with_prompts(step, mixed, times.weight[:, None], times.passes)
        for table, seconds in zip(out, known[key], strict=True):
            table[:, k, : len(picks)] = seconds
    return out[0], out[1], out[2]


def _rows(
    model: CostModel,
    times: CandidateTimes,
    kernel: DecidedKernel,
    picks: Int,
) -> tuple[Array, Array, Int]:
    """(seconds of a step, of a mixed pass [D, options] of the rows, row of each candidate [C])."""
    timed = [times.units[model.units[i].role, model.units[i].row] for i in kernel.units]
    first = len(model.question.schemes) if kernel.role == "cache" else 0
    columns = np.maximum(picks - first, 0)
    if len(timed) == 1:
        step, mixed = (
            seconds[:, np.minimum(columns[:, 0], seconds.shape[1] - 1)]
            for seconds in timed[0].seconds
        )
    else:
        step, mixed = (
            fused_operators(
                [
                    getattr(unit_times, phase).columns(columns[:, m])
                    for m, unit_times in enumerate(timed)
                ]
            ).total()
            for phase in ("decode", "mixed")
        )
    return step, mixed, timed[0].at


def kernel_seconds_of(
    model: CostModel, times: CandidateTimes, kernel: DecidedKernel, choices: Sequence[int]
) -> tuple[Array, Array, Array]:
    """:func:`kernel_seconds` [C] of one kernel whose units take ``choices``, an option or not."""
    step, mixed, at = _rows(model, times, kernel, np.array([choices], dtype=np.int64))
    step, mixed = step[at, 0], mixed[at, 0]
    return step, mixed, with_prompts(step, mixed, times.weight, times.passes)


def hops_of_passes(model: CostModel, pts: Points, step: Phase, mixed: Phase) -> tuple[Array, Array]:
    """Seconds between pipeline stages in a step and in all passes of a prompt beside it [C], with
    what was measured here of whole steps and prompts."""
    of_steps, prompts = (model.question.corrected(name) for name in (STEP, PROMPT))
    hop, both = hops(model, pts, step), hops(model, pts, mixed)
    count = steps_of_prompt(mixed.passes, pts.slot)
    return hop * of_steps, both * prompts + count * hop * (of_steps - prompts)


def hops(model: CostModel, pts: Points, phase: Phase) -> Array:
    """Seconds between pipeline stages in one pass [C]."""
    return pipeline_seconds(model.question.spec, model.machine, pts, phase)


def prompts_read(question: Question, pts: Points, ended: Array) -> tuple[Array, Array]:
    """(prompts that the average step of a micro-batch reads, attention ranks that read in a step
    in which one does) [C].

    ``ended`` answers end a step, batch / osl for each token that a sequence gains in it, and as
    many prompts follow, spread over the dp ranks of each of pp micro-batches. Ranks step together,
    and so do micro-batches: the longest pass of a round sets the time of all
    (:mod:`planner.throughput.pipelining`).
    """
    if question.hold_steps:
        return passes_with_holding(ended / pts.pp, pts.dp, question.hold_steps)
    return prompts_each_step(ended, pts.dp * pts.pp), ranks_reading(ended / pts.pp, pts.dp)


def prompt_passes(
    weight: Array, new: int | Int, chunk: int, accepted: float = 1.0
) -> tuple[Array, Array]:
    """(mixed passes in a step ÷ passes of a prompt, for each of the ``accepted`` tokens that a
    sequence gains in it; prompts that each mixed pass reads) [C].

    ``weight`` prompts of ``new`` tokens to compute arrive a step, in pieces of ``chunk``. Where
    these are more than one a step, every step is a mixed pass and reads that many.
    """
    passes = -(-new // chunk)
    return np.minimum(weight, 1.0 / passes) / accepted, np.maximum(weight * passes, 1.0)


def with_prompts(step: Array, mixed: Array, weight: Array, passes: Number) -> Array:
    """A step's seconds with what prompts add to it: a mixed pass takes the place of each of
    ``passes`` steps, ``weight`` ≤ 1 / passes times a step. Infinite times stay infinite."""
    added = np.maximum(
        np.where(np.isfinite(mixed), mixed, 0.0) - passes * np.where(np.isfinite(step), step, 0.0),
        0.0,
    )
    return np.asarray(step + weight * added)
