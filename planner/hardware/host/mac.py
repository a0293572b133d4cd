"""A Mac's facts, as far as sysctl tells them."""

from __future__ import annotations

import ctypes
from typing import Any

from planner.hardware.host.facts import HostFacts, stated_clock

_FLAGS = {
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.neon": "asimd",
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
}


class _Sysctl:
    """Values by name, None where the system has none of that name."""

    def __init__(self) -> None:
        self._call: Any = ctypes.CDLL(None).sysctlbyname

    def raw(self, name: str) -> bytes | None:
        """The value as bytes."""
        size = ctypes.c_size_t(0)
        if self._call(name.encode(), None, ctypes.byref(size), None, ctypes.c_size_t(0)):
            return None
        out = ctypes.create_string_buffer(size.value)
        if self._call(name.encode(), out, ctypes.byref(size), None, ctypes.c_size_t(0)):
            return None
        return out.raw[: size.value]

    def number(self, name: str) -> int | None:
        """A whole number of four or eight bytes."""
        raw_value = self.raw(name)
        return (
            int.from_bytes(raw_value, "little") if raw_value and len(raw_value) in (4, 8) else None
        )

    def text(self, name: str) -> str:
        """A text, empty where there is none."""
        return (self.raw(name) or b"").rstrip(b"\0").decode("utf-8", "replace")


def mac_facts(machine: str, sysctl: _Sysctl | None = None) -> HostFacts:
    """What sysctl says. Cores are the fast ones where a chip has two kinds: the slow ones would
    hold up a step."""
    ask = sysctl if sysctl is not None else _Sysctl()
    name = ask.text("machdep.cpu.brand_string") or machine
    cpus = ask.number("hw.logicalcpu") or 1
    fast = ask.number("hw.perflevel0.physicalcpu")
    cores = fast or ask.number("hw.physicalcpu") or cpus
    boost = ask.number("hw.cpufrequency_max")
    reasons = {} if boost or stated_clock(name) else {"clock": "sysctl states no clock on this Mac"}
    cache = (
        ask.number("hw.perflevel0.l2cachesize")
        or ask.number("hw.l3cachesize")
        or ask.number("hw.l2cachesize")
    )
    reasons["available memory"] = "not asked for on a Mac"
    return HostFacts(
        system="Darwin",
        machine=machine,
        vendor="Apple" if name.startswith("Apple") else ask.text("machdep.cpu.vendor"),
        name=name,
        family=ask.number("machdep.cpu.family"),
        model=str(ask.number("machdep.cpu.model") or ""),
        flags=frozenset(flag for key, flag in _FLAGS.items() if ask.number(key)),
        cpus=cpus,
        cores=cores,
        sockets=ask.number("hw.packages") or 1,
        nodes=1,
        quota=None,
        virtual=bool(ask.number("kern.hv_vmm_present")),
        clock_hz=stated_clock(name),
        boost_hz=float(boost) if boost else None,
        cache_bytes=cache,
        memory_bytes=ask.number("hw.memsize"),
        memory_limit=None,
        memory_available=None,
        where={"clock": "sysctl"},
        reasons=reasons,
    )
