"""Which operators err together, and by how much.

Kernels whose parameters come from one measurement err together, in every plan that runs them. Where
a set stands for another format, kernel or device than its own, what that adds to its error is the
format's own. A kernel without a measurement (a prior) errs by itself, with its wider error: two
such formats do not cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

from planner.base.records import record
from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.intervals import certainty
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.model import CostModel

COLLECTIVE = "collective"
TRANSFERRED, PRIOR_BASIS = "transferred", "prior"
PLAIN = "bf16"
"""The scheme of units that no plan changes."""


@record
class ErrorClass:
    """What errs together: ``operator`` (gemm, moe, attention decode, …), the ``origin`` of its
    parameters, and the ``scheme`` whose own error it is (empty: of all that have the origin)."""

    operator: str
    origin: str
    scheme: str = ""

    @property
    def key(self) -> str:
        """Its name among the draws."""
        return f"{self.operator}\n{self.origin}\n{self.scheme}"


Errors = tuple[tuple[ErrorClass, float], ...]
"""Independent errors of one time: (class, log-space σ)."""


def unit_errors(
    model: CostModel,
    unit: DecisionUnit,
    choice: int,
    *,
    decode: bool,
    code: int,
) -> Errors:
    """The errors of a unit under a choice, in a decode step or a prompt; ``code`` is that of the
    layout (:func:`planner.planning.price.intervals.layout_code`)."""
    name, how = certainty(model, unit, choice, decode=decode, code=code)
    operator, _, _ = name.partition(" ")
    if operator == "attention":
        operator += " decode" if decode else " prefill"
    shared = ErrorClass(operator, how.origin)
    if operator == "elementwise":
        return ((shared, how.sigma),)
    own = ErrorClass(
        operator, how.origin, model.choices[choice] if unit.role != "released" else PLAIN
    )
    if how.basis == PRIOR_BASIS:
        return ((own, how.sigma),)
    if how.basis != TRANSFERRED:
        return ((shared, how.sigma),)
    least = min(
        (
            sigma
            for origin, sigma in _sets(model, unit, decode=decode, code=code)
            if origin == how.origin
        ),
        default=how.sigma,
    )
    added = sqrt(max(how.sigma**2 - least**2, 0.0))
    return ((shared, min(least, how.sigma)), *(((own, added),) if added > 0 else ()))


def _sets(
    model: CostModel,
    unit: DecisionUnit,
    *,
    decode: bool,
    code: int,
) -> Iterator[tuple[str, float]]:
    """(origin, σ) of every measured set that stands for a choice of a unit's operator: the least σ
    of an origin is that of the set itself."""
    schemes = len(model.question.schemes)
    if unit.role == "cache":
        for choice in range(schemes, len(model.choices)):
            if model.possible[model.units.index(unit), choice]:
                _, how = certainty(model, unit, choice, decode=decode, code=code)
                if how.basis != PRIOR_BASIS:
                    yield how.origin, how.sigma
    elif unit.role == "module":
        kernels = model.machine.grouped if unit.kind in EXPERT_KINDS else model.machine.dense
        assert kernels is not None
        for choice in range(schemes):
            how = kernels.sure(choice, code)
            if how.basis != PRIOR_BASIS:
                yield how.origin, how.sigma


def collective_errors(model: CostModel) -> Errors:
    """The errors of what ranks send each other."""
    how = model.machine.net.certainty
    return ((ErrorClass(COLLECTIVE, how.origin), how.sigma),)
