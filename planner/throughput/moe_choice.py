"""Which measured set prices a scheme's experts for a stack: its own kernel, else the surest loan.

What an engine's selector picks for a layout (:mod:`planner.throughput.engine_kernels`) is mapped to
the kernel that tables measure (data/moe.toml). A device that has a set of that kernel takes it, or
that of a relative of one family of architectures; else one of the stack's own kernels that is named
to stand for it. Elsewhere every set that resembles it competes: the kernel of another relative, the
stack's other kernels, those of lending stacks; the least error wins, of the set, of its transfer
and of the loan together.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.base.versions import Version, version_in
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.throughput.calibration import STACK_OF_ENGINE, Calibration, fitted_set, kernel_family
from planner.throughput.engine_kernels import LAYOUTS, chosen_kernel
from planner.throughput.forms.moe import OPERATOR
from planner.throughput.proxy_expert_kernels import ANY, ProxyExpertKernel, proxy_expert_kernel

Array = NDArray[np.float64]
_DATA = Path(__file__).resolve().parent / "data"
_NEWEST = Version("1000000")
"""Of an engine without a version: newer than all."""
SHARDED = LAYOUTS[0]
"""The layout without expert or data parallelism."""


def layout_codes(tp: Array | int, dp: Array | int, ep: Array | int) -> NDArray[np.int64]:
    """Place of layouts in :data:`planner.throughput.engine_kernels.LAYOUTS`, of those that need no
    exchange of their own; ``tp``, ``dp`` and ``ep`` broadcast."""
    sharded, replicated, data, spread, both = (
        LAYOUTS.index(name) for name in ("tp", "ep", "dp", "dp-ep", "tp-dp-ep")
    )
    across = np.where(np.asarray(tp) > 1, both, spread)
    many, experts = np.asarray(dp) > 1, np.asarray(ep) > 1
    return np.asarray(
        np.where(many, np.where(experts, across, data), np.where(experts, replicated, sharded)),
        dtype=np.int64,
    )


@record
class ExpertServer:
    """Who runs the experts: ``stacks`` in order, the ``engine`` that the first belongs to and its
    ``version`` (both empty for any engine); ``static_scales`` as in the GEMM; ``container``: the
    checkpoint format where it is known."""

    stacks: tuple[str, ...]
    engine: str = ""
    version: str = ""
    static_scales: bool = False
    container: str = ""


@record
class PickedKernel:
    """A kernel by its short id, ``near`` those that resemble it; ``unmeasured``: no table has it.
    ``name`` is the engine's own."""

    kernel: str
    near: tuple[str, ...] = ()
    unmeasured: bool = False
    name: str = ""


@record
class ExpertSource:
    """A measured set: ``lent`` is None where it is the stack's own kernel; ``sigma`` log-space."""

    calibration: Calibration
    lent: ProxyExpertKernel | None
    sigma: float
    wanted: str


def expert_source(
    device: DeviceProfile,
    scheme: str,
    server: ExpertServer,
    layout: str = SHARDED,
    *,
    requested: str = "",
) -> ExpertSource | None:
    """The set that prices ``scheme``, a measured one, for the first of the server's stacks.

    ``requested`` is the scheme that the engine is asked for, where another stands for it.
    """
    if not server.stacks:
        return None
    if len(server.stacks) > 1:
        calibration = fitted_set(
            device,
            OPERATOR,
            server.stacks,
            [
                f"{kernel}:{scheme}"
                for stack in server.stacks
                for kernel in measured_kernels_of(stack, scheme)
            ],
        )
        return (
            None if calibration is None else ExpertSource(calibration, None, calibration.sigma, "")
        )
    stack = server.stacks[0]
    pick = picked_kernel(device, requested or scheme, server, layout)
    if pick is not None and not pick.unmeasured:
        own = _own(device, stack, [pick.kernel], scheme)
        if own is not None:
            return own
    own = _own(
        device, stack, measured_kernels_of(stack, scheme) if pick is None else pick.near, scheme
    )
    if own is None:
        return lowest_error_kernel(device, scheme, stack, pick)
    if pick is None:
        return own
    kernel = own.calibration.fit.variant.partition(":")[0]
    lent = proxy_expert_kernel(
        scheme, f"{stack}/{pick.kernel}", f"{stack}/{kernel}", device.architecture
    )
    return ExpertSource(own.calibration, lent, _sigma(own.calibration, lent), pick.name)


def lowest_error_kernel(
    device: DeviceProfile,
    scheme: str,
    stack: str,
    pick: PickedKernel | None,
) -> ExpertSource | None:
    """The set of least error among all that resemble ``pick`` (None: the stack's usual kernel of
    the scheme)."""
    wanted = pick.kernel if pick is not None else _wanted(device, scheme, stack)
    best: ExpertSource | None = None
    for lender, kernel in _resembling(stack, scheme, pick):
        calibration = fitted_set(device, OPERATOR, [lender], [f"{kernel}:{scheme}"])
        if calibration is None:
            continue
        lent = (
            None
            if (lender, kernel) == (stack, wanted)
            else proxy_expert_kernel(
                scheme, f"{stack}/{wanted}", f"{lender}/{kernel}", device.architecture
            )
        )
        sigma = _sigma(calibration, lent)
        if best is None or sigma < best.sigma:
            shown = pick.name if pick is not None and pick.name else wanted
            best = ExpertSource(
                calibration, lent, sigma, "" if lent is None or wanted == ANY else shown
            )
    return best


def _sigma(calibration: Calibration, lent: ProxyExpertKernel | None) -> float:
    """Of a set in use: its own error, or a loan's, which holds that, and what its transfer adds."""
    if lent is None:
        return calibration.sigma
    return math.sqrt(
        lent.sigma**2 + max(calibration.sigma**2 - calibration.fit.error.sigma**2, 0.0)
    )


def _wanted(device: DeviceProfile, scheme: str, stack: str) -> str:
    """The first of the stack's usual kernels that the device or a relative has a set of."""
    names = measured_kernels_of(stack, scheme)
    calibration = fitted_set(device, OPERATOR, [stack], [f"{name}:{scheme}" for name in names])
    if calibration is not None:
        return calibration.fit.variant.partition(":")[0]
    return names[0] if names else ANY


def _own(
    device: DeviceProfile,
    stack: str,
    kernels: Sequence[str],
    scheme: str,
) -> ExpertSource | None:
    """The first of the stack's kernels that the device itself was measured with, else that a
    relative was that runs the same ones."""
    keys = [(OPERATOR, stack, f"{kernel}:{scheme}") for kernel in kernels]
    mine = next((key for key in keys if key in device.fitted), None)
    if mine is None:  # a relative's profile is read here and not before
        mine = next(
            (
                key
                for key in keys
                if key in device.inherited
                and kernel_family(device.inherited[key][1]) == kernel_family(device.architecture)
            ),
            None,
        )
    calibration = fitted_set(device, OPERATOR, [stack], [mine[2]]) if mine is not None else None
    return None if calibration is None else ExpertSource(calibration, None, calibration.sigma, "")


def _resembling(stack: str, scheme: str, pick: PickedKernel | None) -> Iterator[tuple[str, str]]:
    if pick is not None:
        yield stack, pick.kernel
        for near in pick.near:
            yield stack, near
    for name in measured_kernels_of(stack, scheme):
        yield stack, name
    for lender in moe_rules()["lenders"].get(stack, ()):
        for name in measured_kernels_of(lender, scheme):
            yield lender, name


def measured_kernels_of(stack: str, scheme: str) -> tuple[str, ...]:
    """The stack's measured kernels of ``scheme``, the usual one first."""
    return tuple(moe_rules()["kernels"].get(stack, {}).get(scheme, ()))


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def picked_kernel(
    device: DeviceProfile, scheme: str, server: ExpertServer, layout: str
) -> PickedKernel | None:
    """The kernel that the engine's selector picks, None where no source says or where it does not
    multiply the scheme as it stands (then the weight-only scheme asks for itself)."""
    if STACK_OF_ENGINE.get(server.engine) != server.stacks[0]:
        return None
    usually: Mapping[str, str] = moe_rules()["case_static" if server.static_scales else "case"]
    cases = [server.container] if server.container else []
    # A format that no row names says nothing: the scheme then comes in its usual one.
    choice = next(
        (
            kernel_choice
            for case in (*cases, usually.get(scheme, ""))
            if (
                kernel_choice := chosen_kernel(
                    server.engine,
                    version_in(server.version) or _NEWEST,
                    device.compute_capability,
                    "moe",
                    scheme,
                    layout=layout,
                    case=case,
                )
            )
            is not None
        ),
        None,
    )
    if (
        choice is None
        or choice.path in ("refused", "unknown")
        or choice.path != scheme_by_id(scheme).path
    ):
        return None
    for rule in moe_rules()["picked"]:
        if _pattern(rule["name"]).fullmatch(choice.kernel):
            return PickedKernel(
                rule["kernel"],
                tuple(rule.get("near", ())),
                bool(rule.get("unmeasured", False)),
                choice.kernel,
            )
    return None


@cache
def moe_rules() -> Mapping[str, Any]:
    """data/moe.toml."""
    return tomllib.loads((_DATA / "moe.toml").read_text(encoding="utf-8"))
