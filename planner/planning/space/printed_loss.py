"""Losses as they are told: with the floor of any change, a band, and what they mean; and which of
them cannot be told apart."""

from __future__ import annotations

import math
from dataclasses import replace

from planner.messages.message import Text, message
from planner.planning.plan.record import QualityInfo
from planner.planning.space.losses import (
    LossModel,
    additive_loss,
    band_factor,
    grown_loss,
    saturated_loss,
    tier,
    total_band,
)
from planner.quality.floor import NO_FLOOR, UNCHANGED_NATS
from planner.quality.loss_units import NATS
from planner.quality.meaning import p99_of, top1_agreement, word_of


def quality(
    model: LossModel, loss: float, derived: float = 0.0, cached: float = 0.0
) -> QualityInfo:
    """The loss of units that sum to ``loss``, with its band, unit and tier; ``derived`` of it is
    lost by kinds whose sensitivity was never measured and ``cached`` by caches, which are known
    less well. The floor has a band of its own, and its ends are added to those of the rest."""
    profile = model.question.profile
    band = total_band(model)
    wide = model.prior.rule_band if profile is None else band
    floor = model.floor if loss > UNCHANGED_NATS else NO_FLOOR
    parts = (
        (loss - derived - cached, band),
        (derived, wide),
        (cached, max(band, model.prior.caches.band_factor)),
    )
    low = floor.low_nats + grown_loss(model, math.fsum(part / factor for part, factor in parts))
    high = floor.high_nats + grown_loss(model, math.fsum(part * factor for part, factor in parts))
    unit, anchor = (
        (NATS, None) if profile is None or profile.unit == NATS else (profile.unit, profile.anchor)
    )
    told = saturated_loss(model, loss)
    relative = None if model.norm is None else told / saturated_loss(model, model.norm)
    return with_meaning(
        QualityInfo(
            told,
            low,
            high,
            unit,
            anchor,
            relative,
            tier(model),
            (),
            None,
            None,
            None,
            floor.value_nats if unit == NATS else None,
        ),
        None if profile is None else profile.flips_per_root_nat,
    )


def with_meaning(quality: QualityInfo, flips_per_root_nat: float | None = None) -> QualityInfo:
    """``quality`` with what its loss means; a loss in another unit than nats means nothing."""
    if quality.unit != NATS:
        return quality
    return replace(
        quality,
        word=word_of(quality.loss),
        top1=top1_agreement(quality.loss, flips_per_root_nat),
        p99=p99_of(quality.loss),
    )


def limit_text(model: LossModel, limit: float) -> Text:
    """A limit on sums of units as the loss that is told; where no change keeps it, what any
    loses."""
    if limit > UNCHANGED_NATS or model.floor == NO_FLOOR:
        return f"{saturated_loss(model, limit):.3g}"
    return message("assumptions.limit_below_floor", floor=f"{model.floor.value_nats:.3g}")


def equal_up_to(model: LossModel, loss: float) -> float:
    """The largest sum of units' losses that is called equal to ``loss``: inside the band, or above
    it by less than the floor, as changes that small are lost in it. Nothing is equal to a release
    that nothing was changed in."""
    band = loss * band_factor(model)
    if loss <= UNCHANGED_NATS:
        return band
    floor = model.floor.value_nats
    return max(band, additive_loss(model, saturated_loss(model, loss) + floor))


def indistinguishable(model: LossModel, ours: float, theirs: float) -> bool:
    """Whether two sums of units' losses are called equal (:func:`equal_up_to`)."""
    low, high = sorted((ours, theirs))
    return high <= equal_up_to(model, low)
