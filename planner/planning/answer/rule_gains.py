"""What each rule that keeps a kind as released costs a plan, at its own layout and batch.

The plan's candidate is solved again with the rules dropped: all together first, so that a plan
that none of them binds costs one solve more, then one by one. Layers of a bucket decide together in
both, so that like is compared with like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from planner.base.records import record
from planner.formats.schemes import scheme_ids
from planner.placement.modules import AS_RELEASED_KINDS, UNRULED
from planner.planning.choose.uncertainty import served_score
from planner.planning.question.engine_questions import with_rule_bars
from planner.planning.question.policies import BINDS, NO_OTHER, ONE_TYPE, released_choice
from planner.planning.question.question import TIMED, Question
from planner.planning.search.grid_search import SearchResult, solve_candidate
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space, build_space
from planner.planning.space.memory import stage_table
from planner.planning.space.model import build_model
from planner.planning.space.tables import layout_tables

TOLD = 5e-4
"""Joint gains below this are told of the rules together: each share would print as nothing."""


def rule_gains(winner: SearchResult) -> Mapping[str, float] | None:
    """Relative gain of the objective without each rule that holds, by kind of the model (two that
    are one matrix as ``embedding with head``); 0 where it does not bind. None under a profile,
    which knows no loss of these kinds."""
    question = winner.space.model.question
    if question.profile is not None:
        return None
    kinds = [
        k
        for k in AS_RELEASED_KINDS
        if k not in (*question.dropped, *NO_OTHER, *UNRULED)
        and any(u.kind == k for u in winner.space.model.units)
    ]
    groups = _groups(question, kinds) + ([[ONE_TYPE]] if question.left_out else [])
    if not groups:
        return {}
    base = _base(winner)
    together = max(_gain(base, _value(winner, [k for group in groups for k in group], base)), 0.0)
    names = [" with ".join(group) for group in groups]
    jointly = {", ".join(names) if together > BINDS else name: together for name in names}
    if len(groups) == 1 or together < TOLD:
        return jointly
    alone = {
        name: max(_gain(base, _value(winner, group, base)), 0.0)
        for name, group in zip(names, groups, strict=True)
    }
    return alone if max(alone.values()) > BINDS else jointly


def _groups(question: Question, kinds: Sequence[str]) -> list[list[str]]:
    """Kinds that are dropped together: one matrix that is embedding and head."""
    if not question.spec.tied_embeddings:
        return [[k] for k in kinds]
    tied_kinds = [k for k in kinds if k in ("embedding", "head")]
    return [g for g in (tied_kinds, *([k] for k in kinds if k not in tied_kinds)) if g]


@record
class _Objective:
    """An objective as the search sums it, and as it is served."""

    summed: float
    served: float


def _gain(base: _Objective, value: _Objective) -> float:
    return (base.served - value.served) / abs(base.served) if base.served else 0.0


def _base(winner: SearchResult) -> _Objective:
    """The plan's own objective, layers of a bucket together and before equal plans are told."""
    question = winner.space.model.question
    if not question.untie and question.objective != "quality":
        return _Objective(
            winner.value, _served(winner.space, winner.candidate, winner.segments, winner.value)
        )
    return _value(winner, [])


def _served(space: Space, c: int, segments: Sequence[Segment], summed: float) -> float:
    """The objective of ``segments``: of times that of their closed loop."""
    timed = space.model.question.objective in TIMED
    return served_score(space, c, segments) if timed else summed


def _value(
    winner: SearchResult, kinds: Sequence[str], base: _Objective | None = None
) -> _Objective:
    """The objective of the candidate with more rules dropped; inf where it is no better than
    ``base``."""
    space, c = winner.space, winner.candidate
    question = space.model.question
    freed = replace(
        question,
        dropped=tuple(k for k in AS_RELEASED_KINDS if k in (*question.dropped, *kinds)),
        untie=False,
    )
    if ONE_TYPE in kinds:
        freed = replace(
            freed,
            left_out=(),
            schemes=tuple(s for s in scheme_ids() if s in (*question.schemes, *question.left_out)),
        )
    freed = with_rule_bars(released_choice(freed))
    here = _single_candidate_space(space, c, freed)
    cutoff = np.inf if base is None else base.summed * (1 - BINDS)
    solution, segments = solve_candidate(here, 0, cutoff=cutoff)
    if not solution.has_assignment:
        return _Objective(np.inf, np.inf)
    return _Objective(solution.value, _served(here, 0, segments, solution.value))


def _single_candidate_space(space: Space, c: int, question: Question) -> Space:
    """The candidate by itself, under ``question``, scaled to its loop as in ``space``."""
    prior, layout = space.model.prior, int(space.pts.layout[c])
    model = build_model(question, prior)
    tables = layout_tables(model, [space.tables.layouts[layout]])
    if space.tables.paces is not None:
        tables = replace(tables, paces=space.tables.paces.of(layout))
    return build_space(model, tables, stage_table(model, tables), [(0, int(space.pts.slot[c]))])
