"""Plans chosen on each prediction, judged by the loss of the whole model on held-out text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation import settings
from evaluation.choose import choose
from evaluation.predictors import engine
from evaluation.settings import HELD_OUT_TEXT, LOSS_TEXT, SCHEMES, SEED, SUBJECTS
from planner.formats.schemes import scheme
from planner.formats.sizes import tensor_bytes
from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.measure import Reference, make_reference, plan_loss
from planner.lab.probe.model import Doubles, LinearUnit, ProbeModel

BUDGETS = (5.25, 6.25)
FAMILIES = {"nvfp4 or fp8-channel": ("nvfp4", "fp8-channel")}
RANDOM_PLANS = 3


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan's size [bits per weight], predicted sum and measured loss by chunk."""

    family: str
    chosen_by: str
    budget_bits: float
    bits: float
    predicted: float
    loss_by_chunk: tuple[float, ...]
    flips: float | None

    @property
    def loss(self) -> float:
        return float(np.mean(self.loss_by_chunk))


def bits_of(name: str) -> float:
    """Nominal stored bits of a weight: those of a large tensor, to a quarter."""
    return round(4 * tensor_bytes(scheme(name).weight, 4096, 4096) * 8 / 4096**2) / 4


def references(name: str) -> dict[int, Reference]:
    """The loss text and the held-out text."""
    subject, model = SUBJECTS[name], settings.loaded(name)
    sizes = {LOSS_TEXT: subject.loss_text, HELD_OUT_TEXT: subject.plan_text}
    return {
        part: make_reference(model, settings.text(name, part, size)) for part, size in sizes.items()
    }


def compare(
    name: str, by_name: dict[str, Doubles], measured: Doubles, reference: Reference
) -> list[PlanResult]:
    """Every prediction's plan at every budget, and random ones."""
    model = settings.loaded(name)
    out = []
    for family, members in FAMILIES.items():
        columns = [SCHEMES.index(s) for s in members]
        bits = np.array([bits_of(s) for s in members])
        sources = {"measured losses": measured} | by_name
        sources |= {f"random {n + 1}": _random(measured.shape, n) for n in range(RANDOM_PLANS)}
        for budget in BUDGETS:
            for source, table in sources.items():
                picks = choose(table[:, columns], bits, [u.parameters for u in model.units], budget)
                out.append(
                    _judge(
                        model,
                        reference,
                        family,
                        members,
                        source,
                        budget,
                        picks,
                        measured[:, columns],
                    )
                )
    return out


def _judge(
    model: ProbeModel,
    reference: Reference,
    family: str,
    members: tuple[str, ...],
    source: str,
    budget: float,
    picks: list[int],
    measured: Doubles,
) -> PlanResult:
    plan = {u.id: Quantizer(members[p]) for u, p in zip(model.units, picks, strict=True)}
    loss = plan_loss(model, reference, plan, engine=engine())
    return PlanResult(
        family,
        source,
        budget,
        _mean_bits(model.units, plan),
        float(measured[np.arange(len(picks)), picks].sum()),
        tuple(loss.by_chunk.tolist()),
        loss.flips,
    )


def _mean_bits(units: tuple[LinearUnit, ...], plan: dict[str, Quantizer]) -> float:
    total = sum(bits_of(plan[u.id].scheme) * u.parameters for u in units)
    return total / sum(u.parameters for u in units)


def _random(shape: tuple[int, ...], n: int) -> Doubles:
    """Random losses, so that the choice within the budget is random."""
    return np.random.default_rng(SEED + n).random(shape)
