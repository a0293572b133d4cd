"""``planner.estimate``: the price of a scheme, or of a plan."""

from __future__ import annotations

from planner.planning.modes.plan import answer_estimate
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput
from planner.planning.question.verbs import EstimateInput, verb


@verb(EstimateInput)
def estimate(given: EstimateInput) -> Plan:
    """Memory, speed and loss of one scheme (default: the published checkpoint), or of ``plan``.

    Layout and batch are searched where they are not given (``plan`` brings its own, and its
    workload, engine and speculation). ``anchor``, ``imatrix``, ``host``, ``reuse``, ``kv_offload``
    and ``speculation`` as in :func:`plan`.

    Raises:
        UnsupportedError: the device cannot execute the scheme; the message gives the reason.
        InfeasibleError: it does not fit.
    """
    return answer_estimate(QuestionInput.of_verb(given))
