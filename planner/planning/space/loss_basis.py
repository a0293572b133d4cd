"""What a plan says of its losses: what they rest on, what rules hold, where figures are from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from planner.formats.schemes import SCHEMES
from planner.planning.plan.record import Assumption, SourceRef
from planner.planning.question.policies import NO_OTHER
from planner.planning.space.losses import (
    LossModel,
    accumulated,
    profiled_unit,
    tier,
    total_band,
)
from planner.quality.accumulators import EXACT, UNKNOWN, path_of
from planner.quality.prior import DERIVED_KINDS, RULE_KINDS, stands_in

if TYPE_CHECKING:
    from planner.quality.profile import Profile


def rule_weight(model: LossModel) -> dict[str, float]:
    """Share of each kind that rules keep, where it was measured, of the model's summed sensitivity;
    nothing under a profile, which has none of these kinds."""
    if model.question.profile is not None:
        return {}
    found = model.sensitivity
    sums = {
        kind: math.fsum(alpha for (k, _), alpha in found.by_unit.items() if k == kind)
        for kind in RULE_KINDS
    }
    return {kind: value / found.level for kind, value in sums.items() if value > 0}


def _accumulators(model: LossModel) -> list[Assumption]:
    """What accumulators add, by scheme: the largest share of a module's rounding error."""
    shares, unknown = [], []
    for scheme in model.question.schemes:
        path = path_of(
            model.question.device.compute_capability, SCHEMES[scheme], model.question.device.target
        )
        if path == UNKNOWN:
            unknown.append(scheme)
        elif path != EXACT and (added := _largest_share(model, scheme)) is not None:
            shares.append(f"{scheme} at most {added:.2%} ({path})")
    out = []
    if shares:
        out.append(
            Assumption(
                "accumulators",
                "; ".join(shares),
                "of the rounding error of any module, emulated bit "
                "by bit on synthetic tensors; /128: partial sums added in FP32 every 128 inputs; "
                "integer sums are exact",
            )
        )
    if unknown and model.question.device.kind != "cpu":
        out.append(
            Assumption(
                "accumulators not counted",
                ", ".join(unknown),
                "no matrix unit of this device is known to multiply them",
            )
        )
    return out


def _largest_share(model: LossModel, scheme: str) -> float | None:
    shares = []
    for row, module in enumerate(model.planned):
        error = model.prior.error[model.references[row]].get(module.kind, {}).get(scheme)
        if error:
            shares.append(accumulated(model, row, scheme) / error)
    return max(shares, default=None)


def loss_assumptions(model: LossModel) -> list[Assumption]:
    """On what the losses rest."""
    profile = model.question.profile
    if profile is None:
        return [*_learned(model), *_ruled(model), *_accumulators(model)]
    out = [
        Assumption(
            "loss basis",
            f"{profile.label}, band ×/÷ {profile.band_factor:.3g}",
            f"profile of {profile.model.id}; {profile.band_basis}",
        ),
        *_accumulators(model),
    ]
    bases = {u.error_basis for u in profile.units if u.kind in {x.kind for x in model.units}}
    out.append(Assumption("error basis", "; ".join(sorted(bases)), "stated by the profile"))
    if profile.settings.get("inputs"):
        out.append(
            Assumption(
                "input scales",
                str(profile.settings["inputs"]),
                f"calibrated on {profile.settings.get('calibration', 'no text')}; "
                "serve these schemes in the same way",
            )
        )
    if profile.joint:
        out.append(_joint_assumption(profile))
    out += [Assumption("profile", note, "stated by the profile") for note in profile.notes]
    missing = [
        u.id for u in model.units if u.role != "released" and profiled_unit(profile, u) is None
    ]
    if missing:
        out.append(
            Assumption(
                "not profiled",
                f"{len(missing)} units, first {missing[0]}",
                "they have no loss and stay as released",
            )
        )
    if profile.skipped:
        out.append(
            Assumption(
                "skipped tensors",
                f"{len(profile.skipped)}, first {profile.skipped[0].tensor}",
                profile.skipped[0].reason,
            )
        )
    return out


def _learned(model: LossModel) -> list[Assumption]:
    """What T0 rests on: in a line, then the level, activations and caches."""
    found, anchors = model.sensitivity, model.prior
    out = [
        Assumption("loss basis", f"{tier(model)}, band ×/÷ {total_band(model):.2g}", found.text),
        Assumption(
            "loss level",
            f"{found.level:.2g} nats per unit of output error, ×/÷ {found.level_band:.2g}",
            found.level_basis,
        ),
        Assumption(
            "loss of activations",
            f"as of weights, ×/÷ {anchors.activation_band:g}",
            "errors of one output weigh alike; measured on two small models",
        ),
    ]
    stored = sorted({m.released_as for m in model.planned if stands_in(m.released_as, anchors)})
    if stored:
        out.append(
            Assumption(
                "errors of stored types",
                f"as from BF16: {', '.join(stored)}",
                "no table of errors was emulated from these grids",
            )
        )
    if any(u.role == "cache" for u in model.units):
        out.append(
            Assumption(
                "loss of caches",
                f"as the attention output's, ×/÷ {anchors.cache_band:g}",
                "anchored on caches of SmolLM2-135M",
            )
        )
    return out


def _ruled(model: LossModel) -> list[Assumption]:
    """On what the losses of kinds rest that were never measured, where their rule is dropped."""
    kinds = [k for k in model.question.dropped if k not in NO_OTHER and k in DERIVED_KINDS]
    if not kinds:
        return []
    return [
        Assumption(
            f"loss basis of {', '.join(kinds)}",
            f"derived, band ×/÷ {model.prior.rule_band:g}",
            "emulated to the outputs that they change, and weighed as those; "
            "accumulators not counted",
        )
    ]


def _joint_assumption(profile: Profile) -> Assumption:
    """How well the sum over units, and the share of flips, hold on this model."""
    ratios = [c.joint / c.total for c in profile.joint if c.total > 0]
    slope = profile.flips_per_root_nat
    share = "" if slope is None else f"; flips {slope:.2f} × √nats"
    return Assumption(
        "additivity",
        f"whole model {min(ratios):.2f} to {max(ratios):.2f} × the sum of its layers" + share,
        f"measured under uniform {', '.join(c.scheme for c in profile.joint)}",
    )


def loss_source(model: LossModel) -> SourceRef:
    """Where the losses come from."""
    profile = model.question.profile
    if profile is None:
        found = model.sensitivity
        return SourceRef(
            "loss-sensitivity",
            "; ".join(found.sources) + f"; errors emulated, seed {model.prior.seed}",
            found.date,
        )
    digest = profile.checkpoint.sha256[:16] or "no checkpoint"
    return SourceRef(
        "loss-profile",
        f"profile of {profile.model.id} ({digest}, seed "
        f"{profile.seed}, version {profile.tool_version})",
        "",
    )
