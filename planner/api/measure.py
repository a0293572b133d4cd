"""``planner.measure``: operators of this machine."""

from planner.lab.measuring.measure import measure as measure
