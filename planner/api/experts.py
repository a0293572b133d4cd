"""``planner.experts``: distinct experts of a step and where they are."""

from planner.planning.serving.expert_use import experts as experts
