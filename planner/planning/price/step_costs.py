"""The law of a served step on grids, for a scheduler that goes pass by pass.

What one pass takes depends on its sequences, their lengths, and each chunk of a prompt and what
was computed before it. All but attention sees the rows of a pass alone, and attention of chunks
adds up, so that tables of two coordinates give any pass: of prompts, what short ones of as many
tokens take (:attr:`~planner.scheduler.costs.StepCosts.mixed`), and of each what its attention takes
over that (``behind``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.price.step import IDLE, Assignment, batch_ladder, pass_table
from planner.planning.space.times import Lengths
from planner.scheduler.costs import StepCosts
from planner.throughput.points import points

Array = NDArray[np.float64]
SHORT = 64
"""Tokens of the prompts that a pass is taken to read where attention is left out."""
TILE, FINE = 128.0, 4096.0
"""Rows of a tile of matrix kernels; prompt tokens of a pass up to which each is cut in four."""
BELOW = 1.0 - 1e-9
"""What is read of a prompt, so that the rows of an idle rank (:data:`IDLE`) begin no new tile."""


@record
class LargestPass:
    """What a pass of one attention rank may hold: ``sequences`` that decode, prompt ``tokens``, and
    ``context`` tokens of a request; ``length``: cached tokens of a sequence beside which prompts
    are timed. ``draft`` tokens are proposed a step and sequence by ``draft_layers`` layers."""

    sequences: int
    tokens: int
    context: int
    length: float
    draft: int = 0
    draft_layers: int = 1


def step_costs(plan: Assignment, limits: LargestPass) -> StepCosts:
    """What passes of ``plan`` take, all grid points timed in one call.

    Bounds: some 25 batches, 15 lengths and 40 numbers of tokens at the most that can be asked for,
    3,000 points or 3 MB while they are timed.
    """
    batch, length = batch_ladder(limits.sequences), _lengths(limits.context)
    tokens, computed = _tokens(limits.tokens), np.concatenate([[0.0], _lengths(limits.context)])
    layout, question = plan.tables.layouts[plan.layout], plan.model.question
    reading = (1.0, float(layout.dp)) if layout.dp > 1 else (1.0,)
    steps = _Rows.of(batch[1:, None], length, 1.0, 0.0)
    beside = [_Rows.of(batch, limits.length, tokens[1:, None], 0.0, r) for r in reading]
    chunks = _Rows.of(0.0, limits.length, tokens[1:, None], computed, short=False)
    rows = [steps, *beside, chunks]
    slot, decode, isl, cached, prompts, ranks = (
        np.concatenate([getattr(r, name).ravel() for r in rows])
        for name in ("slot", "decode", "isl", "cached", "prompts", "reading")
    )
    at = replace(points(plan.tables.layouts, [(plan.layout, 1)] * len(slot)), slot=slot)
    lengths = Lengths(
        decode,
        isl.astype(np.int64),
        prompts,
        ranks,
        cached.astype(np.int64),
        max(limits.tokens, limits.context),
        limits.draft + 1.0 if limits.draft else question.verified,
    )
    longer = 1.0 + limits.draft * limits.draft_layers / question.spec.layers
    seconds = pass_table(plan, at, lengths) * longer
    ends = np.cumsum([r.slot.size for r in rows])[:-1]
    parts = np.split(seconds, ends, axis=1)
    step = parts[0][0].reshape(steps.slot.shape)
    added = [_added(part, r) for part, r in zip(parts[1:-1], beside, strict=True)]
    behind = parts[-1][1].reshape(chunks.slot.shape) - added[0][:, :1]
    return StepCosts(
        batch,
        length,
        _from_zero(step),
        tokens,
        _from_zero(added[0]),
        _from_zero(added[-1]),
        computed,
        _from_zero(behind),
        layout.pp,
        _slowest_share(parts[0], layout.pp),
    )


@record
class _Rows:
    """Passes: ``slot`` sequences of ``decode`` cached tokens, beside ``prompts`` prompts of ``isl``
    tokens, of which ``cached`` are computed, on ``reading`` ranks; arrays of one shape."""

    slot: Array
    decode: Array
    isl: Array
    cached: Array
    prompts: Array
    reading: Array

    @classmethod
    def of(
        cls,
        batch: Array | float,
        length: Array | float,
        tokens: Array | float,
        computed: Array | float,
        reading: float = 1.0,
        *,
        short: bool = True,
    ) -> _Rows:
        """Passes that read ``tokens`` behind ``computed``, of one prompt or of ``short`` ones."""
        each = np.minimum(tokens, SHORT) if short else np.asarray(tokens)
        return cls(
            *np.broadcast_arrays(
                np.maximum(batch, IDLE),
                np.asarray(length, dtype=np.float64),
                each + computed,
                np.asarray(computed),
                tokens / each * BELOW,
                np.asarray(reading),
            )
        )


def _added(seconds: Array, rows: _Rows) -> Array:
    """Seconds that prompts add to the steps beside them [T, G]; on an idle rank (the first) all."""
    step, mixed = (seconds[i].reshape(rows.slot.shape) for i in (0, 1))
    alone = mixed[:, :1]
    return np.concatenate([alone, mixed[:, 1:] - step[:, 1:]], axis=1)


def _from_zero(table: Array) -> Array:
    """``table`` with a first row of 0: nothing takes no time."""
    return np.concatenate([np.zeros((1, table.shape[1])), table])


def _slowest_share(steps: Array, stages: int) -> float:
    """Of a pass through all ``stages`` the part in which the slowest is busy, of most steps."""
    return 1.0 if stages == 1 else float(np.median(steps[2] / steps[0]))


def _lengths(most: float) -> Array:
    """128, 256, 512 … up to the first that is ``most`` or more, at least two."""
    out = [128.0, 256.0]
    while out[-1] < most:
        out.append(2 * out[-1])
    return np.array(out)


def _tokens(most: float) -> Array:
    """0, 1, 8, 16, 24, then every TILE / 4 up to FINE and every TILE up to ``most``: kernels round
    rows up to whole tiles."""
    fine = np.arange(TILE / 4, min(most, FINE), TILE / 4)
    coarse = np.arange(FINE, most, TILE)
    few = np.array([n for n in (0.0, 1.0, 8.0, 16.0, 24.0) if n < most])
    return np.concatenate([few, fine, coarse, [float(most)]])
