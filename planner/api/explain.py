"""``planner.explain``: why a plan is what it is, or where a module's time goes."""

from __future__ import annotations

from planner.planning.explain.module_input import explain_module, explain_plan
from planner.planning.explain.module_time import ModuleExplanation
from planner.planning.explain.records import ChoiceExplanation, PoolsExplanation
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.question.verbs import (
    ExplainChoiceInput,
    ExplainInput,
    ExplainModuleInput,
    two_signatures,
    verb,
)


@two_signatures(ExplainModuleInput, explain_module, ExplainChoiceInput, explain_plan)
@verb(ExplainInput)
def explain(
    given: ExplainInput,
) -> ModuleExplanation | ChoiceExplanation | PoolsExplanation:
    """Why the plan to serve (``exact``: the optimum; or ``plan``) is what it is: every unit with
    what its next best choice costs, the price of every limit, and what would change the answer, for
    which at most ``solves`` further questions are solved.

    With ``module`` (a kind or a unit): its times under ``schemes`` (all legal ones by default),
    ``scheme`` against bf16. Memory is not checked then: one layer is priced.

    A plan in pools, of a question (``mode`` as :func:`planner.plan` takes it) or ``plan``, is
    explained pool by pool, with other numbers of its workers and what each limit costs; what would
    change it is not looked for.

    ``engine``: whose plan is meant; of a module, whose measured kernels (``auto`` and ``any``: the
    first measured stack).

    Raises:
        UnknownNameError: no such module, scheme, model or device.
        UnsupportedError: the device cannot run a named scheme, or the layout does not divide.
        InfeasibleError: nothing satisfies the limits.
        InputError: arguments that exclude each other.
    """
    inputs = QuestionInput.of_verb(given)
    flags = PoolFlags(given.mode, given.prefill_device, given.transfer_bytes_per_s)
    if given.module is not None:
        return explain_module(inputs, given.module, given.solves, flags)
    return explain_plan(inputs, given.solves, flags)
