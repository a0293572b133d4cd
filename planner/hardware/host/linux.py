"""A Linux machine's facts, from /proc and /sys and what limits a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from planner.hardware.host.facts import (
    HostFacts,
    cpu_list,
    limit_bytes,
    meminfo_bytes,
    processors,
    quota_v1,
    quota_v2,
    size_bytes,
    smallest,
    stated_clock,
)

ARM_VENDORS = {"0x41": "ARM", "0x61": "Apple"}
NO_CLOCK = "no clock in /sys/devices/system/cpu/cpu0/cpufreq nor in /proc/cpuinfo"


def linux_facts(machine: str, affinity: frozenset[int], root: Path = Path("/")) -> HostFacts:
    """What the files below ``root`` say of the CPUs ``affinity`` of a ``machine`` (x86_64 …)."""
    blocks = processors(_read(root / "proc/cpuinfo"))
    mine = [b for b in blocks if b["processor"].isdigit() and int(b["processor"]) in affinity]
    first = (mine or blocks or [{}])[0]
    cpus = affinity or frozenset(int(b["processor"]) for b in blocks)
    sysfs = root / "sys/devices/system/cpu"
    reasons: dict[str, str] = {}
    clock, boost, where = _clock(sysfs, cpus, first)
    if clock is None:
        reasons["clock"] = NO_CLOCK
    cache = _last_cache(sysfs, cpus)
    if cache is None:
        reasons["cache"] = "no caches in /sys/devices/system/cpu/cpu0/cache"
    memory = _read(root / "proc/meminfo")
    arm = first.get("cpu implementer", "")
    flags = first.get("flags") or first.get("features") or ""
    return HostFacts(
        system="Linux",
        machine=machine,
        vendor=ARM_VENDORS.get(arm, arm) if arm else first.get("vendor_id", ""),
        name=first.get("model name") or _board(root) or first.get("hardware", "") or machine,
        family=_parse_int(first.get("cpu family", "")),
        model=first.get("cpu part") or first.get("model", ""),
        flags=frozenset(flags.split()),
        cpus=len(cpus) or 1,
        cores=_cores(sysfs, cpus),
        sockets=_sockets(sysfs, cpus),
        nodes=_nodes(root, cpus),
        quota=smallest(_quotas(root)),
        virtual="hypervisor" in flags.split(),
        clock_hz=clock,
        boost_hz=boost,
        cache_bytes=cache,
        memory_bytes=meminfo_bytes(memory, "MemTotal"),
        memory_limit=_bytes(smallest(_limits(root))),
        memory_available=meminfo_bytes(memory, "MemAvailable"),
        gpus=_gpus(root),
        where={"clock": where},
        reasons=reasons,
    )


def _clock(
    sysfs: Path, cpus: frozenset[int], block: dict[str, str]
) -> tuple[float | None, float | None, str]:
    """(clock that is stated, highest clock, where it was read)."""
    name = f"cpu{min(cpus, default=0)}"
    boost = _kilohertz(sysfs / name / "cpufreq/cpuinfo_max_freq")
    base = _kilohertz(sysfs / name / "cpufreq/base_frequency")
    if boost is not None:
        return base, boost, "/sys/devices/system/cpu/cpu0/cpufreq"
    stated = stated_clock(block.get("model name", ""))
    if stated is not None:
        return stated, None, "the processor's name"
    try:
        return float(block["cpu mhz"]) * 1e6, None, "cpu MHz of /proc/cpuinfo"
    except (KeyError, ValueError):
        return None, None, ""


def _kilohertz(path: Path) -> float | None:
    text = _read(path).strip()
    return int(text) * 1e3 if text.isdigit() and int(text) else None


def _cores(sysfs: Path, cpus: frozenset[int]) -> int:
    """Physical cores: hardware threads of one are counted once."""
    sibling_lists = {
        _read(sysfs / f"cpu{n}/topology/thread_siblings_list").strip() or str(n) for n in cpus
    }
    return max(1, len(sibling_lists))


def _sockets(sysfs: Path, cpus: frozenset[int]) -> int:
    package_ids = {_read(sysfs / f"cpu{n}/topology/physical_package_id").strip() for n in cpus}
    return max(1, len(package_ids - {"", "-1"}))


def _nodes(root: Path, cpus: frozenset[int]) -> int:
    """NUMA nodes that the CPUs are on."""
    places = (root / "sys/devices/system/node").glob("node[0-9]*")
    return max(1, sum(1 for p in places if cpu_list(_read(p / "cpulist")) & cpus))


def _last_cache(sysfs: Path, cpus: frozenset[int]) -> int | None:
    """Bytes of the last cache level of the CPUs, each cache once."""
    levels: dict[int, dict[str, int]] = {}
    for number in cpus:
        for index in (sysfs / f"cpu{number}/cache").glob("index[0-9]*"):
            level, size = _parse_int(_read(index / "level")), size_bytes(_read(index / "size"))
            if level and size and _read(index / "type").strip() != "Instruction":
                shared = _read(index / "shared_cpu_list").strip() or str(number)
                levels.setdefault(level, {})[shared] = size
    return sum(levels[max(levels)].values()) if levels else None


def _quotas(root: Path) -> Iterator[float | None]:
    """Limits on CPUs of the process's cgroup and those above it."""
    for folder in _groups(root, "cpu"):
        yield quota_v2(_read(folder / "cpu.max"))
        yield quota_v1(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _limits(root: Path) -> Iterator[float | None]:
    """Limits on memory of the process's cgroup and those above it."""
    for folder in _groups(root, "memory"):
        yield limit_bytes(_read(folder / "memory.max"))
        yield limit_bytes(_read(folder / "memory.limit_in_bytes"))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the process's cgroup, from its own to the mount, of both versions."""
    base = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3 or (parts[1] and controller not in parts[1].split(",")):
            continue
        mount = base / controller if parts[1] and (base / controller).is_dir() else base
        here = mount / parts[2].lstrip("/")
        for folder in (here, *here.parents):
            yield folder
            if folder == mount:
                break


def _gpus(root: Path) -> tuple[str, ...]:
    """NVIDIA GPUs by the names that the driver's files give, and Jetson boards."""
    gpus = []
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        for line in _read(path).splitlines():
            if line.startswith("Model:"):
                gpus.append(line.partition(":")[2].strip())
    board = _board(root)
    return tuple(gpus) or ((board,) if "NVIDIA" in board else ())


def _board(root: Path) -> str:
    """The board's name where a device tree has one."""
    return _read(root / "proc/device-tree/model").strip("\0\n ")


def _parse_int(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _bytes(value: float | None) -> int | None:
    return None if value is None else int(value)


def _read(path: Path) -> str:
    """The text of a small file, empty where it cannot be read."""
    try:
        if not os.path.isfile(path):
            return ""
        with open(path, "rb") as file:
            return file.read(1 << 22).decode("utf-8", "replace")
    except OSError:
        return ""
