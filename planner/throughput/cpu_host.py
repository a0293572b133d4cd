"""What an engine on a CPU spends between kernels, a layer: calls from Python, or barriers.

    h = n·c              n calls of one layer, c seconds each (PyTorch)
      = b·t_e            b barriers, t_e the floor of an elementwise kernel (llama.cpp)

On a GPU the host runs ahead of the device and graphs are replayed; here both are the same cores.
Counts and costs are data/cpu_host.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec

_FILE = Path(__file__).resolve().parent / "data" / "cpu_host.toml"


def cpu_host_seconds(spec: ModelSpec, device: DeviceProfile, engine: str) -> float:
    """Seconds of an average layer of ``spec`` in one pass; 0 on accelerators and for engines that
    the data does not have."""
    if device.kind != "cpu":
        return 0.0
    entry = _entry(engine)
    if "barriers" in entry:
        return float(entry["barriers"] * device.achieved["elementwise"].floor_seconds.value)
    return calls_of_layer(spec) * float(entry.get("call_us", 0.0)) * 1e-6


def host_source(engine: str) -> str:
    """How the time of ``engine`` was counted; empty for one that the data does not have."""
    entry = _entry(engine)
    if not entry:
        return ""
    what = f"{entry['barriers']} barriers a layer" if "barriers" in entry \
        else f"{entry['call_us']:g} µs a call"
    return f"{what}, {entry['kind']} ({entry['source']})"


def _entry(engine: str) -> Mapping[str, Any]:
    return next((e for e in _rules()["engine"] if e["name"] == engine), {})


@cache
def calls_of_layer(spec: ModelSpec) -> float:
    """Operators, views and allocations of an average layer."""
    counts = _rules()["calls"]
    experts, layers = spec.experts, spec.layers
    moe = len(experts.layers) / layers if experts is not None else 0.0
    found = counts["attention"] + counts["reduce"] + counts["mlp"] * (1.0 - moe)
    found += counts["experts"] * moe
    if experts is not None and experts.shared:
        found += counts["shared"] * moe
    if any(row.kind == "norm" and "q_norm" in row.name for row in spec.rows):
        found += counts["head_norms"]
    latent = sum(len(a.layers) for a in spec.attention if a.kind == "mla")
    return float(found + counts["mla"] * latent / layers)


@cache
def _rules() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
