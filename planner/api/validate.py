"""Predictions against measured tables: the verb of ``planner.lab.validation``."""

from planner.lab.validation.run import validate as validate
