"""``planner.verify``: a plan run by a real engine, beside its predictions."""

from planner.lab.verifying.verify import verify as verify
