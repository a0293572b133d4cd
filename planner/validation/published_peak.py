"""Rows that would need more of a device's peak than its products were ever seen to reach."""

from __future__ import annotations

from planner.formats.schemes import scheme
from planner.models.spec import ModelSpec
from planner.placement.modules import EXPERT_KINDS
from planner.validation.published_case import PublishedRow
from planner.validation.served import Deployed, device_of, spec_of


def active_parameters(spec: ModelSpec) -> float:
    """Weights that a token multiplies: all matrices but the embedding, of experts the chosen."""
    experts = spec.experts
    share = experts.per_token / experts.count if experts is not None else 1.0
    return sum(row.elements * row.copies * (share if row.kind in EXPERT_KINDS else 1.0)
               for row in spec.rows
               if row.is_matrix and row.part == "main" and row.kind not in ("embedding", "head"))


def beyond_peak(row: PublishedRow, case: Deployed) -> str:
    """Why the measured rate of a closed loop cannot be, by arithmetic alone; empty if it can.

    Every output token of a request that also reads its prompt takes 2·N·(1 + I/O) operations.
    """
    if row.what.quantity != "output_tokens_per_second" or row.phase:
        return ""
    device = device_of(case.device)
    rate = device.rate(scheme(case.recipe.dense).compute)
    reached = device.achieved.get(scheme(case.recipe.dense).kernel)
    if rate is None or reached is None:
        return ""
    needed = 2.0 * active_parameters(spec_of(case.model)) * row.value \
        * (1.0 + case.isl / case.osl) / row.devices
    most = reached.compute_fraction.high or reached.compute_fraction.value
    if needed <= most * rate.dense.value:
        return ""
    return "more of the dense peak than products reach on this device"
