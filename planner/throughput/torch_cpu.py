"""PyTorch on a CPU: what a call from Python takes, and FP8 products, which it emulates there.

torch._scaled_mm without a CPU kernel for FP8 widens and scales both matrices to FP32 in every call,
then multiplies in FP32: a weight costs the same for one token and for a prompt. Counts, costs and
sources are data/cpu_host.toml; a machine's own figures are the fitted sets ``torch-calls`` and
``torch-scaled-mm`` (:mod:`planner.lab.calibration.torch_cpu`).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Message, message
from planner.throughput.calibration import Certainty
from planner.throughput.kernels import Kernel
from planner.throughput.roofline import Parts, select_parts

Array = NDArray[np.float64]
_FILE = Path(__file__).resolve().parent / "data" / "cpu_host.toml"
STACK = "torch"
CALLS, SCALED_MM = "torch-calls", "torch-scaled-mm"
"""Operators of the fitted sets; variants ``eager`` and ``fp8``."""
CALL_SECONDS, WEIGHT_SECONDS = "call_seconds", "weight_seconds"
Z80 = 1.2815515655446004


@record
class TorchCost:
    """Seconds of a call, or of a weight on all cores, how sure, in words, and where it is from
    (empty where it was measured)."""

    seconds: float
    certainty: Certainty
    text: Message
    source: str = ""


def call_cost(device: DeviceProfile) -> TorchCost:
    """A call from Python of an operator on a small tensor, modules around it counted in [s]."""
    return _cost(device, (CALLS, STACK, "eager"), CALL_SECONDS, "call_us", 1e-6)


def emulated(engine: str, device: DeviceProfile, scheme: str) -> TorchCost | None:
    """A weight of a product in ``scheme`` where ``engine`` multiplies by an emulated
    torch._scaled_mm on ``device`` [s, all cores together]; None elsewhere."""
    rule = cpu_host_rules()["scaled_mm"]
    if (
        device.kind != "cpu"
        or engine not in rule["engines"]
        or scheme not in rule["schemes"]
        or device.rate("fp8") is not None
    ):
        return None
    cores = device.silicon.multiprocessors.value if device.silicon is not None else 1.0
    return _cost(
        device,
        (SCALED_MM, STACK, "fp8"),
        WEIGHT_SECONDS,
        "weight_ns",
        1e-9 / cores,
        cores=f"{cores:g}",
    )


def emulated_kernels(
    kernels: Sequence[Kernel], costs: Sequence[TorchCost | None], device: DeviceProfile
) -> list[Kernel]:
    """``kernels`` with the weights' own time, and products in FP32 where the device states its
    rate, where there is a cost."""
    rate, reached = device.rate("fp32"), device.achieved.get("fp32")
    with_emulation = []
    for kernel, cost in zip(kernels, costs, strict=True):
        made = (
            kernel
            if cost is None
            else replace(kernel, conversion_elements_per_s=1.0 / cost.seconds)
        )
        if cost is not None and rate is not None and reached is not None:
            made = replace(
                made,
                unit=rate.unit,
                peak_flop_per_s=rate.dense.value,
                compute_fraction=reached.compute_fraction.value,
            )
        with_emulation.append(made)
    return with_emulation


def widening_then_product(parts: Parts, places: NDArray[np.bool_]) -> Parts:
    """``parts`` [C, S] where widening and product of the schemes at ``places`` [S] follow each
    other: what takes the time of neither is added."""
    if not places.any():
        return parts
    busy = parts.conversion + np.maximum(parts.compute, parts.memory)
    alone = replace(parts, busy=busy, overlap=np.zeros(np.shape(parts.overlap), dtype=np.bool_))
    return select_parts(places, alone, parts)


def _cost(
    device: DeviceProfile,
    key: tuple[str, str, str],
    name: str,
    prior: str,
    scale: float,
    cores: str = "",
) -> TorchCost:
    """The measured figure of ``device``, else the assumption of the data, in units of ``scale``
    seconds: of a call, or of a weight on ``cores``."""
    fitted = device.fitted.get(key)
    if fitted is not None:
        value = fitted.parameters[name]
        return TorchCost(
            value,
            Certainty(
                "fitted",
                fitted.error.sigma,
                message("assumptions.torch_measured", version=fitted.software, device=device.id),
            ),
            message(
                "assumptions.weight_measured",
                value=f"{value / scale:.3g}",
                cores=cores,
                version=fitted.software,
            )
            if cores
            else message(
                "assumptions.call_measured", value=f"{value / scale:.3g}", version=fitted.software
            ),
        )
    entry: Mapping[str, Any] = cpu_host_rules()[prior]
    sigma = math.log(entry["high"] / entry["low"]) / (2 * Z80)
    typical, low, high = (f"{entry[end]:g}" for end in ("value", "low", "high"))
    return TorchCost(
        entry["value"] * scale,
        Certainty("prior", sigma, str(entry["what"])),
        message("assumptions.weight_prior", value=typical, cores=cores, low=low, high=high)
        if cores
        else message("assumptions.call_prior", value=typical, low=low, high=high),
        entry["source"],
    )


@cache
def cpu_host_rules() -> Mapping[str, Any]:
    """data/cpu_host.toml."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
