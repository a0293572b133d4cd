"""When requests come: laws of arrivals at one rate, or through stages of rates.

A law gives arrivals in units of the mean gap. At a rate they are spread by it; through stages by
the requests that came until then, Λ(t) = ∫ rate: Poisson arrivals stay Poisson with the rate of
each stage (Lewis and Shedler's time change), and others keep their variation across stages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError, UnknownNameError
from planner.base.records import record
from planner.requests.request_rate import LEAST, MOST, duration_of, rate_of

Seconds = NDArray[np.float64]
POISSON, CONSTANT, GAMMA, BURST = "poisson", "constant", "gamma", "burst"
MOST_REQUESTS = 10_000_000
LEAST_CV, MOST_CV = 0.01, 100.0
HINT = "poisson, constant, gamma:CV (gamma:2 comes in clusters) or burst"
STAGES = "for example 600s@5/s,600s@10/s: how long, and requests a second"
_DRAWN = 1 << 16
"""Gaps drawn at a time."""
_PIECE = re.compile(r"(?P<duration>[^@]+)@(?P<rate>[^@]+)")


class RateStage(NamedTuple):
    """``rate`` requests/s for ``seconds``."""

    seconds: float
    rate: float


@record
class ArrivalLaw:
    """``kind`` of arrivals; ``cv``: standard deviation of the gaps between them over their mean
    (``burst``: all come at once)."""

    kind: str
    cv: float


def arrival_law(text: str) -> ArrivalLaw:
    """``poisson``, ``constant``, ``gamma:CV`` or ``burst``.

    Raises:
        UnknownNameError: another name. InputError: a CV out of range, or one where none belongs.
    """
    kind, colon, number = text.strip().lower().partition(":")
    if kind not in (POISSON, CONSTANT, GAMMA, BURST):
        raise UnknownNameError("law of arrivals", text, (POISSON, CONSTANT, "gamma:CV", BURST))
    if kind != GAMMA:
        if colon:
            raise InputError(f"arrivals {text!r}: {kind} takes no number", hint=HINT)
        return ArrivalLaw(kind, 1.0 if kind == POISSON else 0.0)
    try:
        cv = float(number)
    except ValueError:
        cv = math.nan
    if not LEAST_CV <= cv <= MOST_CV:
        raise InputError(
            f"arrivals {text!r}: the coefficient of variation of gaps is a number from "
            f"{LEAST_CV:g} to {MOST_CV:g}",
            hint="gamma:1 is poisson, gamma:2 comes in clusters, gamma:0.5 is steadier; without "
            "variation it is constant",
        )
    return ArrivalLaw(GAMMA, cv)


def arrival_times(kind: str, rate: float, count: int, seed: int) -> Seconds:
    """When ``count`` requests come [s], ascending, ``rate`` a second on average; the same by
    ``seed``, and the first of a longer run. Constant ones begin at 0, others with their first gap;
    those of a ``burst`` all come at 0.

    Raises:
        InputError: the law of arrivals, the rate or the count is out of range.
    """
    law = arrival_law(kind)
    if not LEAST <= rate <= MOST:
        raise InputError(f"{rate:g} requests a second", hint=f"a number from {LEAST:g} to {MOST:g}")
    if isinstance(count, bool) or not 1 <= count <= MOST_REQUESTS:
        raise InputError(f"{count} requests", hint=f"from 1 to {MOST_REQUESTS:,}")
    if law.kind == BURST:
        return np.zeros(count)
    parts, had = [], 0
    for units in _units(law, seed):
        parts.append(units)
        had += len(units)
        if had >= count:
            break
    return np.concatenate(parts)[:count] / rate


def staged_times(stages: Sequence[tuple[float, float]], kind: str, seed: int) -> Seconds:
    """When the requests of ``stages`` (seconds, requests/s) one after another come [s], ascending;
    of a ``burst``, those of a stage come as it begins. A stage of rate 0 is a pause.

    Raises:
        InputError: the law of arrivals, no stage, one out of range, or too many requests in all.
    """
    law = arrival_law(kind)
    for stage in stages:
        _check_stage(RateStage(*stage))
    seconds, rates = np.array(stages, dtype=np.float64).reshape(-1, 2).T
    ends = np.cumsum(seconds * rates) if len(stages) else np.zeros(1)
    total = float(ends[-1])
    if not 0.5 <= total <= MOST_REQUESTS:
        raise InputError(
            f"the stages have {total:.3g} requests in all", hint=f"from 1 to {MOST_REQUESTS:,}"
        )
    begins = np.concatenate([[0.0], np.cumsum(seconds)[:-1]])
    if law.kind == BURST:
        until = np.round(ends).astype(np.int64)
        return np.repeat(begins, np.diff(until, prepend=0))
    parts = []
    for units in _units(law, seed):
        parts.append(units[units < total])
        if units[-1] >= total:
            break
    came = np.concatenate(parts)
    if not len(came):
        raise InputError(
            f"no request comes in stages of {total:.3g} on average",
            hint="give longer stages, or another --seed",
        )
    at = np.searchsorted(ends, came, side="right")
    before = np.concatenate([[0.0], ends[:-1]])
    return np.asarray(begins[at] + (came - before[at]) / rates[at])


def parse_stages(text: str) -> tuple[RateStage, ...]:
    """Stages as people write them: ``600s@5/s,10min@600/min``.

    Raises:
        InputError: a stage is none, or out of range.
    """
    stages = []
    for piece in text.split(","):
        match = _PIECE.fullmatch(piece.strip())
        seconds = duration_of(match["duration"]) if match else None
        rate = rate_of(match["rate"]) if match else None
        if seconds is None or rate is None:
            raise InputError(f"stage {piece.strip()!r} is not understood", hint=STAGES)
        stages.append(RateStage(seconds, rate))
        _check_stage(stages[-1])
    return tuple(stages)


def _check_stage(stage: RateStage) -> None:
    if not (0 < stage.seconds <= MOST and (stage.rate == 0 or LEAST <= stage.rate <= MOST)):
        raise InputError(
            f"a stage of {stage.seconds:g} s at {stage.rate:g} requests a second", hint=STAGES
        )


def _units(law: ArrivalLaw, seed: int) -> Iterator[Seconds]:
    """Arrivals in mean gaps, ascending, without end."""
    random = np.random.default_rng(seed)
    shape = 0.0 if law.cv == 0 else law.cv**-2
    last = 0.0
    while True:
        if law.kind == CONSTANT:
            units = last + np.arange(_DRAWN, dtype=np.float64)
            last += _DRAWN
        else:
            units = last + np.cumsum(random.gamma(shape, 1.0 / shape, _DRAWN))
            last = float(units[-1])
        yield units
