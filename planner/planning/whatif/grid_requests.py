"""Axes of a what-if grid that say what is asked for: the requests, their pace, and the engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from planner.errors import InputError
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.planning.question.asked import NO_LIMIT
from planner.planning.whatif.grid_axes import AUTO, Axis
from planner.throughput.calibration import ANY_ENGINE
from planner.workloads import load_workload

OWN = "own"
"""The value of the axis of workloads that stands for the plan's own requests."""
WORKLOADS = ("chat", "rag", "reasoning", "agent", "long")
"""Of the bundled ones; batch has the lengths of rag."""
TPOTS = (NO_LIMIT, "25", "15", "100", "50")
"""Milliseconds, in the order in which a grid takes them."""


def workload_axis(asked: Sequence[str] | None, base: str, own_flags: str) -> Axis:
    """The plan's own requests (``base``: OWN, or the bundled workload that was asked for), then
    bundled workloads.

    Raises:
        UnknownNameError: no such workload.
    """
    names = [base]
    for text in asked if asked is not None else WORKLOADS:
        name = OWN if text == OWN else load_workload(text).id
        if name not in names and not (name == OWN and base != OWN):
            names.append(name)
    return Axis(
        "workload",
        tuple(names),
        tuple(own_flags if name == OWN else f"--workload {name}" for name in names),
        0,
    )


def tpot_axis(asked: Sequence[str] | None, base: str) -> Axis:
    """Limits on TPOT in milliseconds from loose to strict, first none.

    Raises:
        InputError: a value that is none.
    """
    found = {_milliseconds(text) for text in (base, *(asked if asked is not None else TPOTS))}
    ordered = sorted(found, key=lambda ms: -ms)
    values = tuple(NO_LIMIT if ms == math.inf else f"{ms:.12g}" for ms in ordered)
    return Axis(
        "tpot-ms",
        values,
        tuple(f"--tpot-ms {v}" for v in values),
        ordered.index(_milliseconds(base)),
    )


def _milliseconds(text: str) -> float:
    try:
        found = math.inf if text == NO_LIMIT else float(text)
    except ValueError:
        found = math.nan
    if not found > 0 or (found == math.inf and text != NO_LIMIT):
        raise InputError(
            f"--grid tpot-ms: {text!r} is no limit",
            hint="milliseconds, or none: --grid tpot-ms=none,50,25",
        )
    return found


def engine_axis(
    asked: Sequence[str] | None, base: str, able: Sequence[str], *, default: bool
) -> Axis:
    """The engine that was asked for, the best of all (``auto``), then those that are ``able``.
    ``default``: it is what a command without the flag asks.

    Raises:
        UnknownNameError: no such engine. InputError: no such version.
    """
    names = [base]
    for text in asked if asked is not None else (AUTO, *able):
        name = text if text in (AUTO, ANY_ENGINE) else _named(text)
        if name not in names:
            names.append(name)
    return Axis(
        "engine",
        tuple(names),
        tuple("" if default and n == base else f"--engine {n}" for n in names),
        0,
    )


def _named(text: str) -> str:
    engine = parse_engine(text)
    return engine.name if text.strip().lower() in engine_names() else engine.address
