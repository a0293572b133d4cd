"""Rows that are faster than reading their prompts and weights can be on the device they name."""

from __future__ import annotations

from planner.formats.schemes import scheme
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile, Quantity
from planner.lab.validation.published_case import PublishedRow
from planner.lab.validation.served import Deployed, device_of, spec_of
from planner.models.spec import ModelSpec
from planner.placement.modules import EXPERT_KINDS

BEYOND = "faster than its prompts and weights at the most that products reach on the device"
PLAIN = "bf16"


def active_parameters(spec: ModelSpec) -> float:
    """Weights that a token multiplies: all matrices but embedding and head, of experts the
    chosen."""
    experts = spec.experts
    share = experts.per_token / experts.count if experts is not None else 1.0
    return sum(
        row.elements * row.copies * (share if row.kind in EXPERT_KINDS else 1.0)
        for row in spec.rows
        if row.is_matrix and row.part == "main" and row.kind not in ("embedding", "head")
    )


def beyond_peak(row: PublishedRow, case: Deployed) -> str:
    """Why the measured rate of a closed loop cannot be, by arithmetic alone; empty if it can.

    B requests take at least the operations of their prompts, 2·N·I each, and one reading of the
    active weights for every step that no prompt is read in, O − B of them (none where the row
    states no B). Rates are the upper ends of what products reach, of the scheme or of BF16.
    """
    if row.what.quantity != "output_tokens_per_second" or row.phase:
        return ""
    device = device_of(case.device)
    recipe = scheme(case.recipe.dense)
    rate = device.rate(recipe.compute)
    if rate is None:
        return ""
    parameters = active_parameters(spec_of(case.model))
    peak = rate.dense.value * row.devices * _reached(device, recipe.kernel, "compute_fraction")
    wire = (
        device.bandwidth_bytes_per_s.value
        * row.devices
        * _reached(device, recipe.kernel, "bandwidth_fraction")
    )
    batch = row.asked.batch or row.asked.each * row.devices
    prompts = 2.0 * parameters * case.isl / peak
    weights = parameters * bits_per_element(recipe.weight) / 8 / wire
    alone = max(case.osl - batch, 0.0) / batch if batch else 0.0
    return BEYOND if prompts + alone * weights > case.osl / row.value else ""


def _reached(device: DeviceProfile, kernel: str, name: str) -> float:
    """The upper end of an achieved fraction, of the kernel's class or of plain products."""
    found: list[Quantity] = [
        getattr(device.achieved[key], name) for key in (kernel, PLAIN) if key in device.achieved
    ]
    return max((q.high or q.value for q in found), default=1.0)
