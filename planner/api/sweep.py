"""``planner.sweep``: many questions, one row each."""

from planner.sweeping.sweep import sweep as sweep
