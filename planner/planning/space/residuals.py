"""What measured steps of this very model were off by, on this very device with this engine.

Operators are fitted apart; what is left of whole steps and prompts after that is one factor each.
There are two: of `plan verify`, by way of `plan calibrate`, in the device's profile, and of served
runs that `plan learn` kept (:mod:`planner.planning.question.corrections`), which were compared with
predictions that had the first. They are on the seconds of every operator; those of `plan learn` on
the host's work as well.
"""

from __future__ import annotations

from planner.base.records import record
from planner.hardware.profile import FittedSet
from planner.planning.question.corrections import PROMPT as PROMPT
from planner.planning.question.corrections import STEP as STEP
from planner.planning.question.corrections import KindHere
from planner.planning.question.learned import model_key as model_key
from planner.planning.question.question import Question

MEASURED_HERE = "measured here"


@record
class Residual:
    """``factor`` on the seconds of every operator, the log-space ``sigma`` of what is left, and
    words on where that of the profile is from. ``kinds``: deployments of which ``sigma`` holds;
    None: all."""

    factor: float
    sigma: float
    text: str
    kinds: tuple[KindHere, ...] | None = None

    def holds_of(self, kind: KindHere) -> bool:
        """Whether a deployment of ``kind`` was measured here."""
        return self.kinds is None or any(one.stands_for(kind) for one in self.kinds)


def residual(question: Question, operator: str) -> Residual | None:
    """The residual of ``question``'s model, engine and device; None where none was measured."""
    fitted, served = _of_profile(question, operator), question.correction(operator)
    if served is None:
        return fitted
    factor = served.factor * (1.0 if fitted is None else fitted.factor)
    return Residual(factor, served.sigma, "" if fitted is None else fitted.text, served.kinds)


def _of_profile(question: Question, operator: str) -> Residual | None:
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
