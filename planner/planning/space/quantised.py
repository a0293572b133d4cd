"""Which public release has a unit's weights in a scheme, and what its quantiser loses."""

from __future__ import annotations

from planner.planning.engines.release_quantisers import QuantisedRelease, release_in
from planner.planning.engines.rules import PLAIN
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.unit_model import UnitModel
from planner.quality.quantisers import loss_factor


def quantised_release(model: UnitModel, unit: DecisionUnit, choice: str) -> QuantisedRelease | None:
    """The public release whose modules of the unit's kind are in ``choice``; None where there is
    none, and for caches and plain formats, which nothing quantises."""
    if unit.role != "module" or choice in PLAIN:
        return None
    key = unit.kind, choice
    if key not in model.quantised_releases:
        model.quantised_releases[key] = release_in(model.releases, *key)
    return model.quantised_releases[key]


def quantiser_share(model: UnitModel, unit: DecisionUnit, choice: str) -> float:
    """What the quantiser of the public release in ``choice`` loses over rounding to nearest; 1
    where nobody released it, or nothing is known of the quantiser."""
    release = quantised_release(model, unit, choice)
    if release is None or release.made is None:
        return 1.0
    return loss_factor(release.made.quantiser, choice)
