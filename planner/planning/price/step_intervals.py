"""How sure the times of whole steps are: operator classes by their share of each pass."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import numpy as np
from numpy.typing import NDArray

from planner.planning.price.intervals import BASES, certainty, common_of, layout_code
from planner.planning.price.served_sigmas import Shares, Sigmas, of_operators, shares_of
from planner.planning.price.step import Assignment, PassWork, dense_phase
from planner.planning.space.operators import unit_parts
from planner.throughput.calibration import PRIOR
from planner.throughput.points import Phase
from planner.throughput.roofline import Parts
from planner.throughput.serving import SteadyState

Array = NDArray[np.float64]
UNIT_SIGMA = float(np.log(8.0) / 2 / 1.2815515655446004)
"""Of a prompt on a CPU: runtimes multiply on AMX or on AVX-512, an eighth of its rate."""


@dataclass(frozen=True, slots=True)
class StepSpread:
    """Log-space standard deviations of what operators make of step times: ``decode`` [G] at
    ``batch`` [G] sequences a rank, ``prompt`` of reading a prompt; ``basis`` of most of a decode
    step's time. ``tokens`` and ``first`` are what composed TPOT and TTFT are off beside them."""

    batch: Array
    decode: Array
    prompt: float
    basis: str
    tokens: float
    first: float

    def at(self, batch: float) -> float:
        """Of a decode step at ``batch`` sequences a rank."""
        return hypot(self._operators(batch), self.tokens)

    def _operators(self, batch: float) -> float:
        return float(np.interp(batch, self.batch, self.decode))

    def operators(self, batch: float, shares: Shares) -> Sigmas:
        """What operators alone make of a loop with ``batch`` sequences a rank."""
        return of_operators(self._operators(batch), self.prompt, shares)

    def sigmas(self, batch: float, shares: Shares) -> Sigmas:
        """Of a loop with ``batch`` sequences a rank."""
        common = Sigmas(self.tokens, self.first, self.tokens)
        return self.operators(batch, shares).beside(common)

    def tpot(self, served: SteadyState) -> float:
        """Of TPOT: its parts by their share of it; they err together."""
        shares = shares_of(served, 1, interruption=served.interruption, host=served.host)
        return self.sigmas(served.active, shares).tpot

    @property
    def ttft(self) -> float:
        """Of TTFT."""
        return hypot(self.prompt, self.first)


def step_spread(
    plan: Assignment, most: float, kv_len: float, isl: float, *, pooled: bool = False
) -> StepSpread:
    """Spreads of ``plan``: decode steps of up to ``most`` sequences a rank over ``kv_len`` cached
    tokens, and a prompt of ``isl`` tokens; ``pooled``: on a worker of its own."""
    batch = np.unique(np.geomspace(1.0, max(most, 1.0), 5))
    nothing = np.zeros(len(batch))
    decode, shares = _spread(plan, PassWork(batch, nothing, kv_len, 1.0), decode=True)
    prompt, _ = _spread(plan, PassWork(np.zeros(1), np.ones(1), kv_len, isl), decode=False)
    cpu = UNIT_SIGMA if plan.model.question.device.kind == "cpu" else 0.0
    return StepSpread(
        batch,
        decode,
        hypot(float(prompt[0]), cpu),
        BASES[int(np.argmax(shares))],
        *(common_of(plan.model, metric, pooled=pooled) for metric in ("tpot", "ttft")),
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
