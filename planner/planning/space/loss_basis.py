"""What a plan says of its losses: what they rest on, what rules hold, where figures are from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from planner.base.errors import UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.messages.message import Note, Text, joined, message
from planner.planning.plan.record import SourceRef
from planner.planning.question.policies import NO_OTHER
from planner.planning.space.losses import (
    LossModel,
    accumulator_error,
    profiled_unit,
    tier,
    total_band,
    uniform_loss,
)
from planner.quality.accumulators import EXACT, UNKNOWN, path_of
from planner.quality.floor import NO_FLOOR, UNCHANGED_NATS
from planner.quality.loss_units import tier_text
from planner.quality.prior import DERIVED_KINDS, RULE_KINDS, stands_in

if TYPE_CHECKING:
    from planner.quality.profile import Profile

FLOOR_KEY, ALIKE_KEY = "loss floor", "8-bit formats"
"""Assumptions that tell what any change loses, and which formats that hides from each other."""
EIGHT = 8.0
"""Bits of a weight; scales come on top."""


def rule_weight(model: LossModel) -> dict[str, float]:
    """Share of each kind that rules keep, where it was measured, of the model's summed sensitivity;
    nothing under a profile, which has none of these kinds."""
    if model.question.profile is not None:
        return {}
    sensitivity = model.sensitivity
    sums = {
        kind: math.fsum(alpha for (k, _), alpha in sensitivity.by_unit.items() if k == kind)
        for kind in RULE_KINDS
    }
    return {kind: value / sensitivity.level for kind, value in sums.items() if value > 0}


def _accumulators(model: LossModel) -> list[Note]:
    """What accumulators add, by scheme: the largest share of a module's rounding error."""
    shares: list[Text] = []
    unknown = []
    for scheme in model.question.schemes:
        path = path_of(
            model.question.device.compute_capability, SCHEMES[scheme], model.question.device.target
        )
        if path == UNKNOWN:
            unknown.append(scheme)
        elif path != EXACT and (added := _largest_share(model, scheme)) is not None:
            shares.append(
                message("assumptions.at_most", scheme=scheme, added=f"{added:.2%}", path=path)
            )
    out = []
    if shares:
        out.append(
            Note(
                "accumulators",
                joined(shares),
                message("assumptions.of_rounding_error_of_any"),
            )
        )
    if unknown and model.question.device.kind != "cpu":
        out.append(
            Note(
                "accumulators not counted",
                ", ".join(unknown),
                message("assumptions.no_matrix_unit_of_this"),
            )
        )
    return out


def _largest_share(model: LossModel, scheme: str) -> float | None:
    shares = []
    for row, module in enumerate(model.planned):
        error = model.prior.error[model.references[row]].get(module.kind, {}).get(scheme)
        if error:
            shares.append(accumulator_error(model, row, scheme) / error)
    return max(shares, default=None)


def loss_assumptions(model: LossModel) -> list[Note]:
    """On what the losses rest."""
    profile = model.question.profile
    if profile is None:
        return [*_learned(model), *_floored(model), *_ruled(model), *_accumulators(model)]
    out = [
        Note(
            "loss basis",
            message(
                "assumptions.band",
                label=profile.label,
                band_factor=f"{profile.band_factor:.3g}",
            ),
            message("assumptions.profile_of", m=profile.model.id, band_basis=profile.band_basis),
        ),
        *_floored(model),
        *_accumulators(model),
    ]
    bases = {u.error_basis for u in profile.units if u.kind in {x.kind for x in model.units}}
    out.append(
        Note("error basis", "; ".join(sorted(bases)), message("assumptions.stated_by_profile"))
    )
    if profile.settings.get("inputs"):
        out.append(
            Note(
                "input scales",
                str(profile.settings["inputs"]),
                message(
                    "assumptions.calibrated_on_serve_these_schemes",
                    x=profile.settings.get("calibration", message("assumptions.no_text")),
                ),
            )
        )
    if profile.joint:
        out.append(_joint_assumption(profile))
    out += [
        Note("profile", note, message("assumptions.stated_by_profile")) for note in profile.notes
    ]
    missing = [
        u.id for u in model.units if u.role != "released" and profiled_unit(profile, u) is None
    ]
    if missing:
        out.append(
            Note(
                "not profiled",
                message("assumptions.units_first", missing=len(missing), x=missing[0]),
                message("assumptions.they_have_no_loss_and"),
            )
        )
    if profile.skipped:
        out.append(
            Note(
                "skipped tensors",
                message(
                    "assumptions.first",
                    skipped=len(profile.skipped),
                    tensor=profile.skipped[0].tensor,
                ),
                profile.skipped[0].reason,
            )
        )
    return out


def _learned(model: LossModel) -> list[Note]:
    """What T0 rests on: in a line, then the level, activations and caches."""
    sensitivity, anchors = model.sensitivity, model.prior
    out = [
        Note(
            "loss basis",
            message(
                "assumptions.band",
                label=tier_text(tier(model)),
                band_factor=f"{total_band(model):.2g}",
            ),
            sensitivity.text,
        ),
        Note(
            "loss level",
            message(
                "assumptions.nats_per_unit_of_output",
                level=f"{sensitivity.level:.2g}",
                level_band=f"{sensitivity.level_band:.2g}",
            ),
            sensitivity.level_basis,
        ),
        Note(
            "loss of activations",
            message("assumptions.as_of_weights", activation_band=f"{anchors.activation_band:g}"),
            message("assumptions.errors_of_one_output_weigh"),
        ),
    ]
    stored = sorted({m.released_as for m in model.planned if stands_in(m.released_as, anchors)})
    if stored:
        out.append(
            Note(
                "errors of stored types",
                message("assumptions.as_from_bf16", stored=", ".join(stored)),
                message("assumptions.no_table_of_errors_was"),
            )
        )
    if any(u.role == "cache" for u in model.units):
        out.append(
            Note(
                "loss of caches",
                message(
                    "assumptions.as_attention_outputs", cache_band=f"{anchors.caches.band_factor:g}"
                ),
                message("assumptions.anchored_on_caches_of_smollm2"),
            )
        )
    return out


def _floored(model: LossModel) -> list[Note]:
    """What any change loses, and which formats of eight bits that hides from each other."""
    floor = model.floor
    if floor == NO_FLOOR:
        return [Note(FLOOR_KEY, message("assumptions.none"), floor.basis)]
    value, low, high = (f"{v:.2g}" for v in (floor.value_nats, floor.low_nats, floor.high_nats))
    out = [
        Note(
            FLOOR_KEY,
            message("assumptions.nats_of_any_change", value=value, low=low, high=high),
            floor.basis,
        )
    ]
    alike = alike_formats(model)
    if alike:
        out.append(
            Note(
                ALIKE_KEY,
                message("assumptions.cannot_be_told_apart", names=", ".join(alike)),
                message("assumptions.they_differ_by_less_than_floor", value=value),
            )
        )
    return out


def alike_formats(model: LossModel) -> tuple[str, ...]:
    """Most of the question's formats of eight bits whose uniform losses all lie within the floor of
    each other, two at least, the least lossy first; else none."""
    losses = {}
    for name in model.question.schemes:
        if EIGHT <= bits_per_element(SCHEMES[name].weight) < EIGHT + 1:
            try:
                losses[name] = uniform_loss(model, name)
            except UnsupportedError:
                continue
    ordered = sorted((loss, name) for name, loss in losses.items() if loss > UNCHANGED_NATS)
    within = [
        [name for loss, name in ordered[i:] if loss < least + model.floor.value_nats]
        for i, (least, _) in enumerate(ordered)
    ]
    most = max(within, key=len, default=[])
    return tuple(most) if len(most) > 1 else ()


def _ruled(model: LossModel) -> list[Note]:
    """On what the losses of kinds rest that were never measured, where their rule is dropped."""
    kinds = [k for k in model.question.dropped if k not in NO_OTHER and k in DERIVED_KINDS]
    if not kinds:
        return []
    return [
        Note(
            f"loss basis of {', '.join(kinds)}",
            message("assumptions.derived_band", rule_band=f"{model.prior.rule_band:g}"),
            message("assumptions.emulated_to_outputs_that_they"),
        )
    ]


def _joint_assumption(profile: Profile) -> Note:
    """How well the sum over units, and the share of flips, hold on this model."""
    ratios = [c.joint / c.total for c in profile.joint if c.total > 0]
    slope = profile.flips_per_root_nat
    least, most = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return Note(
        "additivity",
        message("assumptions.whole_model_to_sum_of_layers", least=least, most=most)
        if slope is None
        else message(
            "assumptions.whole_model_to_sum_with_flips",
            least=least,
            most=most,
            slope=f"{slope:.2f}",
        ),
        message("assumptions.measured_under_uniform", x=", ".join(c.scheme for c in profile.joint)),
    )


def loss_source(model: LossModel) -> SourceRef:
    """Where the losses come from."""
    profile = model.question.profile
    if profile is None:
        sensitivity = model.sensitivity
        return SourceRef(
            "loss-sensitivity",
            "; ".join(sensitivity.sources) + f"; errors emulated, seed {model.prior.seed}",
            sensitivity.date,
        )
    digest = profile.checkpoint.sha256[:16] or "no checkpoint"
    return SourceRef(
        "loss-profile",
        f"profile of {profile.model.id} ({digest}, seed "
        f"{profile.seed}, version {profile.tool_version})",
        "",
    )
