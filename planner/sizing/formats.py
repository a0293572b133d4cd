"""The formats that replicas may take, in the order in which they are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.planning.choose.selection import Selection
from planner.planning.search.rivals import Rival


def ranked_formats(choice: Selection) -> Iterator[Rival]:
    """The formats that the plan takes, then the others, the best objective first; each once."""
    rest = sorted(enumerate(choice.options), key=lambda pair: (pair[1].weighed.value, pair[0]))
    return distinct_formats([choice.option.rival, *(option.rival for _, option in rest)])


def distinct_formats(rivals: Sequence[Rival]) -> Iterator[Rival]:
    """Each set of formats once."""
    seen = set()
    for rival in rivals:
        key = formats_of(rival)
        if key not in seen:
            seen.add(key)
            yield rival


def formats_of(rival: Rival) -> tuple[object, ...]:
    """What two rivals share that differ in layout and batch alone."""
    model = rival.result.space.model
    return (
        model.question.engine,
        tuple(
            (s.unit, s.layers, model.choices[s.choice] if s.choice >= 0 else "")
            for s in rival.result.segments
        ),
    )
