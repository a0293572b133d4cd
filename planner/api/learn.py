"""``planner.learn``: measured runs beside their predictions, kept as corrections."""

from planner.lab.learning.learn import learn as learn
