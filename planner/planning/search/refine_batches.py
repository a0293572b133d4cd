"""Which batches to try between those of the grid: beside the best of every layout that may win.

Round by round the gaps beside a layout's best slot are divided, down to single sequences. Layouts
whose best bound is far from the best plan are left out: FAR in the first round, whose gaps are up
to half of a batch, NEAR in the others. The slots that the best uniform plans take are tried too, so
that no plan is worse than a uniform one of the same choices. Where layers are counted one by one, a
candidate takes long to solve, and the gaps of the best layout alone are divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.planning.search.formulate import loss_limit
from planner.planning.search.uniform import uniform_slots
from planner.planning.space.candidates import SLOTS, Space, build_space
from planner.planning.space.memory import budget, least, overheads

Array = NDArray[np.float64]
FAR, NEAR = 0.35, 0.03
PIECES = 16
Pair = tuple[int, int]


class Tried:
    """Slots tried so far, with their bounds (inf: they do not fit), by space and layout."""

    def __init__(self, spaces: Sequence[Space], lower: Sequence[Array]) -> None:
        self.spaces = spaces
        self.known: dict[Pair, dict[int, float]] = {}
        for i, (space, low) in enumerate(zip(spaces, lower, strict=True)):
            self.add(i, space, low)
        for slots in self.known.values():
            beyond = [s for s in SLOTS if s > max(slots)]
            slots |= dict.fromkeys(beyond[:1], np.inf)
        self.rounds = 0

    def add(self, i: int, space: Space, lower: Array) -> None:
        """The bounds ``lower`` [C] of candidates of the ``i``-th space, to six digits: further ones
        depend on the path that the solver took."""
        for layout, slot, bound in zip(space.pts.layout.tolist(), space.pts.slot.tolist(),
                                       lower.tolist(), strict=True):
            self.known.setdefault((i, layout), {})[int(slot)] = float(f"{bound:.5e}")

    def finer(self, value: float, winner: tuple[int, int, int]) -> Iterator[tuple[int, Space]]:
        """(number of the space, new candidates of it) that may be better than ``value``, the
        objective of the best so far; ``winner`` is its space, layout and slot."""
        most = value * (1 + (NEAR if self.rounds else FAR))
        near = [key for key, slots in self.known.items() if min(slots.values()) <= most]
        if self.spaces[winner[0]].model.question.untie:
            near = [winner[:2]]
        for i, space in enumerate(self.spaces):
            layouts = [layout for at, layout in near if at == i]
            wanted = {(layout, slot) for layout in layouts
                      for slot in self._between(i, layout, winner)}
            if not self.rounds and layouts:
                limit = loss_limit(space.model)
                wanted |= {pair for pair in uniform_slots(space, np.inf if limit is None else limit)
                           if pair[0] in layouts}
            fitting = [pair for layout in sorted({pair[0] for pair in wanted})
                       for pair in self._fitting(i, layout, wanted)]
            if fitting:
                yield i, build_space(space.model, space.tables, space.stages, fitting)
        self.rounds += 1

    def _between(self, i: int, layout: int, winner: tuple[int, int, int]) -> set[int]:
        """Slots in the gaps beside the one of the least bound, and beside the winner."""
        known = self.known[i, layout]
        order = sorted(known)
        centres = {min(order, key=lambda s: (known[s], s))}
        if winner[:2] == (i, layout):
            centres.add(winner[2])
        found: set[int] = set()
        for centre in centres:
            at = order.index(centre)
            low, high = order[max(at - 1, 0)], order[min(at + 1, len(order) - 1)]
            found |= set(range(low + 1, high, max(1, (high - low) // PIECES)))
        return found - known.keys()

    def _fitting(self, i: int, layout: int, wanted: set[Pair]) -> list[Pair]:
        """Those of ``wanted`` whose smallest assignment fits; the others are known not to."""
        space, known = self.spaces[i], self.known[i, layout]
        slots = np.array(sorted({s for la, s in wanted if la == layout} - known.keys()),
                         dtype=np.int64)
        rank = least(space.model, space.tables, space.stages[layout], layout)
        used = rank.at_slots(space.tables.layouts[layout].pp, slots, overheads(
            space.model, space.tables, np.full(len(slots), layout), slots))
        over = used > budget(space.model.question)
        known |= dict.fromkeys(slots[over].tolist(), np.inf)
        return [(layout, slot) for slot in slots[~over].tolist()]
