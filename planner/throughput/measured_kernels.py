"""Whether the kernel that an engine picks is the one that its operator tables timed.

``data/measured_kernels.csv`` names the kernels behind a stack's dense products by variant and
compute capability. Where an engine picks another, the set is that of a neighbour in the same
engine: its error is that of a loan between kernels of the format.

Marlin multiplies weight-only products with the matrix instructions of Ampere: no dense table times
it, but its fused experts, which run the same loop, were timed on most devices. There it reaches .60
of A100's BF16, .40 of H100's and .18 of B200's, where cuBLAS reaches .97, 1 and .80, and reads
packed weights at .66 to .98 of the bandwidth: widening them hides behind the read.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from planner.hardware.profile import DeviceProfile
from planner.messages.message import message
from planner.throughput.calibration import fitted_set, kernel_source
from planner.throughput.engine_kernels import Spans, capability_ranges, in_ranges, version_numbers
from planner.throughput.forms.gemm_tiles import ROW_STEP
from planner.throughput.forms.moe import MARLIN, OPERATOR
from planner.throughput.gemm import GemmModel, gemm_model
from planner.throughput.proxy_kernels import lent_sigma, proxy_kernel
from planner.throughput.silicon import chip

_DATA = Path(__file__).resolve().parent / "data"
MARLIN_STACKS = ("vllm", "sglang")
MARLIN_SETS = ("marlin:int4-w4a16", "marlin-moe:int4-w4a16")
ANOTHER = "another kernel"
"""The borrower of a loan between kernels of one engine: a pair that no table compares."""


def by_kernel(model: GemmModel, device: DeviceProfile, kernel: str, stack: str) -> GemmModel:
    """``model``, with the error of a loan where ``kernel``, which the engine of ``stack`` picks, is
    not the one that its set was measured on, here or on a relative. An empty ``kernel`` is not
    known, and a set that another stack lent already carries a loan's error. A Marlin kernel takes
    its rates from Marlin's experts."""
    if MARLIN in kernel.lower():
        return _marlin(model, device, kernel, stack)
    timed = timed_kernels(device, model.stack, model.scheme)
    if not kernel or not timed or kernel in timed or model.stack != stack or model.basis == "prior":
        return model
    proxy = proxy_kernel("gemm", ANOTHER, model.stack, model.scheme, device.architecture)
    return replace(
        model,
        basis="transferred",
        sigma=lent_sigma(proxy, model.sigma, model.sigma),
        origin=message("assumptions.in_place_of", source=model.origin, kernel=kernel),
    )


def _marlin(model: GemmModel, device: DeviceProfile, kernel: str, stack: str) -> GemmModel:
    """``model`` with the rates that Marlin's experts reach on the device, or a relative of it: of
    the products at most, and of reading packed weights; few rows are no full tile. As it is where
    neither they nor BF16 products were measured."""
    plain, figures = gemm_model(device, "bf16", [stack]), chip(device)
    experts = fitted_set(device, OPERATOR, MARLIN_STACKS, MARLIN_SETS)
    if plain is None or figures is None or experts is None:
        return model
    reached = experts.fit.parameters
    product = reached["compute_fraction"] * figures.peak("bf16") / figures.multiprocessors
    form = replace(
        plain.form,
        wave_rate=np.minimum(plain.form.wave_rate, product),
        memory_rate=np.asarray(reached["bandwidth_fraction"] * figures.bandwidth),
        weight_bytes=model.form.weight_bytes,
        least_rows=np.asarray(ROW_STEP),
    )
    origin = message(
        "assumptions.in_place_of_at_rates",
        source=plain.origin,
        kernel=kernel,
        rates=kernel_source(experts.fit, experts.origin),
    )
    return replace(model, form=form, origin=origin)


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
