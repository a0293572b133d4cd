"""Candidates with lower bounds that hold for every slot: cut to single slots as far as is asked.

Questions that share limits share the pool: what one of them cut, the next finds cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.planning.search.batch_intervals import (
    Pieces,
    finer_candidates,
    least_of,
    over_intervals,
    split_intervals,
)
from planner.planning.search.formulate import bounds, objective_arrays
from planner.planning.search.mode_search import Pairs, finer_batch_grid
from planner.planning.solver.problem import Array, row_minimum
from planner.planning.space.candidates import Space

AT_ONCE = 512
"""Slots of one space that are looked at one by one rather than in pieces."""
MOST = 20_000
"""Candidates after which none is cut any more: what they leave open is told."""


class SlotPool:
    """Candidates of several spaces under lower bounds of their objective."""

    def __init__(self, spaces: Sequence[Space], most: float) -> None:
        free = bool(spaces) and not spaces[0].model.question.is_batch_given
        self.open: list[tuple[Space, Array]] = []
        self.single: list[tuple[float, Space, int]] = []
        self.candidates = 0
        for space in spaces:
            self._begin(over_intervals(space) if free else space, most)

    def below(self, most: float) -> list[tuple[float, Space, int]]:
        """(bound, space, candidate) of the single slots whose bound is below ``most``, the least
        first. Of equal bounds the first met stands first."""
        while self.candidates < MOST and self._cut(most):
            pass
        self.single.sort(key=lambda slot: float(f"{slot[0]:.9e}"))
        return [slot for slot in self.single if slot[0] < most]

    def least(self) -> float:
        """A lower bound of all slots."""
        return min(self.least_open(), *(bound for bound, _, _ in self.single), np.inf)

    def least_open(self) -> float:
        """A lower bound of all slots that were not looked at one by one."""
        return min(
            (float(least_of(space, lower).min()) for space, lower in self.open), default=np.inf
        )

    def _begin(self, space: Space, most: float) -> None:
        """Bounds without limits for what they say to be no better than ``most``, else with all."""
        objective, constant = objective_arrays(space, bound=True)
        legal = space.model.decided.all_allowed(space.legal)
        lower = row_minimum(np.where(legal, objective, np.inf)).sum(axis=1) + constant
        near = np.flatnonzero(least_of(space, lower) < most)
        lower[near] = bounds(space.take(near))
        self.candidates += len(space)
        self._keep(space, lower)

    def _add(self, space: Space) -> None:
        self.candidates += len(space)
        self._keep(space, bounds(space))

    def _keep(self, space: Space, lower: Array) -> None:
        """Candidates under their bounds ``lower`` [C], single slots apart."""
        alone = space.upper == space.slots
        self.single += [
            (float(lower[c]), space, c) for c in np.flatnonzero(alone & np.isfinite(lower)).tolist()
        ]
        rest = np.where(alone, np.inf, lower)
        if np.isfinite(rest).any():
            self.open.append((space, rest))

    def _cut(self, most: float) -> bool:
        """Cut every interval that may hold something below ``most``; whether there was one."""
        were, self.open = self.open, []
        one_by_one: list[tuple[Space, Pairs]] = []
        cuts = False
        for space, lower in were:
            spans, runs = split_intervals(space, lower, most)
            if not spans and not runs:
                self.open.append((space, lower))
                continue
            cuts = True
            self._put_aside(space, lower, most, [*spans, *runs])
            spans, runs = _few_one_by_one(spans, runs)
            if runs:
                one_by_one.append(
                    (
                        space,
                        [
                            (layout, slot)
                            for (layout, start), last in sorted(runs.items())
                            for slot in range(start, last + 1)
                        ],
                    )
                )
            if spans:
                self._add(finer_candidates(space, spans))
        for run in finer_batch_grid(one_by_one):
            self._add(run)
        return cuts

    def _put_aside(
        self, space: Space, lower: Array, most: float, starts: Sequence[tuple[int, int]]
    ) -> None:
        """Keep what was not cut: intervals that are no better than ``most``, and of the others the
        slots before the first of ``starts`` (layout, slot)."""
        taken = least_of(space, lower) < most
        upper = space.upper.copy()
        for c in np.flatnonzero(taken).tolist():
            low, high = int(space.slots[c]), int(space.upper[c])
            upper[c] = (
                min(
                    start
                    for layout, start in starts
                    if layout == space.pts.layout[c] and low <= start <= high
                )
                - 1
            )
        left = np.flatnonzero((upper >= space.slots) & np.isfinite(lower))
        if len(left):
            rest = space.take(left)
            self._keep(replace(rest, upper=upper[left]), lower[left])


def _few_one_by_one(spans: Pieces, runs: Pieces) -> tuple[Pieces, Pieces]:
    """All slots as runs where they are few."""
    if _count(spans) <= AT_ONCE:
        return {}, {**runs, **spans}
    return spans, runs


def _count(pieces: Pieces) -> int:
    return sum(last - start + 1 for (_, start), last in pieces.items())
