"""How ``planner.plan`` serves: by workers that do both, or in pools of prefill and decode.

What searches pools is loaded where a question may have any.
"""

from __future__ import annotations

from planner.api.ask import Ask
from planner.api.pool_flags import FLAG, PoolFlags
from planner.errors import InputError
from planner.hardware.catalog import list_devices
from planner.planning.answer.assemble import recommended
from planner.planning.answer.modes import WITH_A_BATCH, no_pools, refused, seldom, with_mode
from planner.planning.plan.deployment import AUTO
from planner.planning.plan.record import Plan
from planner.planning.question.question import Question
from planner.planning.search.default_limit import solve_with_relaxations
from planner.planning.weigh.choose import choose
from planner.throughput.calibration import ANY_ENGINE

IN_THEORY = "in theory"


def planned(ask: Ask, flags: PoolFlags) -> Plan:
    """The best plan of a question in the mode that is asked for.

    Raises:
        InfeasibleError: nothing satisfies the limits.
    """
    flags.check()
    questions = ask.questions()
    if flags.demanded:
        from planner.api.pooled import in_pools

        return in_pools(ask, flags, questions)
    _check_link(flags, questions[0])
    found, others, answered = solve_with_relaxations(questions, exact=ask.exact)
    if found is None:
        plan = None
        if flags.mode == AUTO and not seldom(questions[0]) and questions[0].engine != ANY_ENGINE:
            from planner.api.pooled import only_in_pools

            plan = only_in_pools(ask, flags, questions)
        if plan is None:
            from planner.planning.infeasible.diagnose import refuse
            from planner.planning.infeasible.host_memory import host_short

            case = ask.case()
            raise host_short(case) or refuse(case, list_devices)
        return plan
    choice = choose((found.grid, *others), found, exact=ask.exact)
    plan = recommended(choice, others=others)
    if flags.mode != AUTO or seldom(answered[0]) or answered[0].engine == ANY_ENGINE:
        return plan
    mine = [q for q in answered if q.engine == found.space.model.question.engine]
    why = refused(mine, mine)
    if why:
        error = no_pools((why,))
        return with_mode(plan, f"{error.message}; {error.hint}")
    from planner.api.pooled import either

    return either(ask, flags, mine, plan, choice)


def _check_link(flags: PoolFlags, question: Question) -> None:
    """Refuse a link between pools where none are tried.

    Raises:
        InputError: there is one.
    """
    untried = seldom(question) or (IN_THEORY if question.engine == ANY_ENGINE else "")
    if flags.transfer_bytes_per_s is None or flags.mode != AUTO or not untried:
        return
    if untried in (WITH_A_BATCH, IN_THEORY):
        raise InputError(
            f"{FLAG}: no pools are tried {untried} unless they are asked for",
            hint=f"--mode disaggregated asks for them; or leave {FLAG} out",
        )
    raise InputError(f"{FLAG}: no pools are tried {untried}", hint=f"leave {FLAG} out")
