"""``planner.plan``."""

from planner.planning.modes.plan import estimate as estimate
from planner.planning.modes.plan import plan as plan
