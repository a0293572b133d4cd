"""An H100, its operators and two models, for terms by hand."""

from collections.abc import Sequence

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.placement.modules import Module, modules
from planner.throughput.collectives import Fabric
from planner.throughput.linear import Machine, kernel_arrays
from planner.throughput.points import Points, points

DEVICE = resolve_device("h100-sxm")
NET = Fabric(
    domain=8,
    domain_bytes_per_s=400e9,
    domain_floor_seconds=3e-6,
    network_bytes_per_s=50e9,
    network_floor_seconds=16e-6,
    fraction=0.5,
)

BYTES = DEVICE.bandwidth_bytes_per_s.value
LLAMA, MIXTRAL = resolve_model("llama-3.1-8b"), resolve_model("mixtral-8x7b")


def rate(name: str) -> float:
    found = DEVICE.rate(name)
    assert found is not None
    return found.dense.value


def machine(schemes: Sequence[str] = ("bf16",)) -> Machine:
    """Nothing is measured: achieved fractions and the links count."""
    return Machine(
        BYTES,
        kernel_arrays(DEVICE, schemes, experts=False),
        kernel_arrays(DEVICE, schemes, experts=True),
        NET,
    )


def one(slot: int = 4, **layout: int) -> Points:
    return points([Layout(**layout)], [(0, slot)])


def module(spec: ModelSpec, kind: str) -> Module:
    return next(m for m in modules(spec) if m.kind == kind)
