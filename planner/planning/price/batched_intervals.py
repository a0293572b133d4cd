"""How sure the times of many candidates are: ``certainty.spread`` on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.intervals import BASES, Z80, certainty, common_of
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.model import CostModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spreads:
    """``factor`` of the 80 % interval (×/÷) and ``basis``, an index into BASES, of a sum [C]."""

    factor: Array
    basis: NDArray[np.int8]


def spreads(
    model: CostModel,
    choice: Sequence[int],
    seconds: Sequence[tuple[Array, Array]],
    *,
    decode: bool,
    codes: NDArray[np.int64] | None = None,
) -> Spreads:
    """Of Σ t over the units of the assignment ``choice``: ``seconds`` [C] of one layer of each, and
    those of its communication; ``codes`` [C] of the layouts (all alike where absent)."""
    by_class: dict[str, Array] = {}
    by_basis = {basis: np.zeros(len(seconds[0][0])) for basis in BASES}
    shared = model.machine.net.certainty
    for unit, c, (total, talk) in zip(model.units, choice, seconds, strict=True):
        own = (total - talk) * unit.count
        shares = [("collective", shared, talk * unit.count)]
        for code in _codes(unit, codes):
            name, how = certainty(model, unit, c, decode=decode, code=code)
            shares.append(
                (
                    name,
                    how,
                    own
                    if codes is None or unit.kind not in EXPERT_KINDS
                    else np.where(codes == code, own, 0.0),
                )
            )
        for label, sure, part in shares:
            by_class[label] = by_class.get(label, 0.0) + part * sure.sigma
            by_basis[sure.basis] = by_basis[sure.basis] + part
    whole = np.sum(np.stack(list(by_basis.values())), axis=0)
    variance = (
        np.sum([(s / whole) ** 2 for s in by_class.values()], axis=0)
        + common_of(model, "tpot" if decode else "ttft") ** 2
    )
    most = np.argmax(np.stack([by_basis[b] for b in BASES]), axis=0)
    return Spreads(np.exp(Z80 * np.sqrt(variance)), most.astype(np.int8))


def _codes(unit: DecisionUnit, codes: NDArray[np.int64] | None) -> list[int]:
    """The layouts that tell kernels of ``unit`` apart."""
    if codes is None or unit.kind not in EXPERT_KINDS:
        return [0]
    return [int(code) for code in np.unique(codes)]
