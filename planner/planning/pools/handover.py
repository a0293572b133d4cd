"""The cache of a prompt on its way from a prefill to a decode worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from planner.base.records import cached_record
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units, fixed_slot_bytes, slot_layer_bytes
from planner.placement.layout import stage_of_layer
from planner.planning.question.pool_link import PoolLink
from planner.planning.question.question import Question


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
