"""The formats that replicas may take, in the order in which they are looked at."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.records import cached_record
from planner.planning.choose.selection import Selection
from planner.planning.search.rivals import Rival


@cached_record
class OptionFormats:
    """The formats of an option of a selection, and whether their weights must be made."""

    rival: Rival
    new_weights: bool


def ranked_formats(choice: Selection) -> Iterator[OptionFormats]:
    """The formats that the plan takes, then the others, the best objective first; each once."""
    rest = sorted(range(len(choice.options)), key=lambda i: (choice.options[i].weighed.value, i))
    seen = set()
    for i in (choice.taken, *rest):
        option = choice.options[i]
        key = formats_of(option.rival)
        if key not in seen:
            seen.add(key)
            yield OptionFormats(option.rival, option.simple.new_weights)


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
