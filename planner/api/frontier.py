"""``planner.frontier``."""

from planner.planning.whatif.frontier_search import frontier as frontier
