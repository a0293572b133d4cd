"""How sure the times of whole steps are: operator classes by their share of each pass."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray

from planner.planning.price.intervals import BASES, certainty, layout_code, served_sigmas
from planner.planning.price.kinds import ServedKind
from planner.planning.price.served_sigmas import Shares, Sigmas, of_operators
from planner.planning.price.step import Assignment, PassWork, dense_phase
from planner.planning.space.model import CostModel
from planner.planning.space.operators import unit_parts
from planner.throughput.calibration import PRIOR
from planner.throughput.points import Phase
from planner.throughput.roofline import Parts

Array = NDArray[np.float64]
UNIT_SIGMA = float(np.log(8.0) / 2 / 1.2815515655446004)
"""Of a prompt on a CPU: runtimes multiply on AMX or on AVX-512, an eighth of its rate."""


@dataclass(frozen=True, slots=True)
class StepSpread:
    """Log-space standard deviations of what operators make of step times of ``model``: ``decode``
    [G] at ``batch`` [G] sequences a rank, ``prompt`` of reading a prompt; ``basis`` of most of a
    decode step's time."""

    model: CostModel
    batch: Array
    decode: Array
    prompt: float
    basis: str

    def operators(self, batch: float, shares: Shares) -> Sigmas:
        """What operators alone make of a loop with ``batch`` sequences a rank."""
        return of_operators(self._step(batch), self.prompt, shares)

    def sigmas(self, batch: float, shares: Shares, kind: ServedKind) -> Sigmas:
        """Of a loop with ``batch`` sequences a rank, served as ``kind``."""
        return served_sigmas(self.model, kind, self._step(batch), self.prompt, shares)

    def reading(self, kind: ServedKind) -> float:
        """Of a pass over prompts alone, which is composed as a step is: no queue is in it."""
        return served_sigmas(self.model, kind, self.prompt, self.prompt, Shares()).tpot

    def _step(self, batch: float) -> float:
        return float(np.interp(batch, self.batch, self.decode))


def step_spread(plan: Assignment, most: float, kv_len: float, isl: float) -> StepSpread:
    """Spreads of ``plan``: decode steps of up to ``most`` sequences a rank over ``kv_len`` cached
    tokens, and a prompt of ``isl`` tokens."""
    batch = np.unique(np.geomspace(1.0, max(most, 1.0), 5))
    nothing = np.zeros(len(batch))
    decode, shares = _spread(plan, PassWork(batch, nothing, kv_len, 1.0), decode=True)
    prompt, _ = _spread(plan, PassWork(np.zeros(1), np.ones(1), kv_len, isl), decode=False)
    cpu = UNIT_SIGMA if plan.model.question.device.kind == "cpu" else 0.0
    return StepSpread(
        plan.model,
        batch,
        decode,
        hypot(float(prompt[0]), cpu),
        BASES[int(np.argmax(shares))],
    )


def _spread(plan: Assignment, work: PassWork, *, decode: bool) -> tuple[Array, list[float]]:
    """(σ [N], seconds by basis):  σ² = Σ_c (Σ_{i∈c} t_i·σ_i / T)²."""
    pts, dense = dense_phase(plan, work)
    ones = np.ones(len(pts))
    core = Phase(
        "decode" if decode else "prefill",
        tokens=ones,
        pooled=ones,
        passes=1.0,
        sequences=work.batch if decode else ones,
        kv_len=work.kv_len if decode else work.length,
        logit_rows=ones,
    )
    by_class: dict[str, Array] = {}
    by_basis = dict.fromkeys(BASES, 0.0)
    total = np.zeros(len(pts))
    schemes = len(plan.model.question.schemes)
    known: dict[tuple[str, int], Parts] = {}
    for unit, choice in zip(plan.model.units, plan.choice, strict=True):
        cache = unit.role == "cache"
        key = (unit.role, unit.row)
        if key not in known:
            known[key] = unit_parts(plan.model, plan.tables, pts, core if cache else dense, unit)
        parts = known[key]
        column = choice - schemes if cache else max(choice, 0)
        total_seconds, talk = (
            a[:, min(column, a.shape[1] - 1)] * unit.count
            for a in (parts.total(), parts.communication)
        )
        name, how = certainty(
            plan.model,
            unit,
            choice,
            decode=decode,
            code=layout_code(plan.tables.layouts[plan.layout]),
        )
        for label, sure, time in (
            (name, how, total_seconds - talk),
            ("collective", plan.model.machine.net.certainty, talk),
        ):
            by_class[label] = by_class.get(label, np.zeros(len(pts))) + time * sure.sigma
            by_basis[sure.basis] += float(time.sum())
            total = total + time
    square = sum((err / np.maximum(total, 1e-30)) ** 2 for err in by_class.values())
    sigma = np.sqrt(square) if by_class else ones * PRIOR.sigma
    return np.asarray(sigma), [by_basis[b] for b in BASES]
