"""Figures of results: functions that take one and return matplotlib Axes."""
