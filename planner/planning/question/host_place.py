"""What of a model lives in the memory of a host, and who computes it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.base.records import cached_record
from planner.hardware.profile import DeviceProfile
from planner.placement.host_split import split_by_expert, split_by_layer
from planner.placement.modules import Module
from planner.planning.engines.offloads import OffloadWay

if TYPE_CHECKING:
    from planner.throughput.residency import Link


@cached_record
class Offload:
    """What lives in ``memory_bytes`` of ``sockets`` sockets of ``host``, over ``link``.

    ``kinds`` are those of modules that may: of ``layers``, or of all layers but ``resident``
    experts each, by the way's unit of place. ``schemes`` are those of what lives there, empty: any
    of the question's. ``assumed_sigma``: log-space deviation of all times, for a host that nobody
    named.
    """

    host: DeviceProfile
    sockets: int
    memory_bytes: int
    link: Link
    way: OffloadWay
    kinds: tuple[str, ...]
    layers: tuple[int, ...] = ()
    resident: int = 0
    schemes: tuple[str, ...] = ()
    assumed_sigma: float = 0.0

    @property
    def by_experts(self) -> bool:
        """Whether experts of every layer are divided, not layers."""
        return self.way.places == "experts"

    @property
    def computing(self) -> int:
        """Sockets that share a product."""
        return self.sockets if self.way.together else 1

    def placed(self, modules: Sequence[Module]) -> list[Module]:
        """``modules`` cut into what stays on the device and what lives in host memory."""
        if self.by_experts:
            return split_by_expert(modules, self.resident)
        return split_by_layer(modules, self.kinds, self.layers)
