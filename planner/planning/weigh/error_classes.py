"""Which operators err together, and by how much.

Kernels whose parameters come from one measurement err together, in every plan that runs them. One
without a measurement of its own on this engine (a prior, a loan, another device's set) errs by
itself, with its wider error: two such formats do not cancel.
"""

from __future__ import annotations

from planner.planning.price.intervals import certainty
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.model import CostModel
from planner.records import record

COLLECTIVE = "collective"
FITTED = "fitted"
PLAIN = "bf16"
"""The scheme of units that no plan changes."""


@record
class ErrorClass:
    """What errs together: ``operator`` (gemm, moe, attention decode, …), the ``origin`` of its
    parameters, and the ``scheme`` where other schemes of that origin err apart (else empty)."""

    operator: str
    origin: str
    scheme: str = ""

    @property
    def key(self) -> str:
        """Its name among the draws."""
        return f"{self.operator}\n{self.origin}\n{self.scheme}"


def unit_error(model: CostModel, unit: DecisionUnit, choice: int, *, decode: bool, code: int,
               ) -> tuple[ErrorClass, float]:
    """(class, log-space σ) of a unit under a choice, in a decode step or a prompt; ``code`` is that
    of the layout (:func:`planner.planning.price.intervals.layout_code`)."""
    name, how = certainty(model, unit, choice, decode=decode, code=code)
    operator, _, _ = name.partition(" ")
    if operator == "attention":
        operator += " decode" if decode else " prefill"
    own = model.choices[choice] if unit.role != "released" else PLAIN
    scheme = "" if how.basis == FITTED or operator == "elementwise" else own
    return ErrorClass(operator, how.origin, scheme), how.sigma


def collective_error(model: CostModel) -> tuple[ErrorClass, float]:
    """(class, log-space σ) of what ranks send each other."""
    how = model.machine.net.certainty
    return ErrorClass(COLLECTIVE, how.origin), how.sigma
