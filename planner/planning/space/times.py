"""Times of every unit on many candidates: each operator is asked once, for what differs.

Candidates that an operator cannot tell apart share a row: dense modules and attention see tp and
the sequences of a rank, experts also how ranks share them, none sees the pipeline. The decode step,
the pass of a prompt beside it and the prompt alone are rows of one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.placement.layout import Layout
from planner.placement.modules import DRAFT, EXPERT_KINDS
from planner.planning.engines.prefill_chunks import COMMON
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.model import CostModel
from planner.planning.space.operators import unit_parts
from planner.planning.space.residuals import PROMPT, STEP, factor_of
from planner.planning.space.tables import LayoutTables
from planner.throughput.points import (
    Number,
    Phase,
    Points,
    concatenate,
    decode_phase,
    mixed_phase,
    prefill_phase,
    stack_phases,
)
from planner.throughput.roofline import Parts, from_every

Array = NDArray[np.float64]
Int = NDArray[np.int64]
Key = tuple[str, int]
"""Role and row of a unit: units of one key take the same time."""


@record
class Lengths:
    """Tokens of the candidates, one number for all or one each [C]: cached at a decode step, and of
    a prompt, whose first ``cached`` are not computed. ``prompts`` are those that a mixed pass reads
    a chunk of, at least 1, on each of ``reading`` attention ranks; ``chunk`` tokens of a step. A
    step passes ``verified`` tokens of every sequence, of which ``accepted`` stay on average."""

    decode: Number
    isl: int | Int
    prompts: Number = 1.0
    reading: Number = 1.0
    cached: int | Int = 0
    chunk: int = COMMON
    verified: float = 1.0
    accepted: float = 1.0

    def take(self, where: Int) -> Lengths:
        """The candidates at ``where``."""
        isl, cached = (
            n[where] if isinstance(n, np.ndarray) else n for n in (self.isl, self.cached)
        )
        return Lengths(
            _at(self.decode, where),
            isl,
            _at(self.prompts, where),
            _at(self.reading, where),
            cached,
            self.chunk,
            self.verified,
            self.accepted,
        )


def _at(value: Number, where: Int) -> Number:
    return value[where] if isinstance(value, np.ndarray) else value


@cached_record
class UnitTimes:
    """One layer of a unit: ``decode`` and ``mixed`` Parts [D, S] of D rows, ``prompt`` Parts [L, S]
    of a prompt alone; ``at`` int64 [C] is the row of each candidate, ``prompt_at`` [C] that of its
    prompt."""

    decode: Parts
    mixed: Parts
    prompt: Parts
    at: Int
    prompt_at: Int

    @cached_property
    def seconds(self) -> tuple[Array, Array]:
        """(decode, mixed) seconds of the rows [D, S]."""
        return self.decode.total(), self.mixed.total()

    def mechanisms(self, c: int, choice: int) -> tuple[dict[str, float], ...]:
        """(decode, prompt, mixed) of candidate ``c`` under one choice."""
        row = int(self.at[c])
        return (
            self.decode.at(row, choice),
            self.prompt.at(int(self.prompt_at[c]), choice),
            self.mixed.at(row, choice),
        )


@record
class DistinctRows:
    """D rows that stand for C candidates: points and phases of one call."""

    pts: Points
    phase: Phase
    at: Int
    prompt_at: Int


def rows_of(
    layouts: Sequence[Layout],
    pts: Points,
    lengths: Lengths,
    seen: Callable[[Layout], tuple[int, ...]],
) -> DistinctRows:
    """Candidates whose layout looks the same to ``seen``, with equal sequences, lengths and prompts
    a pass, share a row."""
    numbers: dict[tuple[int, ...], int] = {}
    kinds = np.array(
        [numbers.setdefault(seen(la), len(numbers)) for la in layouts], dtype=np.int64
    )[pts.layout]
    prompts = _codes(kinds, lengths.decode, lengths.isl, lengths.cached)
    first, at = _distinct(_codes(prompts, pts.slot, lengths.prompts, lengths.reading))
    alone, prompt_at = _distinct(prompts)
    steps, prompts_pts = pts.take(first), pts.take(alone)
    mine, theirs = lengths.take(first), lengths.take(alone)
    phase = stack_phases(
        decode_phase(steps, mine.decode, mine.verified),
        mixed_phase(
            steps,
            mine.decode,
            mine.isl,
            mine.chunk,
            mine.prompts,
            mine.reading,
            mine.cached,
            mine.verified,
        ),
        prefill_phase(prompts_pts, theirs.isl, theirs.chunk, theirs.cached),
        prompt_at[first],
    )
    return DistinctRows(concatenate([steps, steps, prompts_pts]), phase, at, prompt_at)


def _distinct(codes: Int) -> tuple[Int, Int]:
    """(places of the first of each code, the code's number at each place)."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first.astype(np.int64), inverse.reshape(-1).astype(np.int64)


def _codes(first: Int, *columns: Number | Int) -> Int:
    """A number for each combination of ``first`` and ``columns`` [C]."""
    code = first
    for values in columns:
        if isinstance(values, np.ndarray):
            distinct, inverse = np.unique(values, return_inverse=True)
            if len(code) and (int(code.max()) + 1) * len(distinct) >= 2**62:
                code = _distinct(code)[1]
            code = code * len(distinct) + inverse.reshape(-1)
    return code


def _spread(layout: Layout) -> tuple[int, ...]:
    return layout.tp, int(layout.dp > 1)


SEEN: dict[str, Callable[[Layout], tuple[int, ...]]] = {
    "": lambda la: (la.tp,),
    "shared-down": _spread,
    **dict.fromkeys((*EXPERT_KINDS, DRAFT), lambda la: (la.tp, la.dp, la.ep)),
}
"""What of a layout the operators of a kind of module see (``""``: of all others)."""


def timed_units(
    model: CostModel, tables: LayoutTables, pts: Points, lengths: Lengths
) -> dict[Key, UnitTimes]:
    """Times of one layer of every unit, by key; those of a step are for each token that a sequence
    gains in it."""
    units: dict[Key, DecisionUnit] = {}
    for unit in model.units:
        units.setdefault((unit.role, unit.row), unit)
    groups: dict[Callable[[Layout], tuple[int, ...]], DistinctRows] = {}
    of_steps, prompt = (factor_of(model.question, name) for name in (STEP, PROMPT))
    step = of_steps / lengths.accepted
    timed = {}
    for key, unit in units.items():
        seen = SEEN.get(unit.kind, SEEN[""])
        if seen not in groups:
            groups[seen] = rows_of(tables.layouts, pts, lengths, seen)
        rows = groups[seen]
        parts = unit_parts(model, tables, rows.pts, rows.phase, unit)
        stacked_phases = rows.phase.stacked
        assert stacked_phases is not None
        timed[key] = UnitTimes(
            parts.rows(stacked_phases.steps).scaled(step),
            _mixed(
                parts.rows(stacked_phases.mixes),
                parts.rows(stacked_phases.steps),
                steps_of_prompt(stacked_phases.mixed.passes, rows.pts.slot[stacked_phases.steps]),
                of_steps,
                prompt,
            ),
            parts.rows(stacked_phases.prompts).scaled(prompt),
            rows.at,
            rows.prompt_at,
        )
    return timed


def steps_of_prompt(passes: Number, slot: Array) -> Array:
    """Steps that ``passes`` of a prompt run beside, with ``slot`` sequences of a rank [C]: none on
    an idle one, where the whole pass is the prompt's."""
    return np.asarray(passes * np.minimum(slot, 1.0))


def _mixed(mixed: Parts, steps: Parts, count: Array, step: float, prompt: float) -> Parts:
    """Passes that read prompts, where ``steps`` take ``step`` times as long and what prompts add to
    ``count`` [D] of them ``prompt`` times:
    T(I, B)·p + count·T(0, B)·(s − p)."""
    if step == prompt:
        return mixed.scaled(prompt)
    more = (step - prompt) * count[:, None]
    pairs = zip(mixed.arrays(), steps.arrays(), strict=True)
    return from_every([*(np.asarray(m * prompt + more * s) for m, s in pairs), mixed.overlap])
