"""The parameters of ``planner.plan`` that are of pools: what they may be."""

from __future__ import annotations

from planner.base.errors import InputError, UnknownNameError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.planning.plan.deployment import AGGREGATED, AUTO, DISAGGREGATED, MODES

FLAG = "--transfer-bytes-per-s"
OWN = ("mode", "prefill_device", "transfer_bytes_per_s")
"""Parameters of ``plan`` that are no question's."""


@record
class PoolFlags:
    """The parameters of pools, as given."""

    mode: str = AUTO
    prefill_device: str | DeviceProfile | None = None
    transfer_bytes_per_s: float | None = None

    @property
    def demanded(self) -> bool:
        """Whether the answer must be in pools."""
        return self.mode == DISAGGREGATED or (self.mode == AUTO and self.prefill_device is not None)

    def check(self) -> None:
        """Refuse what contradicts itself before anything is computed.

        Raises:
            InputError: an unknown mode, a link that is none, pools' flags without pools.
            UnknownNameError: an unknown mode.
        """
        if self.mode not in MODES:
            raise UnknownNameError("mode", self.mode, MODES)
        rate = self.transfer_bytes_per_s
        if rate is not None and not 0 < rate < float("inf"):
            raise InputError(
                f"transfer_bytes_per_s = {rate:g} is out of range",
                hint=f"bytes/s of each device, for example {FLAG} 50e9",
            )
        if self.mode == AGGREGATED and (self.prefill_device is not None or rate is not None):
            flag = "--prefill-device" if self.prefill_device is not None else FLAG
            raise InputError(
                f"{flag} and --mode aggregated: one pool has no other to serve",
                hint="leave one of them out",
            )

    def of_one_pool(self, overlapped: str) -> PoolFlags:
        """The flags beside something that is planned for workers that do both.

        Raises:
            InputError: pools are asked for.
        """
        if self.demanded or self.transfer_bytes_per_s is not None:
            raise InputError(
                f"{overlapped} and pools are planned one after the other",
                hint=f"leave the flags of pools out, then give the hit rate that is "
                f"found: --prefix-hit RATE in place of {overlapped}",
            )
        return PoolFlags(AGGREGATED)
