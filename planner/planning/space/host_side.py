"""The CPU beside a device as the operators see it, and what may live in its memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.planning.question.question import Question
from planner.records import record
from planner.remembered import by_identity
from planner.throughput.calibration import PRIOR
from planner.throughput.collectives import fabric
from planner.throughput.kernels import refusal
from planner.throughput.linear import Machine, kernel_arrays

PLAIN = "bf16"
"""Stands in the arrays for what the host cannot multiply, which is not legal there."""


@record
class HostSide:
    """``machine`` is one socket, None where nothing is computed there; ``legal`` bool [scheme] of
    the question's schemes: what may live in its memory."""

    machine: Machine | None
    legal: NDArray[np.bool_]


def host_side(question: Question, server: str) -> HostSide | None:
    """The host of ``question`` as ``server`` runs on it; None without one.

    Raises:
        UnsupportedError: the CPU multiplies no BF16.
    """
    offload = question.offload
    if offload is None:
        return None
    served = np.array(
        [not offload.schemes or s in offload.schemes for s in question.schemes], dtype=bool
    )
    if offload.way.mode == "fetched":
        return HostSide(None, served)
    able = [not refusal(offload.host, scheme_by_id(s)) for s in question.schemes]
    names = tuple(s if ok else PLAIN for s, ok in zip(question.schemes, able, strict=True))
    return HostSide(
        _machine(offload.host, names, server, question.spec.experts is not None),
        served & np.array(able, dtype=bool),
    )


@by_identity(8)
def _machine(host: DeviceProfile, schemes: tuple[str, ...], server: str, experts: bool) -> Machine:
    """One socket with the kernels of ``schemes``."""
    return Machine(
        bandwidth=host.bandwidth_bytes_per_s.value,
        dense=kernel_arrays(host, schemes, experts=False, engine=server),
        grouped=kernel_arrays(host, schemes, experts=True, engine=server) if experts else None,
        net=fabric(host),
        host_certainty=PRIOR,
    )
