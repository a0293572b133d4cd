"""From what a machine tells of itself to a profile: detected, derived from its core, or assumed.

Which core a machine has, and which catalogue entry its GPU is: data/cores.toml, data/gpus.toml.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.hardware.host.facts import ASSUMED, CORES, DETECTED, Draft, DraftFigure, HostFacts
from planner.messages.message import message

HOST = "host"
OWN_PROFILE = "write a profile of your own (hardware_profiles/README.md) and name its path"
_BAND_KNOWN, _BAND_UNKNOWN = 1.8, 2.5
"""Bandwidth of a machine that was not measured: ×/÷ of the assumed value."""
USABLE = 0.90
_GENERIC_SHARE = 0.85
_CONVERTED = {"fp8": 8, "int8": 8, "int4": 6, "mxfp4": 7, "nvfp4": 14}
"""Vector instructions that make 32 (of 512 bits; 16 of 256, 8 of 128) BF16 results, as in the
catalogue's Xeons."""
_WIDTH = {"avx512": 32.0, "avx512-vnni": 32.0, "avx2": 16.0, "sve": 8.0, "neon": 8.0}
_NO_UNIT = "no such instruction; stored weights are converted in software"
_UNSUPPORTED = {
    "tf32": "no TF32 on CPUs",
    "fp8": "no FP8 instruction: FP8 weights are converted in software",
    "int4": _NO_UNIT,
    "mxfp8": _NO_UNIT,
    "mxfp6": _NO_UNIT,
    "mxfp4": _NO_UNIT,
    "nvfp4": _NO_UNIT,
}
Shares = tuple[float, float, float]


def described(facts: HostFacts) -> Draft:
    """The profile of a machine that nothing was measured on.

    Raises:
        UnsupportedError: its core or its memory is not told.
    """
    core, capacity = core_of(facts), facts.capacity
    if core is None or not core.cycle:
        raise UnsupportedError(
            f"{HOST}: nothing is known of this machine's CPU ({facts.name or facts.machine}, "
            f"{facts.system})",
            hint=OWN_PROFILE,
        )
    if capacity is None:
        raise UnsupportedError(
            f"{HOST}: {facts.system} does not say how much memory this machine has",
            hint=OWN_PROFILE,
        )
    made = Draft(
        texts={"id": HOST, "name": _name(facts, core), "kind": "cpu", "architecture": core.name}
    )
    made.sources = {
        DETECTED: "This machine: " + ("/proc and /sys" if facts.system == "Linux" else "sysctl"),
        CORES: core.source,
        ASSUMED: "Planning assumption of this project, stated in the note",
    }
    _memory(made, facts, core, capacity)
    _rates(made, facts, core)
    _achieved(made, facts, core)
    _silicon(made, facts)
    made.cautions += _cautions(facts, core)
    if facts.memory_available is not None and facts.memory_available < USABLE * capacity:
        made.passing.append(
            f"{facts.memory_available / 2**30:.1f} of {capacity / 2**30:.1f} "
            "GiB were free when this machine was looked at"
        )
    return made


def _name(facts: HostFacts, core: CpuCore) -> str:
    count = f"{facts.threads} core{'s' * (facts.threads > 1)}"
    name = facts.name.split("@")[0].strip() or facts.machine
    return f"this machine: {name} ({core.name}), {count}"


def _memory(made: Draft, facts: HostFacts, core: CpuCore, capacity: int) -> None:
    limited = facts.memory_limit is not None and facts.memory_limit == capacity
    memory_bytes = facts.memory_bytes or capacity
    made.set("memory.label", DraftFigure(memory_bytes, "B", DETECTED, "detected"))
    made.set(
        "memory.capacity",
        DraftFigure(
            capacity,
            "B",
            DETECTED,
            "detected",
            note="the container's limit" if limited else "memory that the system has",
        ),
    )
    made.set(
        "memory.usable_fraction",
        DraftFigure(
            USABLE, "1", ASSUMED, "assumed", note="operating system and engine take the rest"
        ),
    )
    drawn, most = facts.threads * core.core_bytes_per_s, facts.sockets * core.socket_bytes_per_s
    value, band = min(drawn, most), _BAND_KNOWN if core.known else _BAND_UNKNOWN
    made.set(
        "memory.bandwidth",
        DraftFigure(
            value,
            "B/s",
            CORES,
            "assumed",
            value / band,
            value * band,
            f"{facts.threads} × {core.core_bytes_per_s / 1e9:.0f} GB/s that a core of {core.name} "
            f"draws, at most {most / 1e9:.0f} GB/s of {facts.sockets} socket"
            f"{'s' * (facts.sockets > 1)}; channels are not told: plan measure measures it",
        ),
    )


def clock_band(facts: HostFacts, core: CpuCore) -> tuple[float, float, float, str]:
    """(low, value, high) of the clock under load [Hz], and how it was found."""
    stated, boost = facts.clock_hz, facts.boost_hz
    where = facts.where.get("clock", "")
    if boost is not None:
        low = stated if stated is not None else _GENERIC_SHARE * _GENERIC_SHARE * boost
        return low, math.sqrt(low * boost), boost, f"up to {boost / 1e9:.2f} GHz ({where})"
    low, high = (gigahertz * 1e9 for gigahertz in core.boost)
    if stated is not None:
        high = max(high, stated)
        return (
            stated,
            math.sqrt(stated * high),
            high,
            (f"{stated / 1e9:.2f} GHz ({where}), {core.name} boosts to {high / 1e9:.1f}"),
        )
    return (
        low,
        math.sqrt(low * high),
        high,
        (f"no clock is told, {core.name} runs at {low / 1e9:.1f} to {high / 1e9:.1f} GHz"),
    )


def _rates(made: Draft, facts: HostFacts, core: CpuCore) -> None:
    low, value, high, how = clock_band(facts, core)
    n = facts.threads
    for (unit, name), (least, each, most) in core.cycle.items():
        made.set(
            f"rates.{unit}.{name}.dense",
            DraftFigure(
                n * value * each,
                "OP/s" if name.startswith("int") else "FLOP/s",
                CORES,
                "derived",
                n * low * least,
                n * high * most,
                f"{n} cores × {value / 1e9:.2f} GHz × {each:g} a cycle; {how}",
            ),
        )
    plain = next(unit for unit, name in core.cycle if name == "fp32")
    for name in ("bf16", "fp16"):
        if any(other == name for _, other in core.cycle):
            continue
        like = made.figures[f"rates.{plain}.fp32.dense"]
        made.set(
            f"rates.{plain}.{name}.dense",
            DraftFigure(
                like.value,
                like.unit,
                CORES,
                "derived",
                like.low,
                like.high,
                message("devices.no_products_widened_to_fp32", x=name.upper()),
            ),
        )
    made.unsupported = dict(_UNSUPPORTED)
    if not any(name == "int8" for _, name in core.cycle):
        made.unsupported["int8"] = message("devices.has_no_integer_dot_products", x=core.name)
    _conversion(made, plain, n, value)


def _conversion(made: Draft, unit: str, cores: int, clock: float) -> None:
    for name, instructions in _CONVERTED.items():
        made.set(
            f"conversion.{name}",
            DraftFigure(
                cores * clock * _WIDTH[unit] / instructions,
                "elements/s",
                ASSUMED,
                "assumed",
                note=f"{cores} cores × {clock / 1e9:.2f} GHz × {_WIDTH[unit]:g} BF16 results per "
                f"{instructions} {unit} instructions, one a cycle",
            ),
        )


def _achieved(made: Draft, facts: HostFacts, core: CpuCore) -> None:
    """Fractions that were not measured: of the peak at the clock above, of the bandwidth above."""
    matrix: Shares = (0.15, 0.20, 0.29) if ("amx", "bf16") in core.cycle else (0.25, 0.45, 0.80)
    reading: Shares = (0.70, 0.90, 1.0)
    barrier: Shares = (1e-6, 3e-6, 10e-6) if facts.threads > 1 else (0.3e-6, 1e-6, 3e-6)
    classes = {
        "fp32": (0.40, 0.60, 0.90),
        "elementwise": (0.40, 0.60, 0.90),
        "attention-decode": (0.05, 0.15, 0.40),
        "attention-prefill": matrix,
    }
    classes |= dict.fromkeys(("bf16", "fp16", "int8", "w8a16", "w4a16"), matrix)
    classes |= dict.fromkeys(("moe-bf16", "moe-int8", "moe-w8a16", "moe-w4a16"), matrix)
    for name, compute in classes.items():
        times = 3 if name.startswith("moe-") else 1
        floor = (times * barrier[0], times * barrier[1], times * barrier[2])
        for field, unit, (low, value, high), why in (
            ("compute_fraction", "1", compute, "products of vector code, of the peak above"),
            ("bandwidth_fraction", "1", reading, "of what a plain read draws"),
            ("floor_seconds", "s", floor, "a barrier of all cores"),
        ):
            made.set(
                f"achieved.{name}.{field}",
                DraftFigure(value, unit, ASSUMED, "assumed", low, high, why),
            )


def _silicon(made: Draft, facts: HostFacts) -> None:
    if facts.cache_bytes is None:
        return
    made.set(
        "silicon.multiprocessors",
        DraftFigure(
            facts.threads,
            "count",
            DETECTED,
            "detected",
            note="physical cores that this process may use",
        ),
    )
    made.set(
        "silicon.l2",
        DraftFigure(facts.cache_bytes, "B", DETECTED, "detected", note="the last cache level"),
    )


def _cautions(facts: HostFacts, core: CpuCore) -> list[str]:
    cautions = [f"nothing here was measured: {MEASURE}, then --hardware-dir DIR"]
    if not core.known:
        cautions.append(
            f"this CPU is in no table of cores: rates are those of {core.name}, between "
            "the slowest and the fastest"
        )
    if facts.virtual:
        cautions.append(
            "a virtual machine: what it tells of its CPU and caches may be another's, and "
            "neighbours share the memory"
        )
    if facts.quota is not None:
        cautions.append(f"a container may use {facts.quota:g} CPUs at once, of {facts.cpus}")
    if facts.nodes > 1:
        cautions.append(f"{facts.nodes} NUMA nodes: engines that do not bind memory run slower")
    cautions += [f"{name}: {reason}" for name, reason in facts.reasons.items()]
    return [
        *cautions,
        *(gpu_caution(name, facts.memory_bytes) for name in dict.fromkeys(facts.gpus)),
    ]


MEASURE = "plan measure -o DIR makes it exact"


def gpu_caution(name: str, memory_bytes: int | None) -> str:
    """What to ask for where the machine has a GPU: ``host`` is its CPU."""
    known = gpu_id(name, memory_bytes)
    if known:
        return f"this machine has a GPU, {name}: plan MODEL {known} plans for it; host is the CPU"
    return (
        f"this machine has a GPU, {name}, that the catalogue does not have (plan list devices); "
        "host is the CPU"
    )


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
