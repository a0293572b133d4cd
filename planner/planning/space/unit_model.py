"""What a question is planned over: its modules, their units of decision, the device's kernels.

The choice axis holds the schemes, then the cache layouts. Neither bytes, losses nor times are here:
:mod:`planner.planning.space.tables`, :mod:`~planner.planning.space.losses` and
:mod:`~planner.planning.space.operators` compute them from it. The CPU beside a device, and what may
live in its memory, is its :class:`HostSide`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.base.identity_cache import cached_by_identity
from planner.base.records import cached_record, record
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.placement.cache_entries import CacheUnit, cache_units, reads_fp8_cache
from planner.placement.modules import Module
from planner.planning.engines.published import PublishedWeights, published_weights
from planner.planning.engines.release_quantisers import QuantisedRelease
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import Question
from planner.quality.prior import Prior, reference_of
from planner.throughput.calibration import PRIOR
from planner.throughput.collectives import fabric
from planner.throughput.kernels import refusal
from planner.throughput.launches import as_launched
from planner.throughput.linear import Machine, kernel_arrays

PLAIN = "bf16"
"""Stands in the arrays for what the host cannot multiply, which is not legal there."""


@record
class HostSide:
    """``machine`` is one socket, None where nothing is computed there; ``legal`` bool [scheme] of
    the question's schemes: what may live in its memory."""

    machine: Machine | None
    legal: NDArray[np.bool_]


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

    @cached_property
    def releases(self) -> tuple[PublishedWeights, ...]:
        """Public releases of the model."""
        return published_weights(self.question.spec.id)

    @cached_property
    def quantised_releases(self) -> dict[tuple[str, str], QuantisedRelease | None]:
        """:func:`quantised_release` by kind and scheme, as far as it was asked for."""
        return {}

    @property
    def choices(self) -> tuple[str, ...]:
        """Schemes, then cache layouts."""
        return self.question.schemes + self.question.kv

    @cached_property
    def caches(self) -> tuple[CacheUnit, ...]:
        return cache_units(self.question.spec)

    @cached_property
    def device(self) -> DeviceProfile:
        """The device with the floors of its engine's kernels."""
        return as_launched(self.question.device, self.question.engine)

    @cached_property
    def indexer_fp8(self) -> bool:
        """Whether the indexer's keys are cached in FP8, else BF16."""
        return reads_fp8_cache(self.question.device)

    @cached_property
    def references(self) -> tuple[str, ...]:
        """What the weights of each planned module were released as: its table of errors."""
        return tuple(reference_of(m.released_as, self.prior) for m in self.planned)


def host_side(question: Question, server: str) -> HostSide | None:
    """The host of ``question`` as ``server`` runs on it; None without one.

    Raises:
        UnsupportedError: the CPU multiplies no BF16.
    """
    offload = question.offload
    if offload is None:
        return None
    served = np.array(
        [not offload.schemes or s in offload.schemes for s in question.schemes], dtype=bool
    )
    if offload.way.mode == "fetched":
        return HostSide(None, served)
    able = [not refusal(offload.host, scheme_by_id(s)) for s in question.schemes]
    names = tuple(s if ok else PLAIN for s, ok in zip(question.schemes, able, strict=True))
    return HostSide(
        _machine(offload.host, names, server, question.spec.experts is not None),
        served & np.array(able, dtype=bool),
    )


@cached_by_identity(8)
def _machine(host: DeviceProfile, schemes: tuple[str, ...], server: str, experts: bool) -> Machine:
    """One socket with the kernels of ``schemes``."""
    return Machine(
        bandwidth=host.bandwidth_bytes_per_s.value,
        dense=kernel_arrays(host, schemes, experts=False, engine=server),
        grouped=kernel_arrays(host, schemes, experts=True, engine=server) if experts else None,
        net=fabric(host),
        host_certainty=PRIOR,
    )
