"""How a replica is split, in words."""

from __future__ import annotations


def degrees(tp: int, dp: int, pp: int, ep: int) -> str:
    """Degrees above one, e.g. ``tp4``; ``1 device`` without any."""
    named = (("tp", tp), ("dp", dp), ("pp", pp), ("ep", ep))
    return " ".join(f"{name}{value}" for name, value in named if value > 1) or "1 device"
