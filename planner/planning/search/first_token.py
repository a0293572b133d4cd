"""Problems under a limit on TTFT, by its full price: a prompt's way through and its queue.

The wait grows with the share u of time that prompts take, TTFT = P·W(u), where P, and what prompts
take and all that a step takes, are sums of kernels. Where the optimum without the limit keeps it,
that is the answer. Else the share is cut in two, again and again: at most m, where a prompt may
take L / W(low); or above m, where it may take L / W(m). Either is a problem of sums, and neither
holds what was found.
"""

from __future__ import annotations

from dataclasses import replace
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from planner.planning.search.asked import naming_the_question
from planner.planning.search.posed import Posed
from planner.planning.solver.problem import (
    BEATEN,
    INFEASIBLE,
    STOPPED,
    UNPROVED,
    Array,
    Problem,
    Row,
    Solution,
    proved,
)
from planner.planning.solver.solve import solve
from planner.planning.space.queueing import waiting
from planner.records import cached_record

Int = NDArray[np.int64]
TOLERANCE = 1e-9
MOST_CUTS = 200
"""Cuts of the share after which the best found is told with the bound that is left."""


@cached_record
class FirstToken:
    """What TTFT is made of on one candidate: seconds of a prompt's way through, of steps with
    prompts and of steps alone, by option [D, O] and beside them; and the limit [s]."""

    prompt: Array
    both: Array
    alone: Array
    constants: tuple[float, float, float]
    sequences: float
    stages: float
    limit: float

    def wait(self, share: float) -> float:
        """W(u): TTFT as a multiple of a prompt's way through."""
        return float(waiting(np.array(share), np.array(self.sequences), np.array(self.stages)))

    def sums(self, counts: Int) -> tuple[float, float]:
        """(a prompt's way through [s], the share of time that prompts take)."""
        prompt, both, alone = (float((one * counts).sum()) + constant for one, constant in zip(
            (self.prompt, self.both, self.alone), self.constants, strict=True))
        return prompt, 1.0 - alone / both

    def kept(self, counts: Int) -> bool:
        prompt, share = self.sums(counts)
        return prompt * self.wait(share) <= self.limit * (1 + TOLERANCE)

    def rows(self, problem: Problem, low: float, high: float) -> tuple[Row, ...]:
        """The limits on a prompt where the share is from ``low`` to ``high``."""
        most = self.limit / self.wait(low) / (1 + TOLERANCE)
        out = [Row("ttft", self.prompt, most - self.constants[0])]
        if high < 1.0:
            use = np.where(problem.legal, (1 - high) * self.both - self.alone, np.inf)
            least = use.min(axis=1, keepdims=True)  # shifted: no choice gives anything back
            room = self.constants[2] - (1 - high) * self.constants[1] \
                - float((least[:, 0] * problem.multiplicity).sum())
            out.append(Row("ttft", np.where(problem.legal, use - least, 0.0), room))
        return tuple(out)


def first_token(one: Posed) -> FirstToken | None:
    """TTFT of a candidate; None without a limit on it."""
    space, c = one.space, one.c
    limit = space.model.question.ttft_seconds
    if limit is None:
        return None
    here = space.take(np.array([c], dtype=np.int64))
    prompt, both, alone = (one.total(seconds[0]) for seconds in (
        here.prefill, here.decode, here.alone))
    beside, more, rest = (float(here.constants(seconds)[0] + hop[0]) for seconds, hop in (
        (here.prefill, here.hop_prefill), (here.decode, here.hop_step), (here.alone, here.hop)))
    return FirstToken(prompt, both, alone, (beside, more, rest), float(space.held[c]),
                      float(space.pts.pp[c]), limit)


def solve_posed(one: Posed, *, gap: float | None = None, cutoff: float = np.inf) -> Solution:
    """The optimum of a candidate under all of its limits, unless it is above ``cutoff``.

    Raises:
        SolverError: HiGHS ended without an answer; its message has the question.
    """
    gap = one.gap if gap is None else gap
    with naming_the_question(one.space, one.c):
        found = solve(one.problem, gap=gap, cutoff=cutoff)
        token = first_token(one)
        if token is None or not found.found or token.kept(found.counts):
            return found
        return _cut(one.problem, token, found, gap, cutoff)


def relaxed_posed(one: Posed, *, cutoff: float) -> Solution:
    """The optimum of a candidate with the shortest queue that any assignment has, in any slot that
    it stands for: what it proves holds for all of these."""
    token = first_token(one)
    rows = () if token is None else (Row("ttft", token.prompt, float(
        one.space.prompt_limit[one.c]) - token.constants[0]),)
    with naming_the_question(one.space, one.c):
        return solve(replace(one.problem, rows=(*one.problem.rows, *rows)), gap=one.gap,
                     cutoff=cutoff)


def keeps(one: Posed, counts: Int) -> bool:
    """Whether ``counts`` [D, O] keep the limit on TTFT."""
    token = first_token(one)
    return token is None or token.kept(counts)


def inner_rows(one: Posed, solution: Solution) -> tuple[Row, ...]:
    """Limits under which every assignment keeps that on TTFT, as ``solution`` does: prompts take no
    more of the time than in it."""
    token = first_token(one)
    if token is None:
        return ()
    prompt, share = token.sums(solution.counts)
    high = min(share * (1 + TOLERANCE), 1.0)
    first, *rest = token.rows(one.problem, 0.0, high)
    most = max(token.limit / token.wait(high), prompt) - token.constants[0]
    return (replace(first, limit=most), *rest)


def _cut(problem: Problem, token: FirstToken, free: Solution, gap: float, cutoff: float,
         ) -> Solution:
    """The optimum within the limit on TTFT, where that of ``problem`` alone, ``free``, is not."""
    best: Solution | None = None
    least, left, number = cutoff, np.inf, 0
    open_: list[tuple[float, int, float, float, Solution]] = [(free.bound, 0, 0.0, 1.0, free)]
    while open_ and number < MOST_CUTS:
        bound, _, low, high, broken = heappop(open_)
        if bound > least:
            left = min(left, bound)
            break
        middle = _middle(token, broken, low, high)
        for part in ((low, middle), (middle, high)):
            number += 1
            rows = token.rows(problem, *part)
            found = solve(replace(problem, rows=(*problem.rows, *rows)), gap=gap, cutoff=least)
            if not found.found:
                left = min(left, proved(found, np.inf if least == np.inf else least))
            elif token.kept(found.counts):
                left = min(left, found.bound)
                if best is None or found.value < best.value:
                    best, least = found, found.value
            else:
                heappush(open_, (found.bound, number, *part, found))
    left = min([left, *(one[0] for one in open_)])
    if best is not None:
        bound = min(left, best.value)
        status = best.status if number < MOST_CUTS else STOPPED
        return replace(best, status=status, bound=bound,
                       gap=(best.value - bound) / abs(best.value) if best.value else 0.0)
    if open_:
        return replace(free, status=UNPROVED, value=np.inf, bound=left)
    status = BEATEN if np.isfinite(cutoff) else INFEASIBLE
    return replace(free, status=status, value=np.inf, bound=np.inf)


def _middle(token: FirstToken, broken: Solution, low: float, high: float) -> float:
    """A share between that at which the prompt of ``broken`` would just be read in time and its
    own: on neither side is it a solution."""
    prompt, own = token.sums(broken.counts)
    under, over = low, min(own, high)
    for _ in range(60):
        middle = 0.5 * (under + over)
        if prompt * token.wait(middle) > token.limit:
            over = middle
        else:
            under = middle
    return 0.5 * (over + min(own, high))
