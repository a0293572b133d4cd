"""A rate of requests as people write it."""

from __future__ import annotations

import re

SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "day": 86400.0}
LEAST, MOST = 1e-12, 1e12
"""Requests a second that a rate may be: one in 30,000 years, a hundred for everybody."""
_RATE = re.compile(r"(?P<number>[^/\s]+)(?:\s*/\s*(?P<unit>[a-z]+))?")


def rate_parts(text: str) -> tuple[str, float] | None:
    """(the number, seconds of its unit) of ``20``, ``20/s``, ``1200/min``, ``2e6/day``; None: it is
    no rate."""
    match = _RATE.fullmatch(text.strip().lower())
    unit = (match["unit"] or "s") if match else ""
    return None if match is None or unit not in SECONDS else (match["number"], SECONDS[unit])
