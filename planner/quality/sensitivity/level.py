"""How much KL a model pays for relative output error in all its matrices, and where losses stop
adding up.

    K(whole model) = x           up to 0.3 nats,   x = level · e
                     x · (x / 0.3)^g     above

The level falls with the parameters that act on a token; g is above 0 for small models, whose errors
make each other worse, and falls with size. Both were read off whole-model tables
(:mod:`planner.lab.tables.measured_losses`): those of sisters or relatives count, else a line over
log parameters (judged left out by model in docs/evidence/mixtures.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from planner.base.records import record
from planner.messages.message import CLAUSES, joined, message
from planner.quality.sensitivity.records import KldMatch, KldSubject

KNEE_NATS = 0.3
"""Losses above it no longer add up."""


FAMILY, OWN = 0.4, 0.2
"""Standard deviations of ln level: of families around the line, of models in their family."""


@record
class KnownLevel:
    """A model whose level and, where the table allows, g were measured; ``fine``: against BF16 or
    8 bits, and not relative to a coarser baseline."""

    name: str
    family: str
    parameters_billion: float
    active_billion: float
    level: float
    level_band: float
    saturation: float | None = None
    fine: bool = True


@record
class Level:
    """``value`` [nats per unit of relative output error power in all matrices], g, and what they
    rest on."""

    value: float
    saturation: float
    basis: str


def saturated(total_nats: float, g: float) -> float:
    """The loss of a model whose matrices' own losses sum to ``total_nats``."""
    if total_nats <= KNEE_NATS:
        return total_nats
    return total_nats * math.pow(total_nats / KNEE_NATS, g)


def unsaturated(loss_nats: float, g: float) -> float:
    """The sum whose :func:`saturated` loss is ``loss_nats``; g is above −1."""
    if loss_nats <= KNEE_NATS or g == 0:
        return loss_nats
    return KNEE_NATS * math.pow(loss_nats / KNEE_NATS, 1 / (1 + g))


def level_for(subject: KldSubject, match: KldMatch | None, known: Sequence[KnownLevel]) -> Level:
    """The level of sisters; of relatives, carried along the slope to this size; or the fit's."""
    matched = set() if match is None else {m.name for m in match.models}
    near = [k for k in known if k.name in matched]
    start, slope = _line(known)
    active = math.log(subject.active_billion)
    g = _saturation(subject, near, known)
    if near:
        value = np.mean(
            [math.log(k.level) + slope * (active - math.log(k.active_billion)) for k in near]
        )
        return Level(
            math.exp(float(value)),
            g,
            message("assumptions.level_of", x=joined([k.name for k in near], CLAUSES)),
        )
    return Level(
        math.exp(start + slope * active),
        g,
        message("assumptions.level_fitted_to_models_by", n=len(_fitted(known))),
    )


def fitted_level(active_billion: float, known: Sequence[KnownLevel]) -> float:
    """The level that the fit gives a model of ``active_billion`` parameters a token."""
    start, slope = _line(known)
    return math.exp(start + slope * math.log(active_billion))


def _fitted(known: Sequence[KnownLevel]) -> Sequence[KnownLevel]:
    """The levels that the line is fitted to: fine ones, or all where fewer than two are."""
    fine = [k for k in known if k.fine]
    return fine if len(fine) > 1 else known


def _line(known: Sequence[KnownLevel]) -> tuple[float, float]:
    """(ln level at a billion active parameters, slope) by generalised least squares: models of one
    family share a deviation, each has its own beside it."""
    known = _fitted(known)
    x = np.array([[1.0, math.log(k.active_billion)] for k in known])
    y = np.array([math.log(k.level) for k in known])
    same = np.array([[a.family == b.family for b in known] for a in known], dtype=float)
    own = [OWN**2 + math.log(k.level_band) ** 2 for k in known]
    weight = np.linalg.inv(FAMILY**2 * same + np.diag(own))
    start, slope = np.linalg.solve(x.T @ weight @ x, x.T @ weight @ y)
    return float(start), float(slope)


def _saturation(
    subject: KldSubject, near: Sequence[KnownLevel], known: Sequence[KnownLevel]
) -> float:
    """g of the models of the match, else by a line over ln parameters, kept inside what was
    seen."""
    own = [k.saturation for k in near if k.saturation is not None]
    if own:
        return float(np.mean(own))
    seen = [m for m in known if m.saturation is not None]
    if len(seen) < 2:
        return 0.0
    x = np.log([m.parameters_billion for m in seen])
    y = np.array([m.saturation for m in seen], dtype=float)
    slope, start = np.polyfit(x, y, 1)
    value = start + slope * math.log(subject.parameters_billion)
    return float(np.clip(value, y.min(), y.max()))
