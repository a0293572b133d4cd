"""The calibrated kernels of a gated delta net on a device, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.records import cached_record
from planner.hardware.profile import DeviceProfile
from planner.messages.message import message
from planner.throughput.calibration import STACKS, Calibration, Certainty, fitted_set
from planner.throughput.forms.delta import OPERATOR, DeltaShape, delta_parts
from planner.throughput.proxy_kernels import lent_sigma, proxy_kernel
from planner.throughput.roofline import Parts
from planner.throughput.silicon import Chip, chip


@cached_record
class DeltaModel:
    """Kernels of one pass: the convolution, and the step or the chunks."""

    chip: Chip
    variants: tuple[str, ...]
    sets: tuple[Calibration, ...]
    certainty: Certainty
    """That of the step or the chunks, which take most of the time."""

    def parts(self, shape: DeltaShape) -> Parts:
        """Seconds by mechanism of both kernels, the state read from memory."""
        first, second = (
            delta_parts(calibration.fit.parameters, self.chip, name, shape, cold=True)
            for name, calibration in zip(self.variants, self.sets, strict=True)
        )
        return first.plus(second)


def delta_model(device: DeviceProfile, stacks: Sequence[str], *, decode: bool) -> DeltaModel | None:
    """The fitted kernels of a decode step or a prompt for the first of ``stacks`` that has both,
    else another stack's with a wider interval, or None where no table fits. Nothing is asked
    without ``stacks``: an engine without measured kernels is priced by the roofline."""
    variants = ("conv-decode", "recurrent") if decode else ("conv-prefill", "chunk")
    fitted_kernels = [kernel_of(device, stacks, variant) for variant in variants]
    first, core = fitted_kernels
    if first is None or core is None:
        return None
    return DeltaModel(core[0], variants, (first[1], core[1]), core[2])


def kernel_of(
    device: DeviceProfile, stacks: Sequence[str], variant: str
) -> tuple[Chip, Calibration, Certainty] | None:
    """(the device, the fitted set of one kernel, how sure it is), or None."""
    figures = chip(device)
    if figures is None or "bf16" not in figures.peaks or not stacks:
        return None
    own = fitted_set(device, OPERATOR, stacks, [variant])
    calibration = own or fitted_set(
        device, OPERATOR, [s for s in STACKS if s not in stacks], [variant]
    )
    if calibration is None:
        return None
    sigma, basis = calibration.sigma, calibration.basis
    if own is None:
        lent = proxy_kernel(
            OPERATOR, stacks[0], calibration.fit.stack, variant, device.architecture
        )
        sigma, basis = (
            lent_sigma(lent, calibration.fit.error.sigma, calibration.sigma),
            "transferred",
        )
    fit = calibration.fit
    origin = message(
        "assumptions.gated_delta_on",
        stack=fit.stack,
        version=fit.software,
        variant=variant,
        device=calibration.origin,
    )
    return figures, calibration, Certainty(basis, sigma, origin)
