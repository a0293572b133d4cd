"""The ``plan`` command. Only click is imported here; each command imports what it needs."""

from planner.cli.main import main

__all__ = ["main"]
