"""What was measured here says of a kind of deployment: what is left of its times, or that a
correction is carried to it from others."""

from __future__ import annotations

import math

from planner.planning.price.kinds import ServedKind
from planner.planning.price.served_sigmas import Sigmas
from planner.planning.question.corrections import KindHere, tokens_of
from planner.planning.question.question import Question
from planner.planning.space.residuals import MEASURED_HERE, PROMPT, STEP, Residual, residual


def carried(question: Question, kind: ServedKind) -> Sigmas:
    """What corrections add that were measured on other kinds of deployments here: their own
    deviation, and that none of them or all of it may hold of this kind."""

    def added(operator: str) -> float:
        known = question.correction(operator)
        if known is None or left_here(question, kind, operator) is not None:
            return 0.0
        return math.hypot(known.sigma, abs(math.log(known.factor)) / math.sqrt(12.0))

    step, prompt = added(STEP), added(PROMPT)
    return Sigmas(step, prompt, step)


def left_here(question: Question, kind: ServedKind, operator: str) -> Residual | None:
    """What is left of steps or prompts where deployments of ``kind`` were measured here."""
    known = residual(question, operator)
    if known is None:
        return None
    tokens = tokens_of(operator, question.workload.isl, question.workload.osl)
    here = KindHere(kind.layout, kind.precision, kind.cache, kind.requests, tokens)
    if not known.holds_of(here):
        return None
    return known


def basis_here(question: Question, kind: ServedKind, operator: str, basis: str) -> str:
    """``basis`` of steps or prompts, or that deployments of ``kind`` were measured here."""
    return basis if left_here(question, kind, operator) is None else MEASURED_HERE
