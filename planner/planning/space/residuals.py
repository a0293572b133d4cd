"""What measured steps of this very model were off by, on this very device with this engine.

Operators are fitted apart; what is left of whole steps and prompts after that is one factor each,
from `plan verify` by way of `plan calibrate`. It corrects the model that it was measured on and no
other.
"""

from __future__ import annotations

from planner.base.records import record
from planner.hardware.profile import FittedSet
from planner.models.spec import ModelSpec
from planner.planning.question.question import Question

STEP, PROMPT = "step-residual", "prompt-residual"
"""Operators of the fitted sets, one parameter ``factor``; the stack is an engine, the variant
:func:`model_key`."""
MEASURED_HERE = "measured here"


@record
class Residual:
    """``factor`` on the seconds of every operator, the log-space ``sigma`` of what is left, and
    words on where it is from."""

    factor: float
    sigma: float
    text: str


def model_key(spec: ModelSpec) -> str:
    """What a residual belongs to: kinds, layers and shapes of the model, whatever it is stored
    in."""
    from planner.quality.profile import structure_sha256

    return structure_sha256(spec)[:16]


def residual(question: Question, operator: str) -> Residual | None:
    """The residual of ``question``'s model, engine and device; None where none was measured."""
    fitted = question.device.fitted
    if not any(key[:2] == (operator, question.engine) for key in fitted):
        return None
    fit: FittedSet | None = fitted.get((operator, question.engine, model_key(question.spec)))
    if fit is None:
        return None
    factor = fit.parameters["factor"]
    return Residual(
        factor,
        fit.error.sigma,
        f"×{factor:.3g} {MEASURED_HERE} on {fit.error.rows} files with {fit.software}, {fit.date}",
    )


def factor_of(question: Question, operator: str) -> float:
    """The factor, 1 where none was measured."""
    known = residual(question, operator)
    return 1.0 if known is None else known.factor
