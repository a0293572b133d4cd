"""What a system says of its CPU and memory, as a record; parsers of the texts that say it.

A profile that is being made: its figures by their place in the file, and the file's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from planner.base.records import record
from planner.hardware.profile import QuantityKind

KIB = 1024
_SIZE = re.compile(r"^(\d+)\s*([KMG]?)i?B?$", re.IGNORECASE)
_POWERS = {"": 1, "K": KIB, "M": KIB**2, "G": KIB**3}
_GHZ = re.compile(r"@\s*([0-9.]+)\s*GHz")
UNLIMITED = 1 << 60
"""Memory limits of cgroups from here on are none."""


@record
class HostFacts:
    """One machine as its operating system tells it. None: not told; ``reasons`` says why, by field.

    ``cpus`` may be used by this process (affinity), ``cores`` of them are physical, ``quota`` CPUs
    a container may use at once; ``threads`` is what engines are given. ``clock_hz`` is what the
    system states, ``boost_hz`` the highest; ``where`` says where each was read. ``cache_bytes`` is
    the last cache level in front of memory, of the cores that may be used.
    """

    system: str
    machine: str
    vendor: str
    name: str
    family: int | None
    model: str
    flags: frozenset[str]
    cpus: int
    cores: int
    sockets: int
    nodes: int
    quota: float | None
    virtual: bool
    clock_hz: float | None
    boost_hz: float | None
    cache_bytes: int | None
    memory_bytes: int | None
    memory_limit: int | None
    memory_available: int | None
    gpus: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """Threads that engines compute with: physical cores, at most the container's quota."""
        return max(1, min(self.cores, int(self.quota) if self.quota else self.cores))

    @property
    def capacity(self) -> int | None:
        """Bytes that a process can have: the memory, at most the container's limit."""
        known = [n for n in (self.memory_bytes, self.memory_limit) if n is not None]
        return min(known, default=None)


def processors(cpuinfo: str) -> list[dict[str, str]]:
    """The blocks of /proc/cpuinfo as tables of its words, keys in lower case."""
    blocks = []
    for block in cpuinfo.split("\n\n"):
        pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
        table = {key.strip().lower(): value.strip() for key, value in pairs}
        if "processor" in table:
            blocks.append(table)
    return blocks


def stated_clock(name: str) -> float | None:
    """Hertz that a processor's name states: ``… @ 2.60GHz``."""
    match = _GHZ.search(name)
    return float(match[1]) * 1e9 if match else None


def size_bytes(text: str) -> int | None:
    """``32768K`` → bytes."""
    match = _SIZE.match(text.strip())
    return int(match[1]) * _POWERS[match[2].upper()] if match else None


def meminfo_bytes(text: str, key: str) -> int | None:
    """A line of /proc/meminfo in bytes."""
    match = re.search(rf"^{key}:\s+(\d+)\s*kB", text, flags=re.MULTILINE)
    return int(match[1]) * KIB if match else None


def cpu_list(text: str) -> frozenset[int]:
    """``0-3,8`` → the numbers; what is no number is left out."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        low, _, high = part.partition("-")
        if low.isdigit() and (not high or high.isdigit()):
            cpus |= set(range(int(low), int(high or low) + 1))
    return frozenset(cpus)


def quota_v2(text: str) -> float | None:
    """CPUs of ``cpu.max``: ``200000 100000`` → 2.0; None where it says max."""
    words = text.split()
    if len(words) != 2 or not all(w.isdigit() for w in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def quota_v1(quota: str, period: str) -> float | None:
    """CPUs of ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``; a quota of −1 is none."""
    if not quota.strip().isdigit() or not period.strip().isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def limit_bytes(text: str) -> int | None:
    """A memory limit of a cgroup; ``max`` and absurdly much are none."""
    text = text.strip()
    return int(text) if text.isdigit() and int(text) < UNLIMITED else None


def smallest(values: Iterable[float | None]) -> float | None:
    """The smallest that is there."""
    return min((value for value in values if value is not None), default=None)


DETECTED, CORES, ASSUMED = "detected", "cores", "assumption"
"""Keys of the sources of a machine that was looked at."""
_DIGITS = 6


@record
class DraftFigure:
    """A number of a profile before it has a date: unit, key of its source, kind, range and note."""

    value: float
    unit: str
    source: str
    kind: QuantityKind
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass
class Draft:
    """A profile of this machine, to be changed until it is written.

    ``figures`` stand at their dotted keys (``memory.bandwidth``, ``rates.avx2.fp32.dense``),
    ``texts`` are words of the head, ``cautions`` and ``unsupported`` as in the file, ``sources``
    titles by key. ``passing`` are cautions that are no property of the machine (memory that is free
    now): the digest leaves them out.
    """

    texts: dict[str, str] = field(default_factory=dict)
    memory_type: str = "RAM"
    figures: dict[str, DraftFigure] = field(default_factory=dict)
    cautions: list[str] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)
    unsupported: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def text(self, date: str) -> str:
        """The TOML file, every figure dated ``date``."""
        head = [f"{key} = {quoted(value)}" for key, value in self.texts.items()]
        texts = [*self.cautions, *self.passing]
        head += ["cautions = [", *(f"    {quoted(caution)}," for caution in texts), "]"]
        tables: dict[str, list[str]] = {"memory": [f"type = {quoted(self.memory_type)}"]}
        for place, figure in self.figures.items():
            table, _, key = place.rpartition(".")
            tables.setdefault(table, []).append(f"{key} = {_inline(figure, date)}")
        if self.unsupported:
            tables["unsupported"] = [f"{k} = {quoted(v)}" for k, v in self.unsupported.items()]
        tables["sources"] = [
            f"{key} = {{ title = {quoted(title)}, date = {quoted(date)} }}"
            for key, title in self.sources.items()
        ]
        parts = ["\n".join(head)]
        parts += ["\n".join([f"[{name}]", *lines]) for name, lines in tables.items()]
        return "\n\n".join(parts) + "\n"

    def set(self, place: str, figure: DraftFigure) -> None:
        """Put a figure in place of the one that stands there, or behind the others."""
        self.figures[place] = figure


def _inline(figure: DraftFigure, date: str) -> str:
    pairs: Mapping[str, str | None] = {
        "value": _number(figure.value, figure.unit),
        "low": _maybe(figure.low, figure.unit),
        "high": _maybe(figure.high, figure.unit),
        "unit": quoted(figure.unit),
        "source": quoted(figure.source),
        "date": quoted(date),
        "kind": quoted(figure.kind),
        "note": quoted(figure.note) if figure.note else None,
    }
    return "{ " + ", ".join(f"{k} = {v}" for k, v in pairs.items() if v is not None) + " }"


def _maybe(value: float | None, unit: str) -> str | None:
    return None if value is None else _number(value, unit)


def _number(value: float, unit: str) -> str:
    """Bytes and counts as whole numbers, others with six significant digits."""
    if unit in ("B", "count"):
        return str(int(value))
    return repr(float(f"{value:.{_DIGITS}g}"))


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps("".join(c if c.isprintable() else " " for c in text), ensure_ascii=False)
