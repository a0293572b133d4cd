"""Why a plan is what it is, as records: units, limits with their prices, what would change it; of a
plan in pools each pool and other numbers of workers.

Gains are improvements of the objective (0.01: 1 % more tokens/s, or 1 % less of what is to be
small); ``objective`` of an alternative is how much worse it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from planner.base.display import as_text
from planner.messages.message import Text
from planner.planning.plan.record import Plan, plain_data


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another choice of a unit, and what the whole plan becomes with it.

    ``objective`` is the relative change (positive: worse), the others are changes of TPOT [s], of
    the bytes of the fullest device, and of the loss. ``moved`` counts other decisions that change
    with it; ``where`` is another layout and batch, where nothing fits those of the plan.
    """

    scheme: str
    objective: float
    tpot_seconds: float
    bytes_per_device: int
    loss: float
    moved: int
    where: str = ""


@dataclass(frozen=True, slots=True)
class UnitChoice:
    """One decision. ``alone``: the best other choice while everything else stays; ``next_best``:
    the best plan of the same layout and batch that may not take ``scheme`` here, nor what equals it
    (None: there is none, or there are too many decisions to solve again)."""

    units: tuple[str, ...]
    layers: str
    scheme: str
    options: int
    reason: Text
    alone: Alternative | None
    next_best: Alternative | None


@dataclass(frozen=True, slots=True)
class LimitPrice:
    """A limit and what it costs.

    ``value``, ``used`` and ``step`` are in ``unit``. ``gain`` is that of the best plan after the
    limit is relaxed by ``step``; ``at_layout`` the same by the multipliers of the relaxation at the
    plan's layout and batch (None: not a limit of one layout); ``without`` the gain with the limit
    ``removed`` (taken away, or doubled). ``loss`` is what a step is worth in loss: its gain over
    that of the limit on loss (None where that has none).
    """

    name: str
    value: float
    unit: str
    used: float
    origin: str
    step: float
    gain: float
    at_layout: float | None
    removed: str
    without: float
    loss: float | None
    binding: bool
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SwitchingPoint:
    """The smallest change of one figure of the question that was found to change the plan.

    The plan is the same at ``same`` and another at ``other`` (None: none was found up to the end
    of the range, which is ``same`` then). ``status``: ``changes``, ``infeasible`` (nothing fits
    from ``other`` on), ``none``, ``no range`` (it cannot move that way) or ``not tried``.
    """

    figure: str
    direction: str
    unit: str
    start: float
    same: float
    other: float | None
    status: str
    changes: tuple[str, ...]
    solves: int


@dataclass(frozen=True, slots=True)
class ChoiceExplanation:
    """The explanation of ``plan``. ``metric`` and ``value`` say what the objective is in; ``basis``
    how each part was found; ``best`` whether the plan is the best answer (a given plan may not
    be), with ``differs`` and ``better_by`` where it is not."""

    plan: Plan
    metric: str
    value: float
    loss_unit: str
    best: bool
    better_by: float
    differs: tuple[str, ...]
    breaks: str
    units: tuple[UnitChoice, ...]
    released: tuple[str, ...]
    limits: tuple[LimitPrice, ...]
    binding: str
    tipping: tuple[SwitchingPoint, ...]
    solves: int
    basis: tuple[str, ...]

    __str__ = as_text

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON values; the plan file is its ``plan``."""
        data = plain_data(self)
        assert isinstance(data, dict)
        return data


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
        data = plain_data(self)
        assert isinstance(data, dict)
        return data
