"""Measuring, checking and learning: nothing outside imports it but `cli` and `api`, by a verb."""
