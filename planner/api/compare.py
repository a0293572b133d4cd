"""``planner.compare``."""

from planner.planning.whatif.compare import compare as compare
