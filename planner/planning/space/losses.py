"""Losses of units and choices: those of the prior by kind and depth, or a profile's by layer.

Everything that differs between the two sources is here: the table, refusals for lack of range, the
loss of a uniform scheme, the words for the unit, the band and the basis.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import UnsupportedError
from planner.base.records import cached_record
from planner.formats.schemes import SCHEMES
from planner.formats.stored_schemes import stored_scheme
from planner.messages.message import Message, message
from planner.placement.modules import EXPERT_KINDS
from planner.planning.engines.cache_rules import rotates
from planner.planning.engines.routes import same_weights
from planner.planning.engines.rules import kind_group
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.quantised import quantiser_share
from planner.planning.space.unit_model import UnitModel
from planner.quality import prior
from planner.quality.accumulators import EXACT, UNKNOWN, load_accumulators, path_of
from planner.quality.floor import Floor, floor_with_profile, with_floor, without_floor
from planner.quality.loss_units import NATS
from planner.quality.prior import (
    NORM_SCHEME,
    RULE_KINDS,
    cache_error,
    mix_band,
    module_alpha,
    module_error,
    part_alpha,
    range_failure,
)
from planner.quality.sensitivity.level import saturated, unsaturated
from planner.throughput.expert_load import log_normal_popularity
from planner.throughput.kernels import WEIGHT_ONLY_OF
from planner.throughput.moe import popularity_spread

if TYPE_CHECKING:
    from planner.quality.profile import Profile, ProfileUnit
    from planner.quality.sensitivity.records import Sensitivities

Array = NDArray[np.float64]
OUTSIDE_STACK = -1
"""The layer of embedding and head in a profile."""


@cached_record
class LossModel(UnitModel):
    """The units of a question with their losses."""

    @cached_property
    def sensitivity(self) -> Sensitivities:
        """α of every matrix, from measured models."""
        from planner.quality.sensitivity.predict import sensitivities

        return sensitivities(self.question.spec)

    @cached_property
    def floor(self) -> Floor:
        """What any change of the model loses beside its units."""
        return floor_with_profile(self.question.spec, self.question.profile)

    @cached_property
    def norm(self) -> float | None:
        """Loss of uniform fp8-block, the unit of relative loss; None where a unit has none."""
        try:
            return uniform_loss(self, NORM_SCHEME) or None
        except UnsupportedError:
            return None

    @cached_property
    def alphas(self) -> dict[tuple[str, str, str, tuple[int, ...]], float | None]:
        """:func:`unit_alpha` by role, kind, part and layers, as far as it was asked for."""
        return {}

    @cached_property
    def uniform_losses(self) -> dict[str, float]:
        """:func:`uniform_loss` by scheme, as far as it was asked for."""
        return {}

    @cached_property
    def layer_loss(self) -> Array:
        """Loss of one layer [unit, choice]; NaN where the choice is not possible."""
        return loss_table(self)


def loss_table(model: LossModel) -> Array:
    """Loss of one layer [unit, choice]; NaN where the choice is not possible.

    Where the engine widens the very weights of a scheme, activations are not rounded: the loss is
    that of the scheme whose kernel runs.
    """
    table = np.full((len(model.units), len(model.choices)), np.nan)
    schemes = len(model.question.schemes)
    widened = {
        given_scheme: twin
        for given_scheme, twin in model.question.runs_as.items()
        if same_weights(given_scheme[1])
    }
    for i, unit in enumerate(model.units):
        if unit.role == "released":
            continue
        first, last = (0, schemes) if unit.role == "module" else (schemes, len(model.choices))
        for j in range(first, last):
            choice = model.choices[j]
            twin = widened.get((kind_group(unit.kind), choice)) if widened else None
            loss = None if twin is None else unit_loss(model, unit, twin)
            loss = unit_loss(model, unit, choice) if loss is None else loss
            if loss is not None:
                table[i, j] = loss
    return table


def _widened_as_stored(model: LossModel, unit: DecisionUnit, choice: str) -> bool:
    """Whether the engine widens the stored weights of ``unit``, all modules staying as they are."""
    return (
        model.question.as_released
        and unit.role == "module"
        and WEIGHT_ONLY_OF.get(model.planned[unit.row].released_as) == choice
    )


def unit_loss(model: LossModel, unit: DecisionUnit, choice: str) -> float | None:
    """Loss of one layer of ``unit`` under a scheme or cache layout, a mean over its layers [nats,
    or the unit of a profile]; None where it has none. What is released is the reference, whatever
    its format: weights that stay as they are lose nothing."""
    profile = model.question.profile
    if profile is not None:
        return _profiled(model, profile, unit, choice)
    if unit.role == "module" and choice == model.planned[unit.row].released_as:
        return 0.0
    loss = format_loss(model, unit, choice)
    return None if loss is None else loss * quantiser_share(model, unit, choice)


def format_loss(model: LossModel, unit: DecisionUnit, choice: str) -> float | None:
    """:func:`unit_loss` of a format by itself, whatever is released, without a profile."""
    alpha = unit_alpha(model, unit)
    error = (
        cache_error(model.prior, unit.kind, choice)
        if unit.role == "cache"
        else module_error(
            model.prior,
            model.references[unit.row],
            unit.kind,
            choice,
            weighed=model.question.imatrix,
        )
    )
    if (
        error is None
        and unit.role == "module"
        and stored_scheme(choice) is not None
        and choice == model.planned[unit.row].released_as
    ) or _widened_as_stored(model, unit, choice):
        error = 0.0  # the weights that are there, beside unrounded activations
    if alpha is None or error is None:
        return None
    if unit.role == "cache":
        return alpha * error * cache_factor(model, unit, choice)
    return alpha * (error + accumulator_error(model, unit.row, choice)) * picked_share(model, unit)


def picked_share(model: UnitModel, unit: DecisionUnit) -> float:
    """What of a layer's loss a unit has: that of the tokens which pick its experts, where the
    experts of a layer are divided between a device and its host; all elsewhere."""
    offload, experts = model.question.offload, model.question.spec.experts
    if (
        offload is None
        or experts is None
        or not offload.by_experts
        or unit.kind not in EXPERT_KINDS
        or unit.role != "module"
    ):
        return 1.0
    popularity = log_normal_popularity(
        experts.count,
        experts.per_token,
        popularity_spread() if model.machine.spread is None else model.machine.spread,
    )
    hot = math.fsum(popularity[experts.count - offload.resident :].tolist()) / experts.per_token
    return 1.0 - hot if unit.place else hot


def cache_factor(model: UnitModel, unit: DecisionUnit, layout: str) -> float:
    """How much more, or less, a cache loses than its emulated error says: more over longer
    contexts, less where the engine rotates heads before it quantises them."""
    context = model.question.workload.context
    return rotation_factor(model, unit, layout) * length_factor(model, unit, context)


def length_factor(model: UnitModel, unit: DecisionUnit, context: int) -> float:
    """How much more a cache loses over ``context`` tokens."""
    window = model.caches[unit.row].attention.window
    return model.prior.caches.length_factor(context, window)


def rotation_factor(model: UnitModel, unit: DecisionUnit, layout: str) -> float:
    """What of a cache's error is left where the engine rotates heads before it quantises them."""
    question, attention = model.question, model.caches[unit.row].attention
    if not rotates(question.engine, question.engine_version, layout, attention, unit.kind):
        return 1.0
    plain, turned = (cache_error(model.prior, unit.kind, layout, rotated=r) for r in (False, True))
    return turned / plain if plain and turned is not None else 1.0


def unit_alpha(model: LossModel, unit: DecisionUnit) -> float | None:
    """Mean over the unit's layers of α [nats per unit of relative output error power]."""
    key = unit.role, unit.kind, unit.part, unit.layers
    if key not in model.alphas:
        alphas = [_alpha(model, unit, layer) for layer in unit.layers or (-1,)]
        known = [alpha for alpha in alphas if alpha is not None]
        model.alphas[key] = math.fsum(known) / len(alphas) if len(known) == len(alphas) else None
    return model.alphas[key]


def _alpha(model: LossModel, unit: DecisionUnit, layer: int) -> float | None:
    if unit.role == "cache":
        return model.prior.caches.alpha(model.sensitivity, unit.kind, layer)
    if unit.part:
        return part_alpha(model.sensitivity, unit.kind, unit.part, layer)
    return module_alpha(model.sensitivity, unit.kind, layer)


def _linears(model: UnitModel) -> list[DecisionUnit]:
    """Units of attention, MLP and expert linears: what a uniform scheme covers."""
    return [u for u in model.units if u.role == "module" and u.kind not in RULE_KINDS]


def accumulator_error(model: UnitModel, row: int, scheme: str) -> float:
    """Error power that the sums of the device's matrix unit add to a planned module in ``scheme``,
    a mean over its products; 0 where they are exact, or no unit is known (:func:`loss_assumptions`
    says which), and for kinds that rules keep, whose errors are no sums."""
    module = model.planned[row]
    path = path_of(
        model.question.device.compute_capability, SCHEMES[scheme], model.question.device.target
    )
    if path in (EXACT, UNKNOWN) or module.kind in RULE_KINDS or not module.gemms:
        return 0.0
    table = load_accumulators()
    return math.fsum(table.error(path, module.kind, gemm.inputs) for gemm in module.gemms) / len(
        module.gemms
    )


def saturated_loss(model: LossModel, total: float) -> float:
    """The loss of a model whose units' losses sum to ``total``: what they grow to
    (:func:`grown_loss`), and the floor that comes with any change (:mod:`planner.quality.floor`).
    """
    return with_floor(grown_loss(model, total), model.floor.value_nats)


def grown_loss(model: LossModel, total: float) -> float:
    """Without the floor: above 0.3 nats losses no longer add up
    (:mod:`planner.quality.sensitivity.level`), a profile's as it says itself."""
    return saturated(total, _saturation(model))


def additive_loss(model: LossModel, saturated: float) -> float:
    """The largest sum over units whose :func:`saturated_loss` is at most ``saturated``; 0, which
    only what is released keeps, where the floor alone is as much."""
    return unsaturated(without_floor(saturated, model.floor.value_nats), _saturation(model))


def _saturation(model: LossModel) -> float:
    profile = model.question.profile
    return model.sensitivity.saturation if profile is None else profile.saturation


def _profiled(model: LossModel, profile: Profile, unit: DecisionUnit, choice: str) -> float | None:
    measured = profiled_unit(profile, unit)
    if measured is not None and choice in measured.loss:
        if unit.role == "cache":
            return measured.loss[choice] * cache_factor(model, unit, choice)
        added = (
            0.0
            if measured.alpha is None
            else measured.alpha * accumulator_error(model, unit.row, choice)
        )
        return (measured.loss[choice] + added) * part_share(model, unit) * picked_share(model, unit)
    released = "bf16" if unit.role == "cache" else model.planned[unit.row].released_as
    return 0.0 if choice == released else None


def part_share(model: LossModel, unit: DecisionUnit) -> float:
    """What of a profile's loss of a kind in a layer one part of it has: as α is divided by the
    learned prior; all where the unit is the whole, or where nothing says how it is divided."""
    if not unit.part or not unit.layers:
        return 1.0
    module_loss = module_alpha(model.sensitivity, unit.kind, unit.layers[0])
    mine = part_alpha(model.sensitivity, unit.kind, unit.part, unit.layers[0])
    return mine / module_loss if module_loss and mine is not None else 1.0


def profiled_unit(profile: Profile, unit: DecisionUnit) -> ProfileUnit | None:
    """The profile's unit of a decision unit, which is one layer then, or outside the stack."""
    return profile.by_unit.get((unit.kind, unit.layers[0] if unit.layers else OUTSIDE_STACK))


def no_range(model: UnitModel, unit: DecisionUnit, scheme: str) -> str:
    """Why the number range of ``scheme`` is too small for a module; empty if it is not."""
    profile = model.question.profile
    if profile is None:
        return range_failure(model.prior, model.references[unit.row], unit.kind, scheme)
    measured = profiled_unit(profile, unit)
    return "" if measured is None else measured.refusal(scheme)


def uniform_loss(model: LossModel, scheme: str) -> float:
    """Loss of ``scheme`` on every attention, MLP and expert linear, caches in BF16; a unit that a
    profile does not know stays as released.

    Raises:
        UnsupportedError: a unit has losses, but none in it.
    """
    if scheme in model.uniform_losses:
        return model.uniform_losses[scheme]
    total = 0.0
    profile = model.question.profile
    for unit in _linears(model):
        if profile is not None and profiled_unit(profile, unit) is None:
            continue
        loss = (
            format_loss(model, unit, scheme) if profile is None else unit_loss(model, unit, scheme)
        )
        if loss is None:
            where = unit.kind if model.question.profile is None else unit.id
            raise UnsupportedError(
                message("refusals.max_loss_has_no_loss", x=scheme, k=where),
                hint="name a scheme that has a loss, e.g. fp8-block",
            )
        total += loss * unit.count
    model.uniform_losses[scheme] = total
    return total


def tier(model: LossModel) -> str:
    """``T0 family(NAME)``, ``T0 learned``, or the tier of the profile."""
    profile = model.question.profile
    return f"T0 {model.sensitivity.tier}" if profile is None else profile.label


def band_factor(model: LossModel) -> float:
    """The factor ÷/× within which two plans of the model cannot be told apart: what is unknown of
    the level is common to both, what is unknown of kinds and formats is not."""
    profile = model.question.profile
    if profile is not None:
        return profile.band_factor
    return mix_band(model.sensitivity, model.prior)


def total_band(model: LossModel) -> float:
    """The factor ÷/× of the band of a loss itself."""
    profile = model.question.profile
    if profile is not None:
        return profile.band_factor
    return prior.total_band(model.sensitivity)


def loss_word(model: LossModel) -> Message:
    """What a loss counts in, for a sentence."""
    profile = model.question.profile
    if profile is None or profile.unit == NATS:
        return message("assumptions.nats_of_mean_kl")
    return message("assumptions.relative_to_uniform", anchor=profile.anchor)
