"""Measured deployments in one pool and in two beside what is predicted of them: how both rank them,
and what would have been picked."""
