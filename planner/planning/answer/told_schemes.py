"""The formats of a plan as people are told them: of all modules that are decided."""

from __future__ import annotations

from planner.placement.modules import PLANNED_KINDS
from planner.planning.search.rivals import Rival
from planner.planning.search.sets_on import released_in


def told_schemes(rival: Rival) -> tuple[str, ...]:
    """Schemes of the linears, most bytes first, then those of an embedding or a head that is not
    left in what it is released in: llama.cpp decides both."""
    model = rival.found.space.model
    units = [(model.units[s.unit], model.choices[s.choice]) for s in rival.found.segments
             if s.choice >= 0 and model.units[s.unit].role == "module"]
    others = [scheme for unit, scheme in units
              if unit.kind not in PLANNED_KINDS and scheme != released_in(model, unit)]
    return tuple(dict.fromkeys((*rival.schemes, *others)))
