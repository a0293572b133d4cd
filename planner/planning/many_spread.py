"""How sure the times of many candidates are: ``certainty.spread`` on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.planning.certainty import BASES, COMMON_SIGMA, Z80, certainty
from planner.planning.costs import Model
from planner.throughput.roofline import Parts

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spreads:
    """``factor`` of the 80 % interval (×/÷) and ``basis``, an index into BASES, of a sum [C]."""

    factor: Array
    basis: NDArray[np.int8]


def spreads(model: Model, choice: Sequence[int], parts: Sequence[Parts], *,
            decode: bool) -> Spreads:
    """Of Σ t over the units of the assignment ``choice``, ``parts`` [C, 1] of one layer of each."""
    by_class: dict[str, Array] = {}
    by_basis = {basis: np.zeros(len(parts[0].busy)) for basis in BASES}
    shared = model.machine.net.certainty
    for unit, c, part in zip(model.units, choice, parts, strict=True):
        name, how = certainty(model, unit, c, decode=decode)
        talk = part.communication[:, 0] * unit.count
        work = part.total()[:, 0] * unit.count - talk
        for label, basis, sigma, seconds in ((name, how.basis, how.sigma, work),
                                             ("collective", shared.basis, shared.sigma, talk)):
            by_class[label] = by_class.get(label, 0.0) + seconds * sigma
            by_basis[basis] = by_basis[basis] + seconds
    total = np.sum(np.stack(list(by_basis.values())), axis=0)
    variance = np.sum([(s / total) ** 2 for s in by_class.values()], axis=0) + COMMON_SIGMA ** 2
    most = np.argmax(np.stack([by_basis[b] for b in BASES]), axis=0)
    return Spreads(np.exp(Z80 * np.sqrt(variance)), most.astype(np.int8))
