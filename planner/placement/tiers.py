"""Where routed experts live, and what a step has to fetch: the record that times are made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """Experts kept in one place, over all layers and expert-parallel ranks.

    ``experts`` of them, of which a step touches ``touched`` in expectation; ``picks`` is the share
    of all token–expert pairs that they serve.
    """

    experts: int
    touched: float
    picks: float


@dataclass(frozen=True, slots=True)
class Residency:
    """Experts of ``expert_bytes`` [B] each in device memory, host memory and on a drive.

    ``ranks`` devices share the experts evenly, each behind a link of its own.
    """

    expert_bytes: int
    ranks: int
    device: Tier
    host: Tier
    drive: Tier

    @property
    def experts(self) -> int:
        return self.device.experts + self.host.experts + self.drive.experts

    @property
    def touched(self) -> float:
        """Expected distinct experts of a step, over all layers."""
        return self.device.touched + self.host.touched + self.drive.touched

    @property
    def hit_rate(self) -> float:
        """Share of the touched experts that are in device memory already."""
        return self.device.touched / self.touched if self.touched else 1.0

    @property
    def pick_hit_rate(self) -> float:
        """Share of the token–expert pairs whose expert is in device memory."""
        return self.device.picks

    @property
    def host_bytes_per_step(self) -> float:
        """Expected bytes fetched from host memory in a step, all ranks [B]."""
        return self.host.touched * self.expert_bytes

    @property
    def drive_bytes_per_step(self) -> float:
        """Expected bytes fetched from the drive in a step, all ranks [B]."""
        return self.drive.touched * self.expert_bytes
