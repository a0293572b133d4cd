"""The same question with something changed, solved again; and what differs between two answers."""

from __future__ import annotations

from collections.abc import Sequence

from planner.planning.question.question import Question
from planner.planning.search.best_first import SearchResult, branch_and_bound
from planner.planning.search.spaces import grid_space
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Slots, Space
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

FEWEST = ("latency", "memory")
"""Objectives that are never better with more sequences."""


def spaces_of(questions: Sequence[Question], *, fewest: bool = False) -> list[Space]:
    """The candidates of those questions that have any, in order. Where more sequences never help,
    the fewest stand for all; ``fewest``: nothing but these."""
    return list(
        filter(
            None,
            [
                grid_space(
                    build_model(question, load_prior()),
                    slots="fewest" if fewest else slots_of(question),
                )
                for question in questions
            ],
        )
    )


def slots_of(question: Question) -> Slots:
    """Which slots are candidates: the ends where more sequences never help."""
    return "ends" if question.objective in FEWEST else "grid"


def solve_questions(questions: Sequence[Question], *, settle: bool = True) -> SearchResult | None:
    """The best answer of several questions, the first of equals; None where none has any.
    ``settle`` as in :func:`searched`."""
    return branch_and_bound(spaces_of(questions), settle=settle)


def differences(old: SearchResult, new: SearchResult) -> tuple[str, ...]:
    """What another plan has otherwise: layout, then schemes by kind and layers; empty for the same
    plan. A batch alone is no other plan."""
    from planner.planning.plan.diff import scheme_runs

    layouts = [_layout(found) for found in (old, new)]
    told = [f"{layouts[0]} → {layouts[1]}"] if layouts[0] != layouts[1] else []
    runs = scheme_runs(by_layer(old.space, old.segments), by_layer(new.space, new.segments))
    return (*told, *(f"{one.unit}: {one.old or 'none'} → {one.new or 'none'}" for one in runs))


def by_layer(space: Space, segments: Sequence[Segment]) -> dict[tuple[str, int], str]:
    """The choice of every decided kind (its parts apart) and layer."""
    model = space.model
    return {
        (model.units[s.unit].matrix, layer): model.choices[s.choice]
        for s in segments
        if s.choice >= 0
        for layer in s.layers
    }


def _layout(found: SearchResult) -> str:
    la = found.space.tables.layouts[found.space.pts.layout[found.candidate]]
    return f"tp{la.tp} dp{la.dp} pp{la.pp} ep{la.ep}"


def batch_of(found: SearchResult) -> int:
    """Sequences decoded together in one replica."""
    return int(found.space.pts.batch[found.candidate])
