"""How sure the times of many candidates are: ``certainty.spread`` on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.planning.price.intervals import BASES, COMMON_SIGMA, Z80, certainty
from planner.planning.space.model import CostModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spreads:
    """``factor`` of the 80 % interval (×/÷) and ``basis``, an index into BASES, of a sum [C]."""

    factor: Array
    basis: NDArray[np.int8]


def spreads(model: CostModel, choice: Sequence[int], seconds: Sequence[tuple[Array, Array]], *,
            decode: bool) -> Spreads:
    """Of Σ t over the units of the assignment ``choice``: ``seconds`` [C] of one layer of each, and
    those of its communication."""
    by_class: dict[str, Array] = {}
    by_basis = {basis: np.zeros(len(seconds[0][0])) for basis in BASES}
    shared = model.machine.net.certainty
    for unit, c, (total, talk) in zip(model.units, choice, seconds, strict=True):
        name, how = certainty(model, unit, c, decode=decode)
        shares = (name, how, (total - talk) * unit.count), ("collective", shared, talk * unit.count)
        for label, sure, part in shares:
            by_class[label] = by_class.get(label, 0.0) + part * sure.sigma
            by_basis[sure.basis] = by_basis[sure.basis] + part
    whole = np.sum(np.stack(list(by_basis.values())), axis=0)
    variance = np.sum([(s / whole) ** 2 for s in by_class.values()], axis=0) + COMMON_SIGMA ** 2
    most = np.argmax(np.stack([by_basis[b] for b in BASES]), axis=0)
    return Spreads(np.exp(Z80 * np.sqrt(variance)), most.astype(np.int8))
