"""The planning problem, its solver and the plan record."""
