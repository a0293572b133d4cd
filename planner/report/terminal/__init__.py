"""Answers as text of a terminal."""
