"""Where an engine keeps prefixes, by version: ``data/kv_offload.csv``.

A row of tier ``device`` says that what ended requests leave stays in the pool of the caches; one of
``host`` or ``nvme`` that there is a tier beyond it, by which flag, and whether what it keeps
``includes`` what the device keeps. A flag may be a variable of the environment.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.base.records import record
from planner.base.versions import EARLIEST, Version, version_of
from planner.memory.engines.catalog import parse_engine
from planner.planning.engines.rules import DATA
from planner.throughput.calibration import ANY_ENGINE

DEVICE, HOST, NVME = "device", "host", "nvme"
TIERS = (HOST, NVME)
"""Tiers beyond the device."""
UNITS = {"B": 1, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30}


@record
class PrefixTier:
    """One tier of an engine. ``flag`` takes its size in ``unit``, of one ``device`` or of all ranks
    of an ``engine`` (``scope``); empty where there is none. ``more``: what has to stand beside it.
    """

    engine: str
    tier: str
    since: Version
    includes: bool
    flag: str
    unit: str
    scope: str
    more: tuple[str, ...]
    source: str
    date: str


THEORY = PrefixTier(ANY_ENGINE, DEVICE, EARLIEST, False, "", "", "", (), "no engine's rules", "")


def prefix_tier(engine: str, version: str, tier: str) -> PrefixTier | None:
    """The row of ``engine`` at ``version`` (empty: the one that is modelled), None where it has no
    such tier. Without an engine every tier is there, and keeps what the others do not."""
    if engine == ANY_ENGINE:
        return THEORY
    known = parse_engine(f"{engine}@{version}".rstrip("@"))
    return next(
        (
            row
            for row in _rows()
            if row.engine == engine and row.tier == tier and row.since <= known.version
        ),
        None,
    )


def engines_with(tier: str) -> tuple[str, ...]:
    """The engines that have the tier, with the version since when."""
    return tuple(
        f"{row.engine} {row.since}" if row.since != EARLIEST else row.engine
        for row in _rows()
        if row.tier == tier
    )


@cache
def _rows() -> tuple[PrefixTier, ...]:
    with (DATA / "kv_offload.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            PrefixTier(
                row["engine"],
                row["tier"],
                version_of(row["since"]),
                row["includes"] == "yes",
                row["flag"],
                row["unit"],
                row["scope"],
                tuple(row["more"].split()),
                row["source"],
                row["date"],
            )
            for row in csv.DictReader(file)
        )
