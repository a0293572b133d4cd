"""A candidate as a problem of the solver, and back: options by decision to layers by choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.search.formulate import single_problem
from planner.planning.search.untied import StagePart, part_sum, untied_problem, untied_segments
from planner.planning.solver.highs import GAP
from planner.planning.solver.problem import Array, Problem, Solution, is_minimax
from planner.planning.solver.solve import LAYERS_GAP, STAGES_GAP
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.candidates import Space
from planner.records import cached_record


@cached_record
class CandidateProblem:
    """Candidate ``c`` of ``space`` as ``problem``, without its limit on TTFT; ``parts`` where
    layers are counted."""

    space: Space
    c: int
    problem: Problem
    parts: tuple[StagePart, ...]

    @property
    def gap(self) -> float:
        """The relative gap to which the optimum is proved."""
        if self.space.model.question.untie:
            return STAGES_GAP if is_minimax(self.problem) else GAP
        return GAP if self.space.model.question.profile is None else LAYERS_GAP

    def total(self, values: Array) -> Array:
        """Sum kernel values [K, O] of one layer into the problem's decisions [D, O]."""
        decided = self.space.model.decided
        if self.parts:
            return part_sum(self.parts, values)
        return decided.total(values, decided.layers)

    def tpot(self, counts: NDArray[np.int64]) -> float:
        """Seconds of the step of ``counts`` [D, O] as the solver adds them up: pp × the slowest
        stage, and the hops."""
        space, decided = self.space, self.space.model.decided
        layers = space.stages[space.pts.layout[self.c]].counts
        stages = []
        for stage, here in enumerate(layers):
            seconds = (
                part_sum(self.parts, space.decode[self.c], stage=stage)
                if self.parts
                else decided.total(space.decode[self.c], here.astype(np.float64))
            )
            stages.append(
                float((seconds * counts).sum()) + float(space.released_stages[self.c, stage])
            )
        if len(stages) == 1:
            return stages[0]
        return len(stages) * max(stages) + float(space.hop_step[self.c])

    def rows_of(self, decision: int) -> list[int]:
        """The problem's rows of a decision: one, or one for every pipeline stage."""
        if not self.parts:
            return [decision]
        kernels = self.space.model.decided.kernels
        return sorted({p.decision for p in self.parts if kernels[p.kernel].decision == decision})

    def segments(self, solution: Solution) -> tuple[Segment, ...]:
        """The layers and choices of a solution that was found."""
        model = self.space.model
        if self.parts:
            return untied_segments(model, self.parts, solution)
        return tied_segments(model, model.decided.unit_choices(options_of(solution.counts)))


def options_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The option of every decision [D] of a tied solution."""
    return np.asarray(counts.argmax(axis=1))


def candidate_problem(space: Space, c: int) -> CandidateProblem:
    """Candidate ``c``, tied or layer by layer as its question says."""
    if space.model.question.untie:
        return CandidateProblem(space, c, *untied_problem(space, c))
    return CandidateProblem(space, c, single_problem(space, c), ())
