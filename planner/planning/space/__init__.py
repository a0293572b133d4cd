"""Candidates × units × choices as arrays: bytes, seconds, losses, legality."""
