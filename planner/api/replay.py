"""``planner.replay``."""

from planner.planning.replay.replay import replay as replay
