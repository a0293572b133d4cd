"""A fleet's question with records instead of names."""

from __future__ import annotations

from planner.base.records import cached_record
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.sizing.fleet.fleet_file import FleetInput, ModelInput
from planner.sizing.fleet.problem import DeviceStock
from planner.sizing.mix import RequestMix
from planner.sizing.service_level import ServiceLevel


@cached_record
class FleetMember:
    """A model that is asked for, with its records."""

    asked: ModelInput
    spec: ModelSpec
    mix: RequestMix
    level: ServiceLevel


@cached_record
class FleetKind:
    """A kind of device that there is, its profile with the file's price and hosts."""

    profile: DeviceProfile
    stock: DeviceStock
    price_source: str


@cached_record
class FleetQuestion:
    """The whole question; ``no_learned``: without what was measured here."""

    asked: FleetInput
    members: tuple[FleetMember, ...]
    kinds: tuple[FleetKind, ...]
    no_learned: bool = False

    @property
    def pairs(self) -> int:
        """Pairs of a model and a kind of device."""
        return len(self.members) * len(self.kinds)

    @property
    def size(self) -> str:
        """The work in words."""
        models, kinds = len(self.members), len(self.kinds)
        return (
            f"{models} model{'s' * (models > 1)} × {kinds} kind{'s' * (kinds > 1)} of "
            f"devices: {self.pairs} plan{'s' * (self.pairs > 1)} to search"
        )
