"""Kernels that narrow activations on a device: fitted, carried over, or the elementwise prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.hardware.profile import DeviceProfile
from planner.throughput.calibration import STACKS, fitted_set, kernel_source
from planner.throughput.forms.base import Parameters, checked_parameters
from planner.throughput.forms.quantise import BYTES, PARAMETERS, quantise_parts
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]

BORROWED_SIGMA = 0.35
"""Added where another stack's kernel stands in: vLLM's and TensorRT-LLM's floors differ by 1.5."""
PRIOR_SIGMA = 0.40
"""Of an elementwise kernel by the profile's fractions."""


@cached_record
class QuantiseModel:
    """One kernel (``variant``) on one device; ``basis`` fitted, transferred or prior."""

    variant: str
    chip: Chip | None
    parameters: Parameters
    basis: str
    sigma: float
    origin: str

    def parts(self, m: Array, k: Array, *, cold: bool = False) -> Parts:
        """Seconds by mechanism of narrowing m × k activations."""
        if self.chip is not None:
            return quantise_parts(self.parameters, self.chip, self.variant, m=m, k=k, cold=cold)
        memory = BYTES[self.variant] * m * k / self.parameters["bytes_per_s"]
        launch = np.asarray(self.parameters["launch_seconds"])
        return parts(compute=np.zeros(()), memory=memory, launch=launch, busy=memory)


def quantise_model(device: DeviceProfile, variant: str, stacks: Sequence[str]) -> QuantiseModel:
    """The kernel ``variant`` on ``device`` for the first of ``stacks`` that has it.

    A device or stack without measurements takes a relative's; one without a relative (SoC, CPU) its
    profile's elementwise fractions, with a wider interval.
    """
    figures = chip(device)
    if figures is not None:
        for group, extra in (
            (stacks, 0.0),
            ([s for s in STACKS if s not in stacks], BORROWED_SIGMA),
        ):
            calibration = fitted_set(device, "quantise", group, [variant])
            if calibration is not None:
                fit = calibration.fit
                return QuantiseModel(
                    variant,
                    figures,
                    checked_parameters(fit.parameters, PARAMETERS, "quantise"),
                    "transferred" if extra else calibration.basis,
                    float(np.hypot(calibration.sigma, extra)),
                    kernel_source(fit, calibration.origin),
                )
    return _prior(device, variant)


def _prior(device: DeviceProfile, variant: str) -> QuantiseModel:
    reached = device.achieved["elementwise"]
    figures: Mapping[str, float] = {
        "launch_seconds": reached.floor_seconds.value,
        "bytes_per_s": device.bandwidth_bytes_per_s.value * reached.bandwidth_fraction.value,
    }
    return QuantiseModel(
        variant, None, figures, "prior", PRIOR_SIGMA, f"elementwise fractions of {device.id}"
    )
