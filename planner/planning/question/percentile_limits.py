"""Limits on time as people give them: seconds, ``none``, or a percentile of requests with its
time, ``p99:2000ms``, where a rate of requests is given."""

from __future__ import annotations

import re

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import message
from planner.planning.question.declaring import NO_LIMIT

_UNITS = {"ms": 1e-3, "s": 1.0}
_TEXT = re.compile(r"p(?P<percentile>[0-9.]+):(?P<time>[0-9.]+(?:e-?[0-9]+)?)(?P<unit>ms|s)")


@record
class LimitAt:
    """``seconds`` that a ``percentile`` of requests keeps; None: that of the whole question."""

    seconds: float
    percentile: float | None = None


def limit_at(name: str, value: float | str | None) -> LimitAt | None:
    """The limit called ``name`` that a number of seconds or a text says; None: there is none.

    Raises:
        InputError: a text that is no percentile with its time, or one out of range.
    """
    if value is None or value == NO_LIMIT:
        return None
    if not isinstance(value, str):
        return LimitAt(value)
    match = _TEXT.fullmatch(value.strip().lower().replace(" ", ""))
    try:
        percentile = float(match["percentile"]) if match else 0.0
        seconds = float(match["time"]) * _UNITS[match["unit"]] if match else 0.0
    except ValueError:
        percentile = seconds = 0.0
    if not 0 < percentile < 100 or not 0 < seconds < float("inf"):
        raise InputError(
            message("refusals.no_limit_on_time", name=name, value=value),
            hint=message("refusals.write_a_percentile"),
        )
    return LimitAt(seconds, percentile)


def mean_limit(name: str, value: float | str | None) -> float | None:
    """The limit of a question without a rate [s].

    Raises:
        InputError: it is one on a percentile, or no limit.
    """
    limit = limit_at(name, value)
    if limit is not None and limit.percentile is not None:
        raise InputError(
            message("refusals.percentile_without_a_rate", name=name, value=str(value)),
            hint=message("refusals.give_a_rate"),
        )
    return None if limit is None else limit.seconds
