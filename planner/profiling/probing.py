"""Sensitivities that need the model to run."""

from __future__ import annotations

from planner.errors import UnsupportedError


def require_probe(tier: str) -> None:
    """Refuse a tier that this version cannot measure itself.

    Raises:
        UnsupportedError: always; the hint says what can be done instead.
    """
    raise UnsupportedError(
        f"tier {tier}: this version does not run the model itself",
        hint="measure losses elsewhere and give them with --scores (T3, or T2 with one scheme)")
