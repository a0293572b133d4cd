"""Predictions against measured tables: errors by group, and every row that is not predicted."""
