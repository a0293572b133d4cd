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

from planner.planning.search.first_token import keeps
from planner.planning.search.posed import Posed
from planner.planning.solver.format_sets import FormatTable
from planner.planning.solver.problem import objective_of, violation

Int = NDArray[np.int64]


def simpler(one: Posed, formats: FormatTable, counts: Int, most: float) -> Int:
    """``counts`` [D, O] of a tied assignment, or fewer pieces with an objective of at most
    ``most``."""
    kinds = _kinds(one)
    main = _main(one, formats, counts)
    best, pieces = counts, _pieces(formats, kinds, counts, main)
    improved = True
    while improved:
        improved = False
        for moved in _moves(one, formats, kinds, best):
            fewer = _pieces(formats, kinds, moved, main)
            if fewer < pieces and objective_of(one.problem, moved) <= most \
                    and violation(one.problem, moved) is None and keeps(one, moved):
                best, pieces, improved = moved, fewer, True
                break
    return best


def _kinds(one: Posed) -> list[list[int]]:
    """The decisions of modules by kind."""
    model = one.space.model
    found: dict[tuple[str, ...], list[int]] = {}
    for d, decision in enumerate(model.decided.decisions):
        if model.units[decision.units[0]].role == "module":
            found.setdefault(tuple(model.units[u].kind for u in decision.units), []).append(d)
    return list(found.values())


def _main(one: Posed, formats: FormatTable, counts: Int) -> int:
    """The scheme of most bytes, the first of equals."""
    used = sum((row.coefficients for row in one.problem.rows if row.name == "memory"),
               np.zeros(counts.shape))
    names: list[int] = sorted(set(formats.scheme[counts > 0].tolist()) - {-1})
    return max(names, key=lambda s: (float((used * counts)[formats.scheme == s].sum()), -s))


def _pieces(formats: FormatTable, kinds: list[list[int]], counts: Int, main: int) -> int:
    schemes = [{int(formats.scheme[d, counts[d].argmax()]) for d in kind} for kind in kinds]
    return sum(len(own) for own in schemes) + sum(own != {main} for own in schemes)


def _moves(one: Posed, formats: FormatTable, kinds: list[list[int]], counts: Int) -> Iterator[Int]:
    """Whole kinds, then single decisions, in each of the schemes that the assignment may have."""
    legal, taken = one.problem.legal, (counts > 0) & (formats.scheme >= 0)
    schemes = sorted(set(formats.scheme[taken | ((formats.changed < 0) & legal)].tolist()) - {-1})
    used = set(formats.used(counts))
    for some in (*kinds, *([d] for kind in kinds for d in kind)):
        for scheme in schemes:
            moved = counts.copy()
            for d in some:
                able = legal[d] & (formats.scheme[d] == scheme) & (
                    (formats.changed[d] < 0) | np.isin(formats.changed[d], list(used)))
                if able.any():
                    moved[d] = 0
                    moved[d, int(able.argmax())] = 1
            if (moved != counts).any():
                yield moved
