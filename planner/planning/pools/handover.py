"""The cache of a prompt on its way from a prefill to a decode worker, and over which link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from planner.base.errors import InputError
from planner.base.records import cached_record, record
from planner.hardware.profile import DeviceProfile, Quantity
from planner.messages.message import Text, message
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units, fixed_slot_bytes, slot_layer_bytes
from planner.placement.layout import stage_of_layer
from planner.planning.question.question import Question

FLAG = "--transfer-bytes-per-s"


@record
class PoolLink:
    """Bytes/s of one device in one direction; what it is, and who says so."""

    bytes_per_second: float
    name: str
    basis: Text


@cached_record
class Handover:
    """``sizes``: bytes of a prompt's cache on one rank by tensor-parallel degree, over ``link``;
    ``staged``: those of the fullest pipeline stage by (degree, stages), where there are several."""

    sizes: Mapping[int, int]
    link: PoolLink
    staged: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def seconds(self, prefill_tp: int, decode_tp: int, stages: tuple[int, int] = (1, 1)) -> float:
        """From ranks of one degree to ranks of another, all at once, each side in so many pipeline
        ``stages``: the side with fewer ranks has the more to move, and of stages the fullest. The
        cache follows the pass that made it."""
        sent, taken = self._of(prefill_tp, stages[0]), self._of(decode_tp, stages[1])
        return max(sent, taken) / self.link.bytes_per_second

    def rate(self, tp: int, ranks: int, stages: int = 1) -> float:
        """Prompts/s that a worker of ``ranks`` attention ranks, each in so many pipeline
        ``stages``, sends or takes at most."""
        return ranks * self.link.bytes_per_second / max(self._of(tp, stages), 1)

    def bytes(self, tp: int) -> int:
        """Bytes of a prompt's cache on all ranks that hold it."""
        return self.sizes[tp] * tp

    def _of(self, tp: int, stages: int) -> int:
        return self.sizes[tp] if stages == 1 else self.staged[tp, stages]


def stage_bytes(
    spec: ModelSpec, kv: str, tp: int, stages: int, isl: int, *, indexer_fp8: bool
) -> tuple[int, ...]:
    """Bytes of a prompt's cache on one rank of each of ``stages`` pipeline stages: of its layers,
    those of ``tp`` ranks each."""
    place = stage_of_layer(spec.layers, stages)
    each = [0] * stages
    for unit in cache_units(spec):
        size = slot_layer_bytes(unit, kv, tp, isl)
        for layer in unit.layers:
            each[place[layer]] += size
    for group in spec.attention:
        size = fixed_slot_bytes(group, tp, isl, indexer_fp8=indexer_fp8)
        for layer in group.layers:
            each[place[layer]] += size
    return tuple(each)


def handover(
    question: Question,
    kv: str,
    degrees: tuple[int, ...],
    link: PoolLink,
    *,
    indexer_fp8: bool,
    stages: tuple[int, ...] = (1,),
) -> Handover:
    """What is handed over of the question's prompts in layout ``kv`` between workers of any of the
    ``degrees`` and numbers of pipeline ``stages``; all of a prompt, also what a prefix cache held
    of it."""

    def by_stage(tp: int, pp: int) -> tuple[int, ...]:
        isl = question.workload.isl
        return stage_bytes(question.spec, kv, tp, pp, isl, indexer_fp8=indexer_fp8)

    tps, several = sorted(set(degrees)), sorted({pp for pp in stages if pp > 1})
    return Handover(
        {tp: sum(by_stage(tp, 1)) for tp in tps},
        link,
        {(tp, pp): max(by_stage(tp, pp)) for tp in tps for pp in several},
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
