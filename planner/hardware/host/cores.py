"""Which core a machine has, and which catalogue entry its GPU is: data/cores.toml,
data/gpus.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from planner.hardware.host.facts import HostFacts
from planner.records import record

_DATA = Path(__file__).resolve().parent / "data"
Band = tuple[float, float, float]
"""(low, value, high)."""
SERVERS = re.compile(r"EPYC|Xeon|Neoverse|Graviton|Ampere|Grace|Ultra$|Max$", re.IGNORECASE)
GIB = 1 << 30


@record
class CpuCore:
    """What one core does: FLOP (or OP) a cycle by (unit, format), GHz under load [low, high], bytes
    a second of one core and of a socket. ``known``: named by the system, not guessed from its
    instructions."""

    name: str
    known: bool
    cycle: Mapping[tuple[str, str], Band]
    boost: tuple[float, float]
    core_bytes_per_s: float
    socket_bytes_per_s: float
    source: str
    date: str


def core_of(facts: HostFacts) -> CpuCore | None:
    """The core of a machine; None where nothing is known of its instructions."""
    table = _table("cores.toml")
    for row in table["core"]:
        if _fits(row, facts):
            return _core(row, facts, table)
    return None


def _fits(row: Mapping[str, Any], facts: HostFacts) -> bool:
    if "vendor" not in row:
        return row["needs"] in facts.flags
    return (
        row["vendor"] == facts.vendor
        and row.get("family", facts.family) == facts.family
        and _in(row["models"], facts.model)
    )


def _in(models: str, model: str) -> bool:
    """Whether ``model`` is one of ``0-15 32`` or of ``0xd0c 0xd40``; ``*`` takes any."""
    if models == "*" or model in models.split():
        return True
    if not model.isdigit():
        return False
    for part in models.split():
        low, _, high = part.partition("-")
        if low.isdigit() and int(low) <= int(model) <= int(high or low):
            return True
    return False


def _core(row: Mapping[str, Any], facts: HostFacts, table: Mapping[str, Any]) -> CpuCore:
    needs = table["needs"]
    cycle = {}
    for unit, formats in row["cycle"].items():
        if needs[unit] not in facts.flags:
            continue
        for name, band in formats.items():
            wanted = needs.get(f"{unit}.{name}")
            if wanted is None or wanted in facts.flags:
                cycle[unit, name] = (float(band[0]), float(band[1]), float(band[2]))
    where = "server" if SERVERS.search(facts.name) else "client"
    return CpuCore(
        row["name"],
        "vendor" in row,
        cycle,
        (row["boost"][0], row["boost"][1]),
        row["core_gb_s"] * 1e9,
        row["socket_gb_s"][where] * 1e9,
        f"{table['kind']}: {table['source']}",
        table["date"],
    )


def gpu_id(name: str, memory_bytes: int | None) -> str:
    """The id of a GPU in the catalogue by the driver's name; empty for one that it does not have.
    ``memory_bytes`` of the system tells boards of one name apart."""
    gib = (memory_bytes or 0) / GIB
    for row in _table("gpus.toml")["gpu"]:
        if re.search(row["match"], name) and gib >= row.get("memory_gib", 0):
            return str(row["id"])
    return ""


@cache
def _table(name: str) -> Mapping[str, Any]:
    return tomllib.loads((_DATA / name).read_text(encoding="utf-8"))
