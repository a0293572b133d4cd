"""What an engine really runs for a scheme on a device, and what that means for its price.

A scheme is one thing that a checkpoint says; which kernel multiplies it is the engine's choice by
compute capability and checkpoint format (:mod:`planner.throughput.engine_kernels`). Where weights
are widened although quantised activations are asked for, the time is that of the weight-only
kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.records import record
from planner.formats.schemes import SCHEMES
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Note, message
from planner.throughput.engine_kernels import KernelChoice, Module, chosen_kernel
from planner.throughput.kernels import WEIGHT_ONLY_OF, refusal

EXPERTS = "experts"
_FP8_FROM = (8, 9)
"""Below it a weight-only FP8 scheme is what a block checkpoint becomes, not one of its own."""
_SAME_VALUES = ("fp8-block-ue8m0",)
"""Schemes whose stored values the twin's scales hold, though its scales are wider."""


@record
class Route:
    """Modules of ``group`` in the scheme ``asked`` run on the kernel of the scheme ``runs_as``, by
    ``choice`` of the engine."""

    group: str
    asked: str
    runs_as: str
    choice: KernelChoice


def scheme_choice(
    engine: Engine, device: DeviceProfile, scheme: str, group: str, container: str
) -> KernelChoice | None:
    """What ``engine`` runs ``scheme`` on for modules of ``group`` (dense, experts) in a checkpoint
    of the format ``container``; None where no source says, or for another group."""
    if group not in ("dense", EXPERTS):
        return None
    module: Module = "moe" if group == EXPERTS else "dense"
    here = device.compute_capability
    if (
        scheme == "fp8-w8a16"
        and here is not None
        and tuple(int(part) for part in here.split(".")) < _FP8_FROM
    ):
        scheme = "fp8-block"
    return chosen_kernel(engine.name, engine.version, here, module, scheme, case=container)


def cache_choice(
    engine: Engine, device: DeviceProfile, layout: str, case: str
) -> KernelChoice | None:
    """What ``engine`` attends over a cache in ``layout`` with; ``case`` as in
    :func:`planner.throughput.engine_kernels.chosen_kernel`. FP32 caches were not asked for there:
    what takes no 16-bit cache takes no wider one."""
    read_layout = "bf16" if layout == "fp32" else layout
    choice = chosen_kernel(
        engine.name, engine.version, device.compute_capability, "attention", read_layout, case=case
    )
    return (
        None
        if read_layout != layout and choice is not None and choice.path != "refused"
        else choice
    )


def route(
    engine: Engine | None, device: DeviceProfile, scheme: str, group: str, container: str
) -> Route | None:
    """The kernel of another scheme that ``scheme`` runs on; None where it runs on its own."""
    if engine is None or scheme not in WEIGHT_ONLY_OF:
        return None
    choice = scheme_choice(engine, device, scheme, group, container)
    twin = WEIGHT_ONLY_OF[scheme]
    if choice is None or choice.path != "weight-only" or refusal(device, SCHEMES[twin]):
        return None
    return Route(group, scheme, twin, choice)


def same_weights(scheme: str) -> bool:
    """Whether the weight-only twin of ``scheme`` multiplies the very values that it stores."""
    twin = WEIGHT_ONLY_OF.get(scheme, "")
    return twin != "" and (scheme in _SAME_VALUES or SCHEMES[twin].weight == SCHEMES[scheme].weight)


def weight_only_route(
    engine: Engine | None,
    device: DeviceProfile,
    scheme: str,
    groups: Sequence[str],
    *,
    released: bool = False,
) -> Route | None:
    """The route of a scheme that ``device`` has no unit for, where ``engine`` serves it weight-only
    in every one of ``groups`` with the very weights, which those of a ``released`` checkpoint are;
    None elsewhere."""
    if not refusal(device, SCHEMES[scheme]) or not (released or same_weights(scheme)):
        return None
    routes = [route(engine, device, scheme, group, "") for group in groups]
    known = [known_route for known_route in routes if known_route is not None]
    return known[0] if known and len(known) == len(routes) else None


def route_words(
    engine: Engine,
    device: DeviceProfile,
    route: Route,
    group: str,
) -> Note:
    """(key, value, reason) of a note on ``route``."""
    choice = route.choice
    return Note(
        f"kernel of {route.asked} {group}",
        message(
            "assumptions.by_on_weight_only_priced",
            kernel=choice.kernel,
            label=engine.label,
            d=device.id,
            runs_as=route.runs_as,
        ),
        message(
            "assumptions.read_in",
            reason=choice.reason,
            e=engine.name,
            read_in=choice.read_in,
            source=choice.source,
        ),
    )
