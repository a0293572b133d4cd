"""``planner.what_if``."""

from planner.planning.whatif.planned_grid import what_if as what_if
