"""``planner.fleet``: several models on a stock of devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from planner.base.typed import typed
from planner.jobs.cluster import where as place_of_work
from planner.sizing.fleet.assemble import FleetAssignment, fleet_record
from planner.sizing.fleet.assign import cheapest_assignment, largest_growth
from planner.sizing.fleet.candidates import FleetCandidate, FleetPair
from planner.sizing.fleet.fleet_file import COST, SPARE
from planner.sizing.fleet.fleet_record import Fleet
from planner.sizing.fleet.pairs import search_pairs
from planner.sizing.fleet.problem import FleetProblem, FleetWay
from planner.sizing.fleet.question import FleetQuestion
from planner.sizing.fleet.read import fleet_question
from planner.sizing.fleet.refusals import no_device_serves, stock_too_small

Progress = Callable[[int, int, str], None]


@typed
def fleet(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    workers: int | None = 1,
    hardware_dir: str | os.PathLike[str] | None = None,
    no_learned: bool = False,
    progress: Progress | None = None,
) -> Fleet:
    """The exact assignment of a stock of devices to models with rates of requests and limits.

    Plans of every model on every kind of device are those of :func:`planner.plan` on layouts of
    several sizes; how many replicas keep the limits at the percentile follows from the queues of
    :func:`planner.capacity`. Which of them, and how many, is a mixed-integer program that HiGHS
    solves to its proved optimum.

    Args:
        source: a TOML file (docs/guide/fleet.md), or a mapping with its keys.
        workers: processes that search pairs; 1 is this one, None a core each. With more than one a
            script needs ``if __name__ == "__main__":``, as they import it.
        no_learned: without what `plan learn` measured here.
        progress: is told (pairs searched, pairs in all, what was searched).

    Raises:
        InputError: fewer than one process. DataError: a file that is not valid, with all that is
            wrong in it; a process that was killed.
        InfeasibleError: the stock does not serve the rates; the hint has the smallest that would.
    """
    question = fleet_question(source, hardware_dir, no_learned=no_learned)
    return answer_fleet(question, progress, workers=workers)


def answer_fleet(
    question: FleetQuestion, progress: Progress | None = None, *, workers: int | None = 1
) -> Fleet:
    """The assignment that a question asks for, as :func:`fleet`."""
    where = place_of_work(workers, None)
    return _answer(question, _pair_table(question, progress, where.workers))


def _pair_table(
    question: FleetQuestion,
    progress: Progress | None,
    workers: int | None,
) -> list[list[FleetPair]]:
    """What each model [row] may do on each kind of device [column]."""
    tell = progress if progress is not None else lambda done, total, what: None
    pairs: dict[tuple[int, int], FleetPair] = {}
    tell(0, question.pairs, "")
    for (m, k), pair in search_pairs(question, workers):
        pairs[m, k] = pair
        tell(
            len(pairs),
            question.pairs,
            f"{question.members[m].asked.name} on {question.kinds[k].profile.id}",
        )
    return [[pairs[m, k] for k in range(len(question.kinds))] for m in range(len(question.members))]


def _answer(question: FleetQuestion, pairs: Sequence[Sequence[FleetPair]]) -> Fleet:
    problem, candidates = _problem(question, pairs)
    names = [member.asked.name for member in question.members]
    devices = [kind.profile.id for kind in question.kinds]
    for member, row in zip(question.members, pairs, strict=True):
        if not any(pair.candidates for pair in row):
            raise no_device_serves(
                member.asked.name,
                member.asked.rate,
                member.level,
                [(d, pair.reason) for d, pair in zip(devices, row, strict=True)],
            )
    choice = (
        cheapest_assignment(problem) if question.asked.goal == COST else largest_growth(problem)
    )
    if choice is None or (question.asked.goal == SPARE and choice.value < 1 - 1e-9):
        raise stock_too_small(problem, names, devices)
    return fleet_record(FleetAssignment(question, problem, candidates, choice, pairs))


def _problem(
    question: FleetQuestion,
    pairs: Sequence[Sequence[FleetPair]],
) -> tuple[FleetProblem, list[FleetCandidate]]:
    """(the assignment as numbers, the candidate behind each of its ways)."""
    ways, candidates = [], []
    for m, row in enumerate(pairs):
        for k, pair in enumerate(row):
            simplest = sorted({(c.new_weights, c.deployable.loss) for c in pair.candidates})
            for candidate in pair.candidates:
                rank = simplest.index((candidate.new_weights, candidate.deployable.loss))
                ways.append(FleetWay(m, k, candidate.size, candidate.paces, rank))
                candidates.append(candidate)
    return FleetProblem(
        tuple(member.asked.rate for member in question.members),
        tuple(kind.stock for kind in question.kinds),
        tuple(ways),
    ), candidates
