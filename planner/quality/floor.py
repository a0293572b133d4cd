"""The floor of a loss: what a model loses by any change of its numbers, however small.

    K(changed model) = floor + x,   K(unchanged) = 0

x is what grows with the errors of formats (:mod:`planner.quality.sensitivity.level`). The floor
does not: rounding anywhere flips routes of experts and the last bits of kernels. It was read off
whole models in q8_0, whose own error explains a tenth of what they lose: about 0.001 nats of dense
models, 0.0005 to 0.055 of mixtures of experts (data/floors.csv). That of a model is predicted by
what measured ones share,

    ln floor = mean of the class + deviation of the family + of the structure + of the measurement,

as a best linear unbiased prediction with the standard deviations of data/floors.json, which
:mod:`planner.lab.tables.floors` estimates: sisters and relatives give theirs, shrunk by what such
measurements scatter, and a model of another family gets the mean of its class with a wide band.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.base.records import record
from planner.messages.message import Message, message
from planner.models.spec import ModelSpec
from planner.quality.loss_units import NATS
from planner.quality.sensitivity.kld_data import (
    DATA,
    SISTER,
    find_match,
    kld_models,
    subject_of,
)
from planner.quality.sensitivity.records import KldSubject

if TYPE_CHECKING:
    from planner.quality.profile import Profile

EIGHTY = 1.2815515655446004
"""Standard deviations on each side of the mean that hold 80 % of a normal distribution."""
DENSE, EXPERTS = "dense", "experts"


@record
class Floor:
    """``value_nats`` with the ends of its 80 % band, and what it rests on; all 0 where nothing is
    added."""

    value_nats: float
    low_nats: float
    high_nats: float
    basis: Message


@record
class KnownFloor:
    """A model whose floor was measured [nats of mean KL]: ``structure`` is the first measured model
    of the same structure; a model may have several, of different makers and corpora."""

    name: str
    family: str
    structure: str
    routed: bool
    floor_nats: float


@record
class Scatter:
    """Standard deviations of ln floor in one class: of families around its mean, of structures in
    their family, of measurements of one structure; and how many standard deviations of a prediction
    held 80 % of what was left out."""

    family: float
    structure: float
    own: float
    reach: float = EIGHTY


NO_FLOOR = Floor(0.0, 0.0, 0.0, message("assumptions.floor_none"))
"""Of losses that are no nats, and of models that nothing was changed in."""
UNCHANGED_NATS = 1e-12
"""A model that loses no more keeps every value that was released."""


def with_floor(grown_nats: float, floor_nats: float) -> float:
    """The loss of a model whose formats' errors cost ``grown_nats``: the floor comes with any."""
    return grown_nats + floor_nats if grown_nats > UNCHANGED_NATS else grown_nats


def without_floor(loss_nats: float, floor_nats: float) -> float:
    """The most that errors of formats may cost at a loss of ``loss_nats``: nothing where the floor
    alone is as much."""
    return max(0.0, loss_nats - floor_nats)


def floor_with_profile(spec: ModelSpec, profile: Profile | None) -> Floor:
    """The floor beside the losses of units: those of ``profile``, or learned ones. Nothing in the
    unit of a profile that is relative, and where a profile has it in its losses."""
    if profile is not None and (profile.unit != NATS or profile.holds_floor):
        return NO_FLOOR
    return floor_of(spec)


@lru_cache(maxsize=64)
def floor_of(spec: ModelSpec, excluded: frozenset[str] = frozenset()) -> Floor:
    """The floor of ``spec`` once anything in it is changed, without the models ``excluded``."""
    return floor_for(subject_of(spec), excluded)


def floor_for(subject: KldSubject, excluded: Collection[str] = frozenset()) -> Floor:
    """:func:`floor_of` of a subject."""
    match = find_match(subject, kld_models(), excluded)
    known = [k for k in known_floors() if k.name not in excluded]
    routed = bool(subject.structure.experts)
    names = set() if match is None or match.kind != SISTER else {m.name for m in match.models}
    return predicted_floor(
        [k for k in known if k.routed == routed],
        set() if match is None else set(match.families),
        {k.structure for k in known if k.name in names} | names,
        scatter(EXPERTS if routed else DENSE),
    )


def predicted_floor(
    known: Sequence[KnownFloor], families: set[str], structures: set[str], spread: Scatter
) -> Floor:
    """The best linear unbiased prediction of a floor from ``known`` ones of its class, at least
    one; ``families`` and ``structures`` are those of the model itself, empty where none is known.
    """
    value, deviation = log_prediction(known, families, structures, spread)
    reach = spread.reach * deviation
    sisters = [k.name for k in known if k.structure in structures]
    relatives = [k.name for k in known if k.family in families]
    return Floor(
        _three(math.exp(value)),
        _three(math.exp(value - reach)),
        _three(math.exp(value + reach)),
        _basis(known, sisters, relatives),
    )


def log_prediction(
    known: Sequence[KnownFloor], families: set[str], structures: set[str], spread: Scatter
) -> tuple[float, float]:
    """(ln floor, its standard deviation as measured once more)."""
    shared = np.array(
        [
            spread.family**2 * (k.family in families)
            + spread.structure**2 * (k.structure in structures)
            for k in known
        ]
    )
    inverse = np.linalg.inv(covariance(known, spread))
    logs = np.log([k.floor_nats for k in known])
    ones = np.ones(len(known))
    weight = float(ones @ inverse @ ones)
    mean = float(ones @ inverse @ logs) / weight
    unseen = 1.0 - float(shared @ inverse @ ones)
    variance = (
        spread.family**2
        + spread.structure**2
        + spread.own**2
        - float(shared @ inverse @ shared)
        + unseen**2 / weight
    )
    return (
        mean + float(shared @ inverse @ (logs - mean)),
        math.sqrt(max(variance, spread.own**2)),
    )


def covariance(
    known: Sequence[KnownFloor], spread: Scatter
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Of ln floors (n, n): what a family, a structure share, and each measurement's own."""
    families, structures = (
        np.unique(names, return_inverse=True)[1]
        for names in ([k.family for k in known], [k.structure for k in known])
    )
    return np.asarray(
        spread.family**2 * (families[:, None] == families)
        + spread.structure**2 * (structures[:, None] == structures)
        + spread.own**2 * np.eye(len(known))
    )


@cache
def known_floors() -> tuple[KnownFloor, ...]:
    """The measured floors, in the order of data/floors.csv (read once a process)."""
    return tuple(KnownFloor(**entry) for entry in _made()["floors"])


@cache
def scatter(name: str) -> Scatter:
    """How floors of the class ``name`` (dense, experts) scatter."""
    return Scatter(**_made()["scatter"][name])


@cache
def _made() -> dict[str, Any]:
    made: dict[str, Any] = json.loads((DATA / "floors.json").read_text(encoding="utf-8"))
    return made


def _basis(
    known: Sequence[KnownFloor], sisters: Sequence[str], relatives: Sequence[str]
) -> Message:
    if sisters:
        return message("assumptions.floor_of_sisters", models=", ".join(dict.fromkeys(sisters)))
    if relatives:
        return message("assumptions.floor_of_relatives", models=", ".join(dict.fromkeys(relatives)))
    name = "assumptions.floor_of_experts" if known[0].routed else "assumptions.floor_of_dense"
    return message(name, n=len({k.name for k in known}))


def _three(value: float) -> float:
    return float(f"{value:.3g}")
