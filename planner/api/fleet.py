"""``planner.fleet``: several models on a stock of devices."""

from planner.sizing.fleet.run import fleet as fleet
