"""``planner.capacity``."""

from planner.sizing.capacity import capacity as capacity
