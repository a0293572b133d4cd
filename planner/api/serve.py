"""``planner.serve``."""

from planner.planning.serving.serve import serve as serve
