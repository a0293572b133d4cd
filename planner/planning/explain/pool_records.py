"""Why a deployment in pools is what it is, as records: each pool, other numbers of workers,
limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from planner.planning.explain.records import LimitPrice, UnitChoice
from planner.planning.plan.record import Plan, plain
from planner.shown import as_text


@dataclass(frozen=True, slots=True)
class PoolChoices:
    """The decisions of one pool (``prefill`` or ``decode``), others than the units' own kept:
    ``seconds`` of its fullest pass or step, of which every alternative is a change; ``again``:
    each was solved again without its choice."""

    name: str
    seconds: float
    utilisation: float
    again: bool
    units: tuple[UnitChoice, ...]
    released: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoolSplit:
    """Other numbers of the plan's workers: output tokens/s over all of them, and what sets it."""

    prefill_workers: int
    decode_workers: int
    devices: int
    output_tokens_per_second: float
    limit: str
    own: bool


@dataclass(frozen=True, slots=True)
class PoolsExplanation:
    """The explanation of ``plan``, which has pools. ``value`` tokens/s a device of it; gains of
    ``limits`` are those of the best pools, which are ``better_by`` better than the plan."""

    plan: Plan
    value: float
    loss_unit: str
    better_by: float
    pools: tuple[PoolChoices, ...]
    splits: tuple[PoolSplit, ...]
    limits: tuple[LimitPrice, ...]
    binding: str
    solves: int
    basis: tuple[str, ...]

    __str__ = as_text

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON values; the plan file is its ``plan``."""
        data = plain(self)
        assert isinstance(data, dict)
        return data
