"""``planner.profile``: the quality profile of a checkpoint."""

from planner.lab.profiling.profile import profile as profile
