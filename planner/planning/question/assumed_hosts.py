"""Hosts that are assumed beside a card at home, where a question names none.

They are rows of ``data/assumed_hosts.csv``: a bundled desktop processor with its memory, and the
slowest and the fastest memory that such a desktop has. What is assumed widens every time: the range
of bandwidths is taken to hold 80 %.
"""

from __future__ import annotations

import csv
import math
from functools import cache

from planner.base.records import record
from planner.base.units import GIB
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Note, message
from planner.planning.engines.rules import DATA
from planner.planning.question.given_values import HOST_KEY
from planner.quality.floor import EIGHTY

READING_SECONDS, SLOWEST_STEP_SECONDS = 0.2, 0.4
"""A step as fast as one reads, 5 tokens a second, and the slowest that one may wait for, half as
fast."""


@record
class AssumedHost:
    """A desktop that holds what a card cannot: the ``id`` of its profile, and the log-space
    ``sigma`` of all times beside it, for nobody said which it is."""

    id: str
    sigma: float


@cache
def assumed_hosts() -> tuple[AssumedHost, ...]:
    """The hosts, that of least memory first."""
    with (DATA / "assumed_hosts.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            AssumedHost(
                row["host"],
                math.log(float(row["fastest_bytes_per_s"]) / float(row["slowest_bytes_per_s"]))
                / (2 * EIGHTY),
            )
            for row in csv.DictReader(file)
        )


def assumed_notes(host: AssumedHost | None, cpu: DeviceProfile) -> tuple[Note, ...]:
    """That ``host``, the processor ``cpu`` with its memory, was assumed; nothing for a named
    one."""
    if host is None:
        return ()
    desktop = message(
        "assumptions.desktop_of",
        g=f"{cpu.capacity_bytes.value / GIB:.0f}",
        kind=cpu.memory_type,
        c=cpu.id,
    )
    return (
        Note(HOST_KEY, desktop, message("assumptions.no_host_was_named", f=f"{_factor(host):.2g}")),
    )


def _factor(host: AssumedHost) -> float:
    return math.exp(EIGHTY * host.sigma)
