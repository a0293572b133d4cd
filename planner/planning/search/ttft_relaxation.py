"""The optimum within a limit on TTFT, where that without the limit breaks it.

TTFT = P·W(u) is kept where P is at most L / W(1), however busy the rank is: a problem of sums.
Else u is at most g(P), a concave curve, and its tangents are cuts. What they leave open is cut in
two: the share is at most m, where a prompt may take L / W(low), or above m, where it may take
L / W(m). Either is a problem of sums, and neither holds what was found.
"""

from __future__ import annotations

from dataclasses import replace
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.planning.solver.problem import (
    BEATEN,
    INFEASIBLE,
    STOPPED,
    TOLERANCE,
    UNPROVED,
    Array,
    Problem,
    Row,
    Solution,
    is_minimax,
    proved,
)
from planner.planning.solver.solve import solve
from planner.throughput.queueing import ttft_factor

Int = NDArray[np.int64]
MOST_SOLVES = 200
"""Problems after which the best found is told with the bound that is left."""
CLEAR = 1e-9
"""A cut is one where it leaves out what was found by this share of its limit."""
STARTS = 3
"""Problems in which prompts take no more time than in what was found, for a first answer."""


@record
class Box:
    """What a prompt's way through and a step with prompts are between [s]; whether the plane
    through the upper corner is taken."""

    least_prompt: float
    most_prompt: float
    least_both: float
    most_both: float
    upper_plane: bool = False


@cached_record
class PromptLimit:
    """A limit [s] on TTFT, and on what follows it where ``later`` is there: seconds by option
    [D, O] and beside them."""

    name: str
    seconds: float
    later: Array | None = None
    constant: float = 0.0

    def left(self, counts: Int, spare: float) -> float:
        """What the limit and a share ``spare`` of it leave for TTFT under the assignment ``counts``
        [D, O]."""
        later = 0.0 if self.later is None else float((self.later * counts).sum())
        return self.seconds * (1 + spare) - later - self.constant


@cached_record
class FirstToken:
    """What TTFT is made of on one candidate: seconds of a prompt's way through, of steps with
    prompts and of steps alone, by option [D, O] and beside them; and the limits on it."""

    prompt: Array
    both: Array
    alone: Array
    constants: tuple[float, float, float]
    sequences: float
    stages: float
    limits: tuple[PromptLimit, ...]
    paced: bool

    @property
    def limit(self) -> float:
        """What TTFT is at most under any assignment within the limits [s]."""
        return min(limit.seconds - limit.constant for limit in self.limits)

    def wait(self, share: float) -> float:
        """W(u): TTFT as a multiple of a prompt's way through."""
        return float(ttft_factor(np.array(share), np.array(self.sequences), np.array(self.stages)))

    def sums(self, counts: Int) -> tuple[float, float]:
        """(a prompt's way through [s], the share of time that prompts take)."""
        prompt, both, alone = (
            float((coefficients * counts).sum()) + constant
            for coefficients, constant in zip(
                (self.prompt, self.both, self.alone), self.constants, strict=True
            )
        )
        return prompt, 1.0 - alone / both

    def keeps_limit(self, counts: Int) -> bool:
        """Whether TTFT of the assignment ``counts`` [D, O] is within the limit."""
        prompt, share = self.sums(counts)
        return prompt * self.wait(share) <= self.left(counts)

    def left(self, counts: Int, *, spare: float = TOLERANCE) -> float:
        """What the limits leave for TTFT under ``counts`` [D, O]."""
        return min(limit.left(counts, spare) for limit in self.limits)

    def rows(self, problem: Problem, low: float, high: float) -> tuple[Row, ...]:
        """The limits on a prompt where the share is from ``low`` to ``high``."""
        return (*self.rows_at(self.wait(low)), *self.share_rows(problem, high))

    def rows_at(self, wait: float, *, spare: float = TOLERANCE) -> tuple[Row, ...]:
        """The limits, less a share ``spare``, where TTFT is ``wait`` times a prompt's way."""
        return tuple(
            Row(
                limit.name,
                self.prompt if limit.later is None else self.prompt + limit.later / wait,
                limit.seconds / wait / (1 + spare) - self.constants[0] - limit.constant / wait,
            )
            for limit in self.limits
        )

    def share_rows(self, problem: Problem, high: float) -> tuple[Row, ...]:
        """That prompts take a share of ``high`` of the time at most."""
        if high >= 1.0:
            return ()
        return (
            self._row(
                problem,
                (1 - high) * self.both - self.alone,
                (1 - high) * self.constants[1] - self.constants[2],
            ),
        )

    def tangent(self, problem: Problem, at: float, box: Box) -> Row:
        """A limit that all keep whose TTFT is kept with a wait that still grows: in P their share
        is under a concave curve g, so that added <= both·(g + g'·(P − at)); the product both·P is
        at least its two planes through the corners of ``box``."""
        stages = 2.0 * self.stages
        under = stages * self.limit - (stages - 1) * at
        curve, slope = stages * (self.limit - at) / under, stages * self.limit / under**2
        steep, even = curve + slope * at, [slope * box.least_both, slope * box.least_prompt]
        beside = slope * box.least_both * box.least_prompt
        if box.upper_plane:
            even = [slope * box.most_both, slope * box.most_prompt]
            beside = slope * box.most_both * box.most_prompt
        prompt, both, alone = self.constants
        return self._row(
            problem,
            (1 - steep + even[1]) * self.both - self.alone + even[0] * self.prompt,
            (1 - steep + even[1]) * both - alone + even[0] * prompt - beside,
        )

    def _row(self, problem: Problem, use: Array, constant: float) -> Row:
        """``use`` [D, O] and the ``constant`` are together at most 0; shifted so that no option
        gives anything back."""
        least = np.where(problem.legal, use, np.inf).min(axis=1, keepdims=True)
        room = -constant - float((least[:, 0] * problem.multiplicity).sum())
        return Row("ttft", np.where(problem.legal, use - least, 0.0), room)


def solve_late_prompts(
    problem: Problem,
    token: FirstToken,
    free: Solution,
    gap: float,
    cutoff: float,
) -> Solution:
    """The optimum within the limit on TTFT, where that of ``problem`` alone, ``free``, is not."""
    return _Late(problem, token, free, gap, cutoff).solution()


class _Late:
    """The search: the best found, what is below it at the most, and problems that are open."""

    def __init__(
        self, problem: Problem, token: FirstToken, free: Solution, gap: float, cutoff: float
    ) -> None:
        self.problem, self.token, self.free, self.gap = problem, token, free, gap
        self.cutoff = self.least = cutoff
        self.best: Solution | None = None
        self.left, self.solves = np.inf, 0
        self.cuts: tuple[Row, ...] = ()
        self.open: list[tuple[float, int, float, float, Solution]] = []

    def solution(self) -> Solution:
        """The answer."""
        token = self.token
        self._under(token.rows_at(token.wait(1.0)), 0.0, 1.0)
        self._start()
        self._add(0.0, 1.0, self.free)
        while self.open and self.solves < MOST_SOLVES:
            bound, _, low, high, broken = heappop(self.open)
            if bound > self.least:
                self.left = min(self.left, bound)
                break
            if self._cut_off(broken):
                self._under((*self.cuts, *token.rows(self.problem, low, high)), low, high)
                continue
            middle = _middle(token, broken, low, high)
            for part in ((low, middle), (middle, high)):
                self._under((*self.cuts, *token.rows(self.problem, *part)), *part)
        return self._answer()

    def _start(self) -> None:
        """A first answer: what takes no more of the time than what was found, and reads a prompt in
        time at that."""
        broken = self.free
        for _ in range(STARTS):
            if self.best is not None:
                return
            share = self.token.sums(broken.counts)[1]
            prompt = self.token.rows_at(self.token.wait(share))
            solution = self._solve((*prompt, *self.token.share_rows(self.problem, share)))
            if solution.has_assignment:
                self._keep(solution)
                return
            solution = self._solve(prompt)
            if not solution.has_assignment:
                return
            if self.token.keeps_limit(solution.counts):
                self._keep(solution)
                return
            broken = solution

    def _under(self, rows: tuple[Row, ...], low: float, high: float) -> None:
        """The problem under ``rows``: an answer, a proof, or open between the shares."""
        solution = self._solve(rows)
        if not solution.has_assignment:
            self.left = min(self.left, max(proved(solution, self.least), self.free.bound))
        elif self.token.keeps_limit(solution.counts):
            self.left = min(self.left, solution.bound)
            self._keep(solution)
        else:
            self._add(low, high, solution)

    def _solve(self, rows: tuple[Row, ...]) -> Solution:
        self.solves += 1
        return solve(
            replace(self.problem, rows=(*self.problem.rows, *rows)), gap=self.gap, cutoff=self.least
        )

    def _keep(self, better: Solution) -> None:
        if self.best is None or better.value < self.best.value:
            self.best, self.least = better, min(self.least, better.value)

    def _add(self, low: float, high: float, broken: Solution) -> None:
        heappush(self.open, (broken.bound, self.solves, low, high, broken))

    def _cut_off(self, broken: Solution) -> bool:
        """Whether a tangent where ``broken`` is cuts it off: then it is among the cuts."""
        token = self.token
        at = token.sums(broken.counts)[0]
        if at >= token.limit:
            return False
        box = self._box()
        for plane in (False, True):
            row = token.tangent(self.problem, at, replace(box, upper_plane=plane))
            used = float((row.coefficients * broken.counts).sum())
            if used > row.limit + CLEAR * max(abs(row.limit), 1e-12):
                self.cuts = (*self.cuts, row)
                return True
        return False

    def _box(self) -> Box:
        """What P and both are between, for all that is better than the best found."""
        token, problem = self.token, self.problem
        layers = problem.multiplicity

        def least(use: Array, sign: float) -> float:
            ends = np.where(problem.legal, sign * use, np.inf).min(axis=1)
            return sign * float((ends * layers).sum())

        low = least(token.both, 1.0) + token.constants[1]
        high = least(token.both, -1.0) + token.constants[1]
        if np.isfinite(self.least) and token.paced and not is_minimax(problem):
            ratio = self._both(self.free) / self.free.value
            low, high = max(low, self.free.bound * ratio), min(high, self.least * ratio)
        return Box(
            least(token.prompt, 1.0) + token.constants[0], token.limit, low, high * (1 + TOLERANCE)
        )

    def _both(self, solution: Solution) -> float:
        return float((self.token.both * solution.counts).sum()) + self.token.constants[1]

    def _answer(self) -> Solution:
        left = min([self.left, *(node[0] for node in self.open)])
        if self.best is not None:
            bound = min(left, self.best.value)
            status = (
                STOPPED
                if self.open and left < self.least and self.solves >= MOST_SOLVES
                else self.best.status
            )
            value = self.best.value
            return replace(
                self.best,
                status=status,
                bound=bound,
                gap=(value - bound) / abs(value) if value else 0.0,
            )
        if left < self.cutoff:
            return replace(self.free, status=UNPROVED, value=np.inf, bound=left)
        status = BEATEN if np.isfinite(self.cutoff) else INFEASIBLE
        return replace(self.free, status=status, value=np.inf, bound=np.inf)


def _middle(token: FirstToken, broken: Solution, low: float, high: float) -> float:
    """A share between that at which the prompt of ``broken`` would just be read in time and its
    own: on neither side is it a solution."""
    prompt, own = token.sums(broken.counts)
    most = token.left(broken.counts, spare=0.0)
    under, over = low, min(own, high)
    for _ in range(60):
        middle = 0.5 * (under + over)
        if prompt * token.wait(middle) > most:
            over = middle
        else:
            under = middle
    return 0.5 * (over + min(own, high))
