"""What is decided together, and the kernels that run it: options are tuples of choices.

The time of units that one kernel serves is no sum of theirs. They share a decision whose options
name a choice for each of them, so that an option has one time, one size and one loss: sums over
decisions are then the whole step, and nothing is left out.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.planning.question.decisions import FUSED, PAIRED
from planner.planning.space.losses import LossModel

Number = TypeVar("Number", np.float64, np.int64)
Int = NDArray[np.int64]
LAST = "fp32"
"""A choice that goes behind all others among equals: nothing is released in it, though the
catalogue begins with it."""


@record
class Decision:
    """Units that are decided together. ``options``: a choice for each of ``units``, in order of
    preference among equals; ``paired``: the units may take different ones."""

    units: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]
    paired: bool


@record
class DecidedKernel:
    """Units that one kernel serves in each of ``layers`` (empty: outside the stack).

    ``members`` are their places in the decision's options; ``decision`` is -1 for what is as
    released, which has one option.
    """

    units: tuple[int, ...]
    members: tuple[int, ...]
    decision: int
    kind: str
    role: str
    layers: tuple[int, ...]

    @property
    def count(self) -> int:
        """Layers, at least one."""
        return max(1, len(self.layers))


@cached_record
class Decisions:
    """The decisions of a model with their kernels; ``width`` O is the most options of any."""

    model: LossModel
    decisions: tuple[Decision, ...]
    kernels: tuple[DecidedKernel, ...]

    @cached_property
    def width(self) -> int:
        return max((len(d.options) for d in self.decisions), default=1) or 1

    @cached_property
    def kernel_of(self) -> dict[int, int]:
        """The kernel of each unit."""
        return {unit: k for k, kernel in enumerate(self.kernels) for unit in kernel.units}

    @cached_property
    def layers(self) -> NDArray[np.float64]:
        """Layers of each kernel [K]."""
        return np.array([k.count for k in self.kernels], dtype=np.float64)

    @cached_property
    def released(self) -> NDArray[np.bool_]:
        """Which kernels run what is as released [K]."""
        return np.array([k.decision < 0 for k in self.kernels])

    @cached_property
    def loss(self) -> NDArray[np.float64]:
        """Loss of one layer of each kernel under each option [K, O]."""
        return self.by_option(np.where(np.isnan(self.model.layer_loss), 0.0, self.model.layer_loss))

    def picks(self, kernel: DecidedKernel) -> Int:
        """The choices of the kernel's units under each option [options, units]; -1 as released."""
        if kernel.decision < 0:
            return np.full((1, len(kernel.units)), -1, dtype=np.int64)
        return self._options[kernel.decision][:, kernel.members]

    @cached_property
    def _options(self) -> tuple[Int, ...]:
        """The options of each decision as an array [options, units]."""
        return tuple(
            np.array(d.options, dtype=np.int64).reshape(-1, len(d.units)) for d in self.decisions
        )

    @cached_property
    def _members(self) -> tuple[tuple[Int, Int, NDArray[np.bool_]], ...]:
        """By place in a kernel: its unit there [K, 1], the unit's choice under each option [K, O],
        and where there are both [K, O]; nothing of what is as released."""
        shape = len(self.kernels), self.width
        members = []
        for m in range(max((len(k.units) for k in self.kernels if k.decision >= 0), default=0)):
            unit, choice = np.zeros((shape[0], 1), np.int64), np.zeros(shape, np.int64)
            there = np.zeros(shape, dtype=bool)
            for k, kernel in enumerate(self.kernels):
                if kernel.decision >= 0 and m < len(kernel.units):
                    picks = self.picks(kernel)
                    unit[k] = kernel.units[m]
                    choice[k, : len(picks)] = picks[:, m]
                    there[k, : len(picks)] = True
            members.append((unit, choice, there))
        return tuple(members)

    @cached_property
    def _rounds(self) -> tuple[tuple[Int, Int], ...]:
        """(decisions, one kernel of each), in rounds that name every decided kernel once: those of
        a decision in order."""
        by_decision: list[list[int]] = [[] for _ in self.decisions]
        for k, kernel in enumerate(self.kernels):
            if kernel.decision >= 0:
                by_decision[kernel.decision].append(k)
        return tuple(
            (np.array([d for d, _ in some], np.int64), np.array([k for _, k in some], np.int64))
            for some in (
                [(d, own[n]) for d, own in enumerate(by_decision) if n < len(own)]
                for n in range(max(map(len, by_decision), default=0))
            )
        )

    def by_option(self, values: NDArray[Number]) -> NDArray[Number]:
        """Sums of unit values [..., U, S] over the units of each kernel under each option
        [..., K, O]; 0 for what is as released, and beyond the options of a decision."""
        out = np.zeros((*values.shape[:-2], len(self.kernels), self.width), dtype=values.dtype)
        for unit, choice, there in self._members:
            out += np.where(there, values[..., unit, choice], 0)
        return out

    def allowed(self, legal: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Options all of whose choices are ``legal`` [..., U, S]: bool [..., K, O]; all of what is
        as released."""
        decided = np.zeros((len(self.kernels), self.width), dtype=bool)
        decided[self.released, 0] = True
        for _, _, there in self._members:
            decided |= there
        out = np.broadcast_to(decided, (*legal.shape[:-2], *decided.shape)).copy()
        for unit, choice, there in self._members:
            out &= legal[..., unit, choice] | ~there
        return out

    def total(self, values: NDArray[Number], weights: NDArray[Number]) -> NDArray[Number]:
        """Sum kernel values [..., K, O] × weights [..., K] into decisions [..., D, O]; what is
        infinite counts nothing."""
        shape: tuple[int, ...] = np.broadcast_shapes(values.shape[:-2], weights.shape[:-1])
        out: NDArray[Number] | None = None
        for decisions, kernels in self._rounds:
            part = values.take(kernels, axis=-2)
            if part.dtype.kind == "f" and not (finite := np.isfinite(part)).all():
                part[~finite] = 0.0
            part = part * weights[..., kernels, None]
            if out is None and len(decisions) == len(self.decisions):
                out = part  # the first round has all decisions, in order
                continue
            if out is None:
                out = np.zeros((*shape, len(self.decisions), self.width), dtype=values.dtype)
            out[..., decisions, :] += part
        return (
            np.zeros((*shape, len(self.decisions), self.width), dtype=values.dtype)
            if out is None
            else out
        )

    def all_allowed(self, legal: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A decision may take what all of its kernels may: [..., K, O] → [..., D, O]."""
        out = np.ones((*legal.shape[:-2], len(self.decisions), self.width), dtype=bool)
        for decisions, kernels in self._rounds:
            out[..., decisions, :] &= legal[..., kernels, :]
        return out

    def option(self, decision: int, choices: tuple[int, ...]) -> int | None:
        """The option of a decision that gives its units ``choices``; None where there is none."""
        return self._places[decision].get(choices)

    @cached_property
    def _places(self) -> tuple[dict[tuple[int, ...], int], ...]:
        return tuple({option: i for i, option in enumerate(d.options)} for d in self.decisions)

    def unit_choices(self, options: Int) -> list[int]:
        """The choice of every unit (-1 as released) from the option of every decision [D]."""
        out = [-1] * len(self.model.units)
        for decision, option in zip(self.decisions, options.tolist(), strict=True):
            for unit, choice in zip(decision.units, decision.options[option], strict=True):
                out[unit] = choice
        return out


def decisions_of(model: LossModel, possible: NDArray[np.bool_]) -> Decisions:
    """The decisions and kernels of ``model``, in the order of its units; ``possible`` bool [unit,
    choice] is what each unit may take."""
    members: dict[int, list[int]] = {}
    groups: dict[tuple[int, str], list[int]] = {}
    for i, unit in enumerate(model.units):
        if unit.decision >= 0:
            members.setdefault(unit.decision, []).append(i)
        name = FUSED.get(unit.kind) if unit.decision >= 0 else None
        groups.setdefault((unit.decision, name or f"{i}"), []).append(i)
    decisions = tuple(_decision(model, tuple(members[d]), possible) for d in sorted(members))
    kernels = []
    for (decision, _), units in groups.items():
        first = model.units[units[0]]
        own = decisions[decision].units if decision >= 0 else tuple(units)
        kernels.append(
            DecidedKernel(
                tuple(units),
                tuple(own.index(i) for i in units),
                decision,
                first.kind,
                first.role,
                first.layers,
            )
        )
    return Decisions(model, decisions, tuple(kernels))


def _decision(model: LossModel, units: tuple[int, ...], possible: NDArray[np.bool_]) -> Decision:
    kinds = tuple(model.units[i].kind for i in units)
    together = any(set(kinds) <= set(group) for group in model.question.fused)
    paired = kinds == PAIRED and not together
    able = [_ordered(model, np.flatnonzero(possible[i]).tolist()) for i in units]
    if paired:
        return Decision(units, tuple(product(*able)), True)
    common = [c for c in able[0] if all(c in other for other in able[1:])]
    return Decision(units, tuple((c,) * len(units) for c in common), False)


def _ordered(model: LossModel, choices: list[int]) -> list[int]:
    return sorted(choices, key=lambda c: (model.choices[c] == LAST, c))
