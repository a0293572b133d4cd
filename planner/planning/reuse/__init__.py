"""Prefixes that a plan keeps, and what they are worth."""
