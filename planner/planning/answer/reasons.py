"""Why each unit takes its choice, and what the next best costs: every alternative is tried."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.messages.message import Message, message
from planner.planning.plan.record import NextBest
from planner.planning.search.candidate_problem import CandidateProblem, candidate_problem
from planner.planning.search.first_token import keeps_ttft
from planner.planning.search.grid_search import SearchResult
from planner.planning.solver.problem import objective_of, relative_gap, violation
from planner.planning.space.assignment import Segment

Int = NDArray[np.int64]

_BETTER_BUT_BREAKS = {
    "max-loss": "reasons.max_loss_would_be_better",
    "memory": "reasons.memory_would_be_better_but",
    "host memory": "reasons.host_memory_would_be_better",
}
"""What is said of a better choice that breaks a limit, by the limit; others are named in it."""
_NOT_BEST = "reasons.not_best_would_be_better"


@record
class ReasonInputs:
    """One decision's explanation: its reason and the best other choice."""

    reason: Message
    next_best: NextBest | None


def explain(winner: SearchResult) -> dict[tuple[int, int], ReasonInputs]:
    """{(unit index, choice): Why} for every segment of the winner."""
    candidate = candidate_problem(winner.space, winner.candidate)
    model = winner.space.model
    out: dict[tuple[int, int], ReasonInputs] = {}
    memo: dict[tuple[int, int, int], ReasonInputs] = {}
    for segment in winner.segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            out[segment.unit, -1] = ReasonInputs(message("reasons.kept_as_released"), None)
            continue
        row = _counted_row(candidate, winner.solution.counts, segment)
        paired = model.decided.decisions[unit.decision].paired
        key = (row, segment.unit if paired else -1, segment.choice)
        if key not in memo:
            inputs = _reason_inputs(candidate, winner, row, segment)
            memo[key] = inputs if model.question.objective != "quality" else _paced(inputs)
        out[segment.unit, segment.choice] = memo[key]
    return out


def _counted_row(candidate: CandidateProblem, counts: Int, segment: Segment) -> int:
    """A row of the problem that gives the segment's unit its choice."""
    decided = candidate.space.model.decided
    decision = candidate.space.model.units[segment.unit].decision
    place = decided.decisions[decision].units.index(segment.unit)
    for row in candidate.rows_of(decision):
        for option in np.flatnonzero(counts[row]):
            if decided.decisions[decision].options[option][place] == segment.choice:
                return row
    raise AssertionError("a segment without a counted decision")


def other_choices(
    candidate: CandidateProblem, row: int, segment: Segment, counts: Int
) -> dict[int, Int]:
    """{another choice of the segment's unit: ``counts`` [D, S] with all layers of the row that take
    the segment's choice in it}. What is decided together and must be alike moves with it."""
    decided = candidate.space.model.decided
    number = candidate.space.model.units[segment.unit].decision
    decision = decided.decisions[number]
    place = decision.units.index(segment.unit)
    taken = [
        int(o) for o in np.flatnonzero(counts[row]) if decision.options[o][place] == segment.choice
    ]
    trials: dict[int, Int] = {}
    for other in sorted({option[place] for option in decision.options} - {segment.choice}):
        trial = counts.copy()
        for option in taken:
            choices = list(decision.options[option])
            wanted = tuple(
                other if i == place or not decision.paired else c for i, c in enumerate(choices)
            )
            target = decided.option(number, wanted)
            if target is None or not candidate.problem.legal[row, target]:
                break
            trial[row, target] += trial[row, option]
            trial[row, option] = 0
        else:
            trials[other] = trial
    return trials


def _reason_inputs(
    candidate: CandidateProblem, winner: SearchResult, row: int, segment: Segment
) -> ReasonInputs:
    """Swap the choice to every other legal one and see what happens."""
    problem, names = candidate.problem, candidate.space.model.choices
    counts, scale = winner.solution.counts, abs(winner.value) or 1.0
    trials = other_choices(candidate, row, segment, counts)
    if not trials:
        return ReasonInputs(message("reasons.only_no_other_legal_choice"), None)
    blocked: tuple[float, str, str] | None = None
    best: tuple[float, int] | None = None
    for other, trial in trials.items():
        delta = relative_gap(objective_of(problem, trial) - objective_of(problem, counts), scale)
        row_broken = violation(problem, trial)
        broken = (
            row_broken.name
            if row_broken is not None
            else ""
            if keeps_ttft(candidate, trial)
            else "ttft"
        )
        if not broken:
            if best is None or (delta, other) < best:
                best = (delta, other)
        elif delta < 0 and (blocked is None or delta < blocked[0]):
            blocked = (delta, names[other], broken)
    following = NextBest(names[best[1]], best[0]) if best else None
    if blocked is not None:
        return ReasonInputs(_breaks(*blocked), following)
    if following is None:
        return ReasonInputs(message("reasons.limits_every_other_choice_breaks"), None)
    scheme, delta = following.scheme, following.delta
    if delta > 0:
        reason = message("reasons.best_is_worse", scheme=scheme, delta=_share(delta))
    elif delta < 0:
        reason = message(_NOT_BEST, scheme=scheme, y=_share(-delta))
    else:
        reason = message("reasons.best_no_worse_than", scheme=scheme)
    return ReasonInputs(reason, following)


def _breaks(delta: float, scheme: str, limit: str) -> Message:
    """That ``scheme`` is better, ``delta`` being below zero, but breaks ``limit``."""
    better = _share(-delta)
    if limit in _BETTER_BUT_BREAKS:
        return message(_BETTER_BUT_BREAKS[limit], x=scheme, y=better)
    return message("reasons.would_be_better_but_breaks", l=limit, x=scheme, y=better)


def _paced(inputs: ReasonInputs) -> ReasonInputs:
    """Under the objective quality a less lossy choice may be left for pace, inside the band."""
    return _left(inputs, "reasons.pace_would_be_better_inside")


def kept_simple(inputs: ReasonInputs) -> ReasonInputs:
    """The reason of a choice in a plan that was taken for being simple: alone, another one may be
    better."""
    return _left(inputs, "reasons.simple_would_be_better_alone")


def _left(inputs: ReasonInputs, name: str) -> ReasonInputs:
    """``inputs`` with the message ``name`` where its choice is not the best."""
    if inputs.reason.id != _NOT_BEST:
        return inputs
    values = dict(inputs.reason.values)
    return ReasonInputs(message(name, x=values["scheme"], y=values["y"]), inputs.next_best)


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.0005 else "<0.1%"
