"""Rows that no machine of their name can have measured.

    decode ≤ peak bandwidth / bytes that a token reads at least
    prompt ≤ peak FLOP/s / FLOP of a token

A token reads every matrix once, of the routed experts those that it chooses; the caches that it
reads beside are not counted. The peak is the highest dense rate of any unit in any format. Rows
that are faster had a prompt in the cache, another device or another clock.
"""

from __future__ import annotations

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.records import NotCoveredError
from planner.models.inventory import inventory_of
from planner.models.spec import ModelSpec
from planner.planning.price.step import Assignment

LOOKED_UP = "embedding"
ROUTED = "experts-"
FLOP_OF_A_PARAMETER = 2.0
TOO_FAST = "faster than the machine"


def read_bytes(assigned: Assignment) -> float:
    """Bytes of matrices that a step of one token reads at least."""
    shard = assigned.tables.shard[assigned.layout]
    units, spec = assigned.model.units, assigned.model.question.spec
    chosen = spec.experts.per_token / spec.experts.count if spec.experts is not None else 1.0
    total = 0.0
    for segment in assigned.segments:
        unit = units[segment.unit]
        if segment.choice < 0 or unit.role != "module" or unit.kind == LOOKED_UP:
            continue
        size = max(len(segment.layers), 1) * float(shard[unit.row, segment.choice])
        total += size * (chosen if unit.kind.startswith(ROUTED) else 1.0)
    return total


def peak_flop_per_s(device: DeviceProfile) -> float:
    """The highest dense rate of any unit in any format."""
    return max((rate.dense.high or rate.dense.value) for rate in device.rates.values())


def token_flop(spec: ModelSpec) -> float:
    """FLOP of the matrix products of one token of a prompt, without its head."""
    active = inventory_of(spec).parameters_active["without_embedding_and_head"]
    return FLOP_OF_A_PARAMETER * active


def check_possible(
    device: DeviceProfile, assigned: Assignment, per_second: float, *, reads_prompts: bool
) -> None:
    """Tokens/s that a machine can have, of prompts or of one sequence.

    Raises:
        NotCoveredError: the sheet's peaks do not allow them.
    """
    if reads_prompts:
        most = peak_flop_per_s(device) / token_flop(assigned.model.question.spec)
    else:
        bandwidth = device.bandwidth_bytes_per_s
        most = (bandwidth.high or bandwidth.value) / read_bytes(assigned)
    if per_second > most:
        raise NotCoveredError(TOO_FAST)
