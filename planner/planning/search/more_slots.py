"""Other slots of spaces as candidates: ways that share their kernels are timed together."""

from __future__ import annotations

from collections.abc import Sequence

from planner.planning.search.contenders import groups_of, mixed_question
from planner.planning.space.candidates import Space, build_space
from planner.planning.space.model import build_model
from planner.planning.space.shared_times import UntimedMode, timed_together
from planner.quality.prior import load_prior

Pairs = Sequence[tuple[int, int]]
"""(layout, slot) of candidates, in order."""
AT_ONCE = 4096
"""Candidates that are timed together."""


def finer_batch_grid(wanted: Sequence[tuple[Space, Pairs]]) -> list[Space]:
    """For each of some spaces the candidates at its pairs, in order."""
    found: dict[int, Space] = {}
    for group in groups_of([space.model.question for space, _ in wanted]):
        places = [place for place, _ in group]
        ways = [
            UntimedMode(space.model, space.tables, space.stages, pairs)
            for space, pairs in (wanted[place] for place in places)
        ]
        alike = all(way.tables.layouts == ways[0].tables.layouts for way in ways)
        if len(ways) == 1 or not alike or sum(len(way.pairs) for way in ways) > AT_ONCE:
            found |= {
                place: build_space(way.model, way.tables, way.stages, way.pairs)
                for place, way in zip(places, ways, strict=True)
            }
            continue
        whole = build_model(mixed_question(group), load_prior())
        found |= zip(places, timed_together(whole, ways), strict=True)
    return [space for _, space in sorted(found.items())]
