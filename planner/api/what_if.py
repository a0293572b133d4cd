"""``planner.what_if``: the answers around a plan, each planned as a single question would be."""

from __future__ import annotations

from planner.base.display import with_former_keywords
from planner.planning.question.input import QuestionInput
from planner.planning.question.verbs import WhatIfInput, verb
from planner.planning.what_if.grid import Grid
from planner.planning.what_if.planned_grid import grid_around
from planner.planning.what_if.run import GridWork


@with_former_keywords(told="notify")
@verb(WhatIfInput)
def what_if(given: WhatIfInput) -> Grid:
    """Plan every combination of requests, context, batch, limits on TPOT and loss, devices, engine,
    schemes and cache layout around ``base``, the plan of these arguments.

    ``grid`` names the values of an axis (``tpot-ms=none,50,25``); the others take values of their
    own, as many as fit. ``workers`` processes plan (None: a core each where the grid is large).
    ``journal`` is a file that keeps what is planned, from which the same call resumes (``resume``
    False: starts over) until it is removed. ``progress`` is called with (points planned, points in
    all), first before any is; ``notify`` where a run resumes.

    Raises:
        InputError: a value out of range, or more points than a page can hold.
        DataError: the journal is of another grid or cannot be written, a worker was killed.
    """
    work = GridWork(given.workers, given.journal, given.resume, given.progress, given.notify)
    return grid_around(QuestionInput.of_verb(given), given.base, given.grid, work)
