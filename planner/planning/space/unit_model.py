"""What a question is planned over: its modules, their units of decision, the device's kernels.

The choice axis holds the schemes, then the cache layouts. Neither bytes, losses nor times are here:
:mod:`planner.planning.space.tables`, :mod:`~planner.planning.space.losses` and
:mod:`~planner.planning.space.operators` compute them from it.
"""

from __future__ import annotations

from functools import cached_property

from planner.placement.cache_entries import CacheUnit, cache_units, reads_fp8_cache
from planner.placement.modules import Module
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import Question
from planner.planning.space.host_side import HostSide
from planner.quality.prior import Prior, reference_of
from planner.records import cached_record
from planner.throughput.linear import Machine


@cached_record
class UnitModel:
    """What neither a candidate nor a choice changes: modules, units, kernels of the device."""

    question: Question
    prior: Prior
    planned: list[Module]
    released: list[Module]
    units: list[DecisionUnit]
    machine: Machine
    host: HostSide | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """Schemes, then cache layouts."""
        return self.question.schemes + self.question.kv

    @cached_property
    def caches(self) -> tuple[CacheUnit, ...]:
        return cache_units(self.question.spec)

    @cached_property
    def indexer_fp8(self) -> bool:
        """Whether the indexer's keys are cached in FP8, else BF16."""
        return reads_fp8_cache(self.question.device)

    @cached_property
    def references(self) -> tuple[str, ...]:
        """What the weights of each planned module were released as: its table of errors."""
        return tuple(reference_of(m.released_as, self.prior) for m in self.planned)
