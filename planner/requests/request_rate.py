"""A rate of requests as people write it."""

from __future__ import annotations

import math
import re

SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "day": 86400.0}
LEAST, MOST = 1e-12, 1e12
"""Requests a second that a rate may be: one in 30,000 years, a hundred for everybody."""
_RATE = re.compile(r"(?P<number>[^/\s]+)(?:\s*/\s*(?P<unit>[a-z]+))?")
_DURATION = re.compile(r"(?P<number>[0-9.]+(?:e[0-9]+)?)\s*(?P<unit>[a-z]*)")


def rate_parts(text: str) -> tuple[str, float] | None:
    """(the number, seconds of its unit) of ``20``, ``20/s``, ``1200/min``, ``2e6/day``; None: it is
    no rate."""
    match = _RATE.fullmatch(text.strip().lower())
    unit = (match["unit"] or "s") if match else ""
    return None if match is None or unit not in SECONDS else (match["number"], SECONDS[unit])


def rate_of(text: str) -> float | None:
    """Requests a second of such a text; None: it is no rate."""
    parts = rate_parts(text)
    number = None if parts is None else _finite(parts[0])
    return None if parts is None or number is None else number / parts[1]


def duration_of(text: str) -> float | None:
    """Seconds of ``600``, ``600s``, ``10min``, ``1h``, ``1day``; None: it is no duration."""
    match = _DURATION.fullmatch(text.strip().lower())
    unit = SECONDS.get(match["unit"] or "s") if match else None
    number = _finite(match["number"]) if match else None
    return None if unit is None or number is None else number * unit


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
