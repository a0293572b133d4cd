"""The cache of a prompt on its way from a prefill to a decode worker, and over which link."""

from __future__ import annotations

from collections.abc import Mapping

from planner.base.errors import InputError
from planner.base.records import cached_record, record
from planner.hardware.profile import DeviceProfile, Quantity
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units, fixed_slot_bytes, slot_layer_bytes
from planner.planning.question.question import Question

FLAG = "--transfer-bytes-per-s"


@record
class PoolLink:
    """Bytes/s of one device in one direction; what it is, and who says so."""

    bytes_per_second: float
    name: str
    basis: str


@cached_record
class Handover:
    """``sizes``: bytes of a prompt's cache on one rank by tensor-parallel degree, over ``link``."""

    sizes: Mapping[int, int]
    link: PoolLink

    def seconds(self, prefill_tp: int, decode_tp: int) -> float:
        """From ranks of one degree to ranks of another, all at once: the side with fewer ranks has
        the more to move. The cache follows the pass that made it."""
        return max(self.sizes[prefill_tp], self.sizes[decode_tp]) / self.link.bytes_per_second

    def rate(self, tp: int, ranks: int) -> float:
        """Prompts/s that a worker of ``ranks`` attention ranks sends or takes at most."""
        return ranks * self.link.bytes_per_second / max(self.sizes[tp], 1)

    def bytes(self, tp: int) -> int:
        """Bytes of a prompt's cache on all ranks that hold it."""
        return self.sizes[tp] * tp


def _rank_bytes(spec: ModelSpec, kv: str, tp: int, isl: int, indexer_fp8: bool) -> int:
    units = cache_units(spec)
    return sum(len(unit.layers) * slot_layer_bytes(unit, kv, tp, isl) for unit in units) + sum(
        len(group.layers) * fixed_slot_bytes(group, tp, isl, indexer_fp8=indexer_fp8)
        for group in spec.attention
    )


def handover(
    question: Question, kv: str, degrees: tuple[int, ...], link: PoolLink, *, indexer_fp8: bool
) -> Handover:
    """What is handed over of the question's prompts in layout ``kv``; all of a prompt, also what a
    prefix cache held of it."""
    return Handover(
        {
            tp: _rank_bytes(question.spec, kv, tp, question.workload.isl, indexer_fp8)
            for tp in sorted(set(degrees))
        },
        link,
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
        return PoolLink(rate, name, f"set by the scenario, each {device.id}")
    return PoolLink(
        rate,
        name,
        f"{quantity.kind}: {device.id}, each device and direction "
        f"({quantity.source}, {quantity.date})",
    )
