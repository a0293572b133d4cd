"""``planner.explain``."""

from planner.planning.explain.module_input import explain as explain
