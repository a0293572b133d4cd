"""``planner.replay``: requests as they come, through the scheduler of a deployment's engine."""
