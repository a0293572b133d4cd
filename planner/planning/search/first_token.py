"""Problems under a limit on TTFT, by its full price: a prompt's way through and its queue.

The wait grows with the share u of time that prompts take, TTFT = P·W(u), where P, what prompts
take and all that a step takes, are sums of kernels. Where the optimum without the limit keeps it,
that is the answer; else :mod:`planner.planning.search.ttft_relaxation` looks for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import TIMED
from planner.planning.search.candidate_problem import CandidateProblem, error_context
from planner.planning.solver.problem import TOLERANCE, Problem, Row, Solution
from planner.planning.solver.solve import bound_of, solve

if TYPE_CHECKING:
    from planner.planning.search.ttft_relaxation import FirstToken, PromptLimit

Int = NDArray[np.int64]


def first_token(candidate: CandidateProblem) -> FirstToken | None:
    """TTFT of a candidate; None without a limit on it."""
    space, c = candidate.space, candidate.c
    if not space.model.question.limits_prompts:
        return None
    from planner.planning.search.ttft_relaxation import FirstToken  # only under such a limit

    here = space.take(np.array([c], dtype=np.int64))
    prompt, both, alone = (
        candidate.total(seconds[0]) for seconds in (here.prefill, here.decode, here.alone)
    )
    beside, more, rest = (
        float(here.constants(seconds)[0] + hop[0])
        for seconds, hop in (
            (here.prefill, here.hop_prefill),
            (here.decode, here.hop_step),
            (here.alone, here.hop),
        )
    )
    return FirstToken(
        prompt,
        both,
        alone,
        (beside, more, rest),
        float(space.resident[c]),
        float(space.pts.pp[c]),
        _prompt_limits(candidate),
        space.model.question.objective in TIMED and space.pts.pp[c] == 1,
    )


def _prompt_limits(candidate: CandidateProblem) -> tuple[PromptLimit, ...]:
    """The limits that a prompt's wait and way through count in: on TTFT, and on a whole request
    with the tokens that follow, at the pace of each pipeline stage."""
    from planner.planning.search.ttft_relaxation import PromptLimit

    question, out = candidate.space.model.question, []
    space, c = candidate.space, candidate.c
    pace = space.ttft_pace[[c]]
    if (limits := question.read_limits(pace)) is not None:
        out.append(PromptLimit("ttft", limits.item()))
    if (limits := question.request_limits(pace)) is not None:
        stages = candidate.stage_seconds(exact=True)
        after = question.tokens_after_first * float(space.tpot_pace[c] / space.ttft_pace[c])
        turns = after * len(stages)
        hops = float(space.for_limits.hop_step[c]) if len(stages) > 1 else 0.0
        out += [
            PromptLimit(
                "e2e",
                limits.item(),
                turns * seconds,
                turns * released + after * hops,
            )
            for seconds, released in stages
        ]
    return tuple(out)


def solve_with_ttft(
    candidate: CandidateProblem, *, gap: float | None = None, cutoff: float = np.inf
) -> Solution:
    """The optimum of a candidate under all of its limits, unless it is above ``cutoff``.

    Raises:
        SolverError: HiGHS ended without an answer; its message has the question.
    """
    gap = candidate.gap if gap is None else gap
    with error_context(candidate.space, candidate.c):
        solution = solve(candidate.problem, gap=gap, cutoff=cutoff)
        token = first_token(candidate)
        if token is None or not solution.has_assignment or token.keeps_limit(solution.counts):
            return solution
        from planner.planning.search.ttft_relaxation import solve_late_prompts

        return solve_late_prompts(candidate.problem, token, solution, gap, cutoff)


def solve_relaxed_ttft(candidate: CandidateProblem, *, cutoff: float) -> Solution:
    """The optimum of a candidate with the shortest queue that any assignment has, in any slot that
    it stands for: what it proves holds for all of these."""
    with error_context(candidate.space, candidate.c):
        return solve(_with_prompts(candidate), gap=candidate.gap, cutoff=cutoff)


def bound_relaxed_ttft(candidate: CandidateProblem, *, cutoff: float) -> float:
    """A lower bound of what :func:`solve_relaxed_ttft` finds, looked for up to ``cutoff``."""
    with error_context(candidate.space, candidate.c):
        return bound_of(_with_prompts(candidate), gap=candidate.gap, cutoff=cutoff)


def _with_prompts(candidate: CandidateProblem) -> Problem:
    """The problem with the limit on a prompt's way through beside it."""
    token = first_token(candidate)
    if token is None:
        return candidate.problem
    rows = token.rows_at(float(candidate.space.least_wait[candidate.c]), spare=0.0)
    return replace(candidate.problem, rows=(*candidate.problem.rows, *rows))


def keeps_ttft(candidate: CandidateProblem, counts: Int) -> bool:
    """Whether ``counts`` [D, O] keep the limit on TTFT."""
    token = first_token(candidate)
    return token is None or token.keeps_limit(counts)


def inner_rows(candidate: CandidateProblem, solution: Solution) -> tuple[Row, ...]:
    """Limits under which every assignment keeps that on TTFT, as ``solution`` does: prompts take no
    more of the time than in it."""
    token = first_token(candidate)
    if token is None:
        return ()
    share = token.sums(solution.counts)[1]
    high = min(share * (1 + TOLERANCE), 1.0)
    rows = (
        replace(row, limit=max(row.limit, float((row.coefficients * solution.counts).sum())))
        for row in token.rows_at(token.wait(high), spare=0.0)
    )
    return (*rows, *token.share_rows(candidate.problem, high))
