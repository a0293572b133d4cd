"""Seconds per operator and per step."""
