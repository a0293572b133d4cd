"""An assignment with fewer pieces that is as good: kinds in one scheme, and in the most common one.

What a solver finds differs from layer range to layer range by what no measurement tells apart.
Whole kinds, and single ranges of layers, move to a scheme that the assignment has, or to what they
are released in, as long as that leaves fewer pieces, keeps every limit and costs no more than is
allowed. A piece is a scheme of a kind, and a kind that is not in the scheme of most bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from planner.planning.search.first_token import keeps_ttft
from planner.planning.search.posed import CandidateProblem
from planner.planning.solver.format_sets import FormatTable
from planner.planning.solver.problem import objective_of, violation

Int = NDArray[np.int64]


def fewest_pieces(one: CandidateProblem, formats: FormatTable, counts: Int, most: float) -> Int:
    """``counts`` [D, O] of a tied assignment, or fewer pieces with an objective of at most
    ``most``."""
    pieces = _Pieces(one, formats, counts)
    best, least = counts, pieces.count(counts)
    improved = True
    while improved:
        improved = False
        for moved in pieces.moves(best):
            fewer = pieces.count(moved)
            if (
                fewer < least
                and objective_of(one.problem, moved) <= most
                and violation(one.problem, moved) is None
                and keeps_ttft(one, moved)
            ):
                best, least, improved = moved, fewer, True
                break
    return best


class _Pieces:
    """What there is to count and to move: decisions by kind, what each option is in, the scheme of
    most bytes. A cache's options have names of their own."""

    def __init__(self, one: CandidateProblem, formats: FormatTable, counts: Int) -> None:
        model = one.space.model
        self.legal, self.changed = one.problem.legal, formats.changed
        self.used = [-1, *formats.used(counts)]
        self.schemes = len(model.choices)
        self.name = np.where(
            formats.scheme >= 0, formats.scheme, self.schemes + np.arange(counts.shape[1])
        )
        self.kinds: dict[tuple[str, ...], list[int]] = {}
        for d, decision in enumerate(model.decided.decisions):
            self.kinds.setdefault(tuple(model.units[u].kind for u in decision.units), []).append(d)
        self.main = self._main(one, formats, counts)

    def _main(self, one: CandidateProblem, formats: FormatTable, counts: Int) -> int:
        """The scheme of most bytes of weights, the first of equals; -1 where there is none."""
        used = sum(
            (row.coefficients for row in one.problem.rows if row.name == "memory"),
            np.zeros(counts.shape),
        )
        names: list[int] = sorted(set(formats.scheme[counts > 0].tolist()) - {-1})
        return max(
            names, default=-1, key=lambda s: (float((used * counts)[formats.scheme == s].sum()), -s)
        )

    def count(self, counts: Int) -> int:
        """Schemes of kinds, and kinds of modules that are not in the main one."""
        picks = counts.argmax(axis=1)
        own = [{int(self.name[d, picks[d]]) for d in kind} for kind in self.kinds.values()]
        return sum(map(len, own)) + sum(
            some != {self.main} for some in own if max(some) < self.schemes
        )

    def moves(self, counts: Int) -> Iterator[Int]:
        """Whole kinds, then single decisions, in each of what any of the kind is in or released
        in, and modules in what others are in."""
        taken = counts > 0
        weights = self.name[(taken | (self.changed < 0)) & self.legal]
        for some in (*self.kinds.values(), *([d] for kind in self.kinds.values() for d in kind)):
            for name in sorted(set(weights.tolist())):
                moved = counts.copy()
                for d in some:
                    able = (
                        self.legal[d] & (self.name[d] == name) & np.isin(self.changed[d], self.used)
                    )
                    if able.any():
                        moved[d] = 0
                        moved[d, int(able.argmax())] = 1
                if (moved != counts).any():
                    yield moved
