"""Whether the kernel that an engine picks is the one that its operator tables timed.

``data/measured_kernels.csv`` names the kernels behind a stack's dense products by variant and
compute capability. Where an engine picks another, the set is that of a neighbour in the same
engine: its error is that of a loan between kernels of the format.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

from planner.hardware.profile import DeviceProfile
from planner.throughput.engine_kernels import Spans, capability_ranges, in_ranges, version_numbers
from planner.throughput.gemm import GemmModel
from planner.throughput.proxy_kernels import lent_sigma, proxy_kernel

_DATA = Path(__file__).resolve().parent / "data"
ANOTHER = "another kernel"
"""The borrower of a loan between kernels of one engine: a pair that no table compares."""


def by_kernel(model: GemmModel, device: DeviceProfile, kernel: str, stack: str) -> GemmModel:
    """``model``, with the error of a loan where ``kernel``, which the engine of ``stack`` picks, is
    not the one that its set was measured on, here or on a relative. An empty ``kernel`` is not
    known, and a set that another stack lent already carries a loan's error."""
    timed = timed_kernels(device, model.stack, model.scheme)
    if not kernel or not timed or kernel in timed or model.stack != stack or model.basis == "prior":
        return model
    proxy = proxy_kernel("gemm", ANOTHER, model.stack, model.scheme, device.architecture)
    return replace(
        model,
        basis="transferred",
        sigma=lent_sigma(proxy, model.sigma, model.sigma),
        origin=f"{model.origin}, for {kernel}",
    )


def timed_kernels(device: DeviceProfile, stack: str, variant: str) -> tuple[str, ...]:
    """The kernels that tables of ``stack`` timed in ``variant`` on devices like this one."""
    if device.compute_capability is None:
        return ()
    here = version_numbers(device.compute_capability)
    return tuple(
        kernel for spans, kernel in _rows().get((stack, variant), ()) if in_ranges(here, spans)
    )


@cache
def _rows() -> dict[tuple[str, str], list[tuple[Spans, str]]]:
    rows: dict[tuple[str, str], list[tuple[Spans, str]]] = {}
    with (_DATA / "measured_kernels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault((row["stack"], row["variant"]), []).append(
                (capability_ranges(row["sm"]), row["kernel"])
            )
    return rows
