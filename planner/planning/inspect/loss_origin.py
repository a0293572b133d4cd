"""Which measured models a plan's loss rests on, and what its band is made of."""

from __future__ import annotations

from dataclasses import dataclass

from planner.models.spec import ModelSpec
from planner.quality.prior import load_prior, total_band
from planner.quality.sensitivity.kld_data import (
    SOURCE,
    SOURCE_DATE,
    bands_of,
    find_match,
    kld_models,
    points_of,
    subject_of,
)
from planner.quality.sensitivity.predict import LEARNED, sensitivities
from planner.quality.sensitivity.records import KldModel


@dataclass(frozen=True, slots=True)
class MeasuredSister:
    """A model whose matrices were measured one by one: ``points`` measurements of them against the
    type ``baseline``; parameters in billions, ``level`` in nats per unit of output error, None
    where its tables give none."""

    name: str
    family: str
    parameters_billion: float
    points: int
    baseline: str
    level: float | None


@dataclass(frozen=True, slots=True)
class LossOrigin:
    """How a loss without a profile comes about.

    ``match``: the measured ``models`` are of the same structure (``sister``), of the same
    architecture (``relative``), or all that the prior was learned from (``learned``). The band
    ×/÷ ``band`` has three independent parts: of the ``level``, of ``kinds`` of matrices against
    each other, of ``formats`` against each other. ``rank`` is the rank correlation with ``judged``
    measured models that were left out of such a prediction.
    """

    match: str
    models: tuple[MeasuredSister, ...]
    level: float
    kinds: float
    formats: float
    band: float
    rank: float
    judged: int
    source: str
    date: str


def loss_origin(spec: ModelSpec) -> LossOrigin:
    """What the losses of a plan of ``spec`` rest on where no profile of it is given."""
    sensitivity, prior = sensitivities(spec), load_prior()
    match = find_match(subject_of(spec), kld_models())
    kind = LEARNED if match is None else match.kind
    models = match.models if match is not None else tuple(m for m in kld_models() if m.fitted)
    bands = bands_of(kind)
    return LossOrigin(
        kind,
        tuple(map(_measured, models)),
        sensitivity.level_band,
        sensitivity.mix_band,
        prior.format_band,
        total_band(sensitivity),
        bands.rank,
        bands.models,
        SOURCE,
        SOURCE_DATE,
    )


def _measured(model: KldModel) -> MeasuredSister:
    return MeasuredSister(
        model.name,
        model.family,
        model.parameters_billion,
        len(points_of(model.name)),
        model.baseline,
        model.level,
    )
