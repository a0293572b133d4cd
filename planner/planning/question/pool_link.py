"""The link between prefill and decode workers: which one it is, and how fast."""

from __future__ import annotations

from planner.base.errors import InputError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile, Quantity
from planner.messages.message import Note, Text, message
from planner.planning.question.question import Question

FLAG = "--transfer-bytes-per-s"


@record
class PoolLink:
    """Bytes/s of one device in one direction; what it is, and who says so."""

    bytes_per_second: float
    name: str
    basis: Text

    @property
    def note(self) -> Note:
        """What was taken for it."""
        gb = f"{self.bytes_per_second / 1e9:.4g}"
        return Note(
            "link of the pools", message("replay.link", name=self.name, rate=gb), self.basis
        )


def vendor(device: DeviceProfile) -> str:
    """The first word of a device's name."""
    return device.name.split()[0]


def link_between(prefill: Question, decode: Question, given: float | None) -> PoolLink:
    """The link between the pools: the one that is ``given``, inside one scale-up domain its links,
    else the network of both.

    Raises:
        InputError: there is none, or nobody says how devices of two vendors are connected.
    """
    if given is not None:
        return PoolLink(given, "given", FLAG)
    mine, theirs = decode.device, prefill.device
    if (
        mine.id == theirs.id
        and max(decode.sizes) <= decode.net.domain
        and decode.net.domain_bytes_per_s > 0
    ):
        return _link(
            decode.net.domain_bytes_per_s, mine, mine.links.scale_up_bytes_per_s, "scale-up link"
        )
    if vendor(mine) != vendor(theirs):
        raise InputError(
            f"no source says what links {theirs.id} to {mine.id}",
            hint=f"give {FLAG}, for example {FLAG} 25e9",
        )
    rates = [(question.net.network_bytes_per_s, question.device) for question in (prefill, decode)]
    for rate, device in rates:
        if not rate > 0:
            raise InputError(
                f"{device.id} has no network bandwidth in its profile",
                hint=f"give {FLAG}, for example {FLAG} 12.5e9",
            )
    rate, device = min(rates, key=lambda rate_and_device: rate_and_device[0])
    return _link(rate, device, device.links.scale_out_bytes_per_s, "network")


def _link(rate: float, device: DeviceProfile, quantity: Quantity | None, name: str) -> PoolLink:
    if quantity is None or rate != quantity.value:
        return PoolLink(rate, name, message("assumptions.set_by_scenario_each", d=device.id))
    return PoolLink(
        rate,
        name,
        message(
            "assumptions.each_device_and_direction",
            k=quantity.kind,
            d=device.id,
            s=f"{quantity.source}, {quantity.date}",
        ),
    )
