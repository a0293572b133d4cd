"""Imported scores as profile units: module names matched to the model's matrices."""

from __future__ import annotations

from collections.abc import Mapping

from planner.base.errors import DataError
from planner.lab.scores.alphas import alpha_units
from planner.lab.scores.gguf import above_floor
from planner.lab.scores.places import TIED, Key, Places, places_of
from planner.lab.scores.records import ALPHA, KLD, LOSS, SENSITIVITY, Scores
from planner.models.spec import ModelSpec
from planner.quality.prior import NORM_SCHEME, load_prior
from planner.quality.profile import ProfileUnit

ANCHORS = ("fp8-block", "fp8-channel", "fp8-tensor", "int8-w8a8")


def score_units(scores: Scores, spec: ModelSpec) -> tuple[list[ProfileUnit], str, list[str]]:
    """(units, anchor, notes). Relative scores are divided by the uniform sum of the anchor.

    A unit is the sum of its modules' scores; the scheme of the release costs nothing.

    Raises:
        DataError: a module that the model does not have, or no unit at all.
    """
    places = places_of(spec)
    notes = [f"losses were measured elsewhere ({scores.program}) and are taken as they are"]
    if scores.column == KLD:
        scores = above_floor(scores, places)
    if scores.column in (SENSITIVITY, ALPHA):
        units, more = alpha_units(scores, places, load_prior())
        notes[0] = f"sensitivities were measured elsewhere ({scores.program})"
        notes += [*more, *_missing_notes(places, {(u.kind, u.layer) for u in units})]
        return units, NORM_SCHEME, notes
    sums, aside = _sums(scores, places)
    if not sums:
        raise DataError(
            f"scores: all are of what plans keep as released: {', '.join(aside)}",
            hint="score the linears of the decoder layers",
        )
    notes += [*scores.notes, *_share_expert_scores(sums), *_missing_notes(places, set(sums))]
    if aside:
        notes.append(f"scores of {', '.join(aside)} are not used: plans keep these as released")
    for losses in sums.values():
        losses.setdefault(spec.quantization, 0.0)
    anchor, factor = ("fp8-block", 1.0) if scores.column == LOSS else _anchor(sums)
    units = [
        ProfileUnit(
            f"{kind}.{layer}",
            kind,
            layer,
            None,
            f"scores of {scores.program}",
            "not measured here",
            {},
            {name: float(f"{v / factor:.5e}") for name, v in sorted(losses.items())},
        )
        for (kind, layer), losses in sorted(sums.items(), key=lambda i: (i[0][1], i[0][0]))
    ]
    return units, anchor, notes


def _sums(scores: Scores, places: Places) -> tuple[dict[Key, dict[str, float]], list[str]]:
    """Losses by unit and scheme, and the kinds that plans keep as released."""
    sums: dict[Key, dict[str, float]] = {}
    aside: set[str] = set()
    for entry in scores.entries:
        places_of_entry = {places.of(name) for name in entry.modules}
        aside |= {kind for kind, layer in places_of_entry if layer is None}
        keys = sorted((kind, layer) for kind, layer in places_of_entry if layer is not None)
        for n, key in enumerate(keys):  # quantised together: the first carries the score
            losses = sums.setdefault(key, {})
            losses[entry.scheme] = losses.get(entry.scheme, 0.0) + (0.0 if n else entry.value)
    return sums, sorted(aside)


def _missing_notes(places: Places, given: set[Key]) -> list[str]:
    missing = sorted(places.units - given)
    return (
        [
            f"{len(missing)} units have no score and stay as released, first {missing[0][0]} of "
            f"layer {missing[0][1]}"
        ]
        if missing
        else []
    )


def _share_expert_scores(sums: dict[Key, dict[str, float]]) -> list[str]:
    """A score of one projection of the experts stands for both."""
    alone = [
        (kind, layer) for kind, layer in sums if kind in TIED and (TIED[kind], layer) not in sums
    ]
    for kind, layer in alone:
        sums[TIED[kind], layer] = dict.fromkeys(sums[kind, layer], 0.0)
    return (
        ["a score of the experts' gate-up or down stands for both, which are one decision"]
        if alone
        else []
    )


def _anchor(sums: Mapping[Key, Mapping[str, float]]) -> tuple[str, float]:
    """The 8-bit scheme that every unit has a score in, and its uniform sum."""
    for name in ANCHORS:
        if all(name in losses for losses in sums.values()):
            total = sum(losses[name] for losses in sums.values())
            if total > 0:
                return name, total
    raise DataError(
        "the scores have no 8-bit scheme that covers every unit, so that they have no unit",
        hint="score one of " + ", ".join(ANCHORS) + ", or give loss_nats",
    )
