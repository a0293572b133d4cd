"""Variables that a server is started with, by engine, version and device: data/environment.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from planner.base.records import record
from planner.base.units import GIB
from planner.base.versions import Version, end_of, holds_at, version_of
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.planning.engines.rules import on_device
from planner.planning.plan.record import Plan

_DATA = Path(__file__).resolve().parent / "data" / "environment.csv"


@record
class EnvironmentVariable:
    """One variable: on which engine, versions and devices it is set, to what, and its source."""

    engine: str
    since: Version
    until: Version | None
    device: str
    name: str
    value: str
    means: str
    source: str
    date: str


def variables_of(engine: Engine, device: DeviceProfile, plan: Plan) -> dict[str, str]:
    """The variables of a server of ``plan`` on ``device``, by name."""
    cache_gib = -(-plan.memory_per_device.kv_cache_bytes // GIB)
    return {
        row.name: row.value.format(cache_gib=cache_gib)
        for row in variables()
        if row.engine == engine.name
        and holds_at(row.since, row.until, engine.version)
        and on_device(row.device, device)
    }


def with_variables(words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """A command that sets ``variables`` before those that it sets already."""
    if not variables:
        return list(words)
    return ["env", *(f"{name}={value}" for name, value in variables.items()),
            *(words[1:] if words[0] == "env" else words)]  # fmt: skip


@cache
def variables() -> tuple[EnvironmentVariable, ...]:
    """All variables, in the order of the file."""
    with _DATA.open(encoding="utf-8", newline="") as file:
        return tuple(
            EnvironmentVariable(
                row["engine"],
                version_of(row["since"]),
                end_of(row["until"]),
                row["device"],
                row["variable"],
                row["value"],
                row["means"],
                row["source"],
                row["date"],
            )
            for row in csv.DictReader(file)
        )
