"""ggml's kernels as a machine's own rows say: fitted sets in the place of counted figures.

A type with rows has a set of its own, in seconds: a product by vector kernels and by tiles,
unpacking, a byte from memory, a node of the graph, quantising. The set ``any`` holds for the
others: what the measured types take in the mean of what was counted for them.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import record
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.messages.message import message
from planner.throughput.calibration import Certainty

OPERATOR, STACK, ANY_TYPE = "ggml", "llama.cpp", "any"
OF_A_TYPE = ("vector", "tile", "unpack", "memory", "launch", "quantise")
"""Fields of a kernel that its set holds, each as NAME_seconds."""
OF_ANY = ("one", "many", "memory", "launch", "quantise")
"""Of the set ``any``: factors of the times of vector kernels and of tiles, and seconds."""


@record
class GgmlKernel:
    """How one type runs on one device, in seconds.

    ``vector``, ``tile`` and ``unpack`` as in the equation of ``planner/throughput/ggml.py``; up to
    ``vector_rows`` tokens the vector kernels run; tiles take at least ``least_rows``, in steps of
    ``step`` (0 on CPUs), and unpack every ``tile_rows``. ``quantise`` is of one activation, of
    ``least_quantised`` rows at least; ``quantise_launch`` of its kernel. ``memory`` is of a byte,
    ``launch`` of a product's kernel. ``expert_tile`` says how wide the tiles of experts are
    (planner/throughput/ggml.py: EVERY_ROW and others).
    """

    vector: float
    vector_rows: float
    tile: float
    least_rows: float
    step: float
    unpack: float
    tile_rows: float
    quantise: float
    least_quantised: float
    quantise_launch: float
    memory: float
    launch: float
    activation_bytes: float
    expert_tile: float


def measured_set(device: DeviceProfile, scheme_id: str) -> FittedSet | None:
    """The set that holds for a type on ``device``: its own, that of all types, or None."""
    return device.fitted.get(
        (OPERATOR, STACK, scheme_id), device.fitted.get((OPERATOR, STACK, ANY_TYPE))
    )


def corrected_kernel(
    device: DeviceProfile, scheme_id: str, counted: GgmlKernel, *, apart: bool
) -> GgmlKernel:
    """``counted`` with what was measured on ``device``; ``apart``: experts whose tokens run one by
    one, whatever their number."""
    fitted = measured_set(device, scheme_id)
    if fitted is None:
        return counted
    p = fitted.parameters
    if fitted.variant == ANY_TYPE:
        return replace(
            counted,
            vector=counted.vector * p["one_factor"],
            tile=counted.tile * p["one_factor" if apart else "many_factor"],
            unpack=counted.unpack * p["many_factor"],
            memory=p["memory_seconds"],
            launch=p["launch_seconds"],
            quantise=counted.quantise * p["quantise_factor"],
        )
    made = replace(counted, **{name: p[f"{name}_seconds"] for name in OF_A_TYPE})
    return replace(made, tile=made.vector) if apart else made


def certainty_of(device: DeviceProfile, scheme_id: str, counted: Certainty) -> Certainty:
    """How sure a type's time is; ``counted`` where nothing was measured on ``device``."""
    fitted = measured_set(device, scheme_id)
    if fitted is None:
        return counted
    origin = message("assumptions.ggml_kernels_measured", version=fitted.software, device=device.id)
    if fitted.variant == ANY_TYPE:
        return Certainty(
            "transferred",
            fitted.error.sigma,
            message("assumptions.counted_in_ratio_of", origin=origin),
        )
    return Certainty("fitted", fitted.error.sigma, origin)
