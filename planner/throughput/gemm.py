"""The calibrated GEMM of a scheme on a device: which fitted set, how sure, and its seconds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile
from planner.throughput.calibration import PRIOR, Calibration, fitted_set, kernel_source
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.gemm import (
    Operands,
    checked,
    gemm_form,
    gemm_parts,
    mechanisms,
)
from planner.throughput.forms.gemm_tiles import GemmForm
from planner.throughput.kernels import conversion_key, refusal
from planner.throughput.proxy_kernels import ProxyKernel, lent_sigma, proxy_kernel
from planner.throughput.quantise import quantise_model
from planner.throughput.roofline import Parts
from planner.throughput.silicon import chip

Array = NDArray[np.float64]
_DATA = Path(__file__).resolve().parent / "data"
MANY = 1e9
"""Activations of which one's share of a bandwidth-bound pass is taken."""


@cached_record
class GemmModel:
    """The GEMM of ``scheme`` on a chip.

    ``basis`` is fitted, transferred or prior, ``sigma`` the log-space standard deviation of one
    time, ``origin`` says where the parameters come from.
    """

    scheme: str
    form: GemmForm
    stack: str
    basis: str
    sigma: float
    origin: str

    def parts(
        self,
        m: Array,
        n: Array,
        k: Array,
        weight_bytes: Array | None = None,
        *,
        cold: bool = True,
        fused: bool = False,
    ) -> Parts:
        """Seconds by mechanism (see :func:`planner.throughput.forms.gemm.gemm_parts`)."""
        return gemm_parts(
            self.form, m=m, n=n, k=k, weight_bytes=weight_bytes, cold=cold, fused=fused
        )


def gemm_model(
    device: DeviceProfile, scheme: str, stacks: Sequence[str], *, static_scales: bool = False
) -> GemmModel | None:
    """The fitted GEMM of ``scheme`` for the first of ``stacks`` that has one, or None.

    A stack without measurements of the scheme borrows its nearest relative's, with the error that
    such loans were measured to have; a scheme without any follows the one whose kernel is nearest,
    in the ratio that both were measured to have: the basis says transferred, or prior, with a
    prior's error, where no stack was measured in its format on the device.
    ``static_scales``: scales of activations per tensor come with the checkpoint, so that of two
    quantise kernels only the conversion runs.
    """
    figures = chip(device)
    rule = _rules()["scheme"].get(scheme)
    record = scheme_by_id(scheme)
    if (
        figures is None
        or rule is None
        or refusal(device, record)
        or record.compute not in figures.peaks
    ):
        return None
    fitted_and_proxy = _find(device, scheme, stacks) or _find(device, rule["variant"], stacks)
    if fitted_and_proxy is None:
        return None
    calibration, lent = fitted_and_proxy
    fit = calibration.fit
    kind = mechanisms(fit.stack, fit.variant)
    parameters = checked(fit.parameters, fit.stack, fit.variant)
    conversion, extra, prior = float("inf"), 0.0, False
    if fit.variant != scheme:
        prior = bool(rule.get("prior"))
        extra = float(rule.get("extra", 0.0))
        parameters = _scaled(parameters, rule.get("ratio", {}))
        if rule.get("weight_only"):
            conversion = device.conversion[conversion_key(record.weight)].value
    own = calibration.basis == "fitted" and lent is None and fit.variant == scheme
    sigma = float(
        np.hypot(
            extra,
            calibration.sigma
            if lent is None
            else lent_sigma(lent, fit.error.sigma, calibration.sigma),
        )
    )
    operands = Operands(
        record.compute, bits_per_element(record.weight) / 8, bits_per_element(record.activation) / 8
    )
    form = gemm_form(parameters, figures, operands, kind, widened_per_s=conversion)
    if static_scales and kind.separate:
        form = _static(form, device, stacks)
    return GemmModel(
        scheme,
        form,
        fit.stack,
        "prior" if prior else "fitted" if own else "transferred",
        max(sigma, PRIOR.sigma) if prior else sigma,
        kernel_source(fit, calibration.origin),
    )


def _static(form: GemmForm, device: DeviceProfile, stacks: Sequence[str]) -> GemmForm:
    """``form`` with the conversion as the only quantise kernel: no maximum is searched for, which
    never takes longer (of a device without a table of the conversion that may seem so)."""
    convert = quantise_model(device, "scale-matrix", stacks)
    parts = convert.parts(np.zeros(()), np.zeros(()))
    many = convert.parts(np.asarray(MANY), np.asarray(1.0), cold=True)
    return replace(
        form,
        narrow_launch=np.minimum(form.narrow_launch, parts.launch),
        narrow_seconds=np.minimum(form.narrow_seconds, many.memory / MANY),
        row_elements=np.zeros(()),
    )


def _find(
    device: DeviceProfile, variant: str, stacks: Sequence[str]
) -> tuple[Calibration, ProxyKernel | None] | None:
    """(the set, the loan where it is another stack's), or None: what the device itself has of
    ``stacks``, else of a relative's set and a lender's the one that is surer."""
    own = fitted_set(device, "gemm", stacks, [variant])
    if not stacks or (own is not None and own.basis == "fitted"):
        return (own, None) if own is not None else None
    lenders = [s for s in _rules()["lenders"].get(stacks[0], ()) if s not in stacks]
    calibration = fitted_set(device, "gemm", lenders, [variant])
    if calibration is not None:
        lent = proxy_kernel("gemm", stacks[0], calibration.fit.stack, variant, device.architecture)
        if (
            own is None
            or lent_sigma(lent, calibration.fit.error.sigma, calibration.sigma) < own.sigma
        ):
            return calibration, lent
    return (own, None) if own is not None else None


def _scaled(parameters: Parameters, ratios: Mapping[str, float]) -> Mapping[str, float]:
    """``parameters`` with those of ``ratios`` multiplied; fractions stay at most 1."""
    return {
        name: min(value * ratios[name], 1.0 if name.endswith("_fraction") else np.inf)
        if name in ratios
        else value
        for name, value in parameters.items()
    }


@cache
def _rules() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "gemm.toml").read_text(encoding="utf-8"))
