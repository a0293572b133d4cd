"""What an engine on a CPU spends between kernels, a layer: calls from Python, or barriers.

    h = n·c + s·c / L    n calls of one layer and s of a step of L layers, c seconds each (PyTorch)
      = b·t_e            b barriers, t_e the floor of an elementwise kernel (llama.cpp)

On a GPU the host runs ahead of the device and graphs are replayed; here both are the same cores.
Counts and costs are data/cpu_host.toml; c is the machine's own where it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from planner.hardware.profile import DeviceProfile
from planner.messages.message import Text, message
from planner.models.spec import ModelSpec
from planner.throughput.calibration import PRIOR, Certainty
from planner.throughput.torch_cpu import call_cost, cpu_host_rules


def cpu_host_seconds(
    spec: ModelSpec, device: DeviceProfile, engine: str, *, eager: bool = False
) -> float:
    """Seconds of an average layer of ``spec`` in one pass, where the engine compiles whole layers
    by default also ``eager``; 0 on accelerators and for engines that the data does not have."""
    if device.kind != "cpu":
        return 0.0
    entry = _entry(engine)
    if "barriers" in entry:
        return float(entry["barriers"] * device.achieved["elementwise"].floor_seconds.value)
    if not entry:
        return 0.0
    calls = calls_of_layer(spec, engine, eager=eager) + entry["step_calls"] / spec.layers
    return float(calls * call_cost(device).seconds)


def host_certainty(device: DeviceProfile, engine: str) -> Certainty:
    """How sure that time is: of calls from Python as sure as one of them."""
    entry = _entry(engine)
    if device.kind != "cpu" or not entry or "barriers" in entry:
        return PRIOR
    return call_cost(device).certainty


def host_source(
    device: DeviceProfile, spec: ModelSpec, engine: str, *, eager: bool = False
) -> Text:
    """How the time of ``engine`` was counted; empty for one that the data does not have."""
    entry = _entry(engine)
    if not entry:
        return ""
    if "barriers" in entry:
        return message(
            "assumptions.barriers_layer",
            count=entry["barriers"],
            kind=entry["kind"],
            source=entry["source"],
        )
    calls = calls_of_layer(spec, engine, eager=eager)
    cost = call_cost(device)
    return message(
        "assumptions.calls_layer_and_step",
        calls=f"{calls:.0f}",
        step_calls=entry["step_calls"],
        kind=entry["kind"],
        source=entry["source"],
        cost=message("structure.dated", text=cost.text, source=cost.source)
        if cost.source
        else cost.text,
    )


def _entry(engine: str) -> Mapping[str, Any]:
    return next((e for e in cpu_host_rules()["engine"] if e["name"] == engine), {})


@lru_cache(maxsize=64)
def calls_of_layer(spec: ModelSpec, engine: str, *, eager: bool = False) -> float:
    """Operators, views and allocations of an average layer: those of fused kernels, and what a norm
    and the rest of the layer take more in ``engine``, or in it ``eager``."""
    counts, entry = cpu_host_rules()["calls"], _entry(engine)
    if eager:
        entry = entry.get("eager", entry)
    experts, layers = spec.experts, spec.layers
    moe = len(experts.layers) / layers if experts is not None else 0.0
    latent = sum(len(a.layers) for a in spec.attention if a.kind == "mla") / layers
    calls = counts["attention"] + counts["reduce"] + counts["mlp"] * (1.0 - moe)
    calls += counts["experts"] * moe + counts["mla"] * latent
    norms = 2.0 + 2.0 * latent
    if experts is not None and experts.shared:
        calls += counts["shared"] * moe
    if any(row.kind == "norm" and "q_norm" in row.name for row in spec.rows):
        calls += counts["head_norms"]
        norms += 2.0
    more = entry.get("more", 0.0) + norms * (entry.get("norm", 1.0) - 1.0)
    return float(calls + more)
