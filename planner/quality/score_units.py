"""Imported scores as profile units: module names matched to the model's matrices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from planner.errors import DataError
from planner.models.spec import ModelSpec
from planner.models.strict_json import shown
from planner.placement.modules import PLANNED_KINDS
from planner.quality.profile import ProfileUnit
from planner.quality.score_import import LOSS, Scores

ANCHORS = ("fp8-block", "fp8-channel", "fp8-tensor", "int8-w8a8")
_TIED = {"experts-gate-up": "experts-down", "experts-down": "experts-gate-up"}
Key = tuple[str, int]


def score_units(scores: Scores, spec: ModelSpec) -> tuple[list[ProfileUnit], str, list[str]]:
    """(units, anchor, notes). Relative scores are divided by the uniform sum of the anchor.

    A unit is the sum of its modules' scores; the scheme of the release costs nothing.

    Raises:
        DataError: a module that the model does not have, or no unit at all.
    """
    sums: dict[Key, dict[str, float]] = {}
    for entry in scores.entries:
        keys = {_unit_of(name, spec) for name in entry.modules}
        for n, key in enumerate(sorted(keys)):  # quantised together: the first carries the score
            losses = sums.setdefault(key, {})
            losses[entry.scheme] = losses.get(entry.scheme, 0.0) + (0.0 if n else entry.value)
    notes = [f"losses were measured elsewhere ({scores.program}) and are taken as they are",
             *scores.notes, *_share_expert_scores(sums)]
    missing = sorted(_expected(spec) - set(sums))
    if missing:
        notes.append(f"{len(missing)} units have no score and stay as released, first "
                     f"{missing[0][0]} of layer {missing[0][1]}")
    for losses in sums.values():
        losses.setdefault(spec.quantization, 0.0)
    anchor, factor = ("fp8-block", 1.0) if scores.column == LOSS else _anchor(sums)
    units = [ProfileUnit(f"{kind}.{layer}", kind, layer, None, f"scores of {scores.program}",
                         "not measured here", {},
                         {name: float(f"{v / factor:.5e}") for name, v in sorted(losses.items())})
             for (kind, layer), losses in sorted(sums.items(), key=lambda i: (i[0][1], i[0][0]))]
    return units, anchor, notes


def _share_expert_scores(sums: dict[Key, dict[str, float]]) -> list[str]:
    """Both projections of the experts are one decision: a score of one stands for both."""
    alone = [(kind, layer) for kind, layer in sums
             if kind in _TIED and (_TIED[kind], layer) not in sums]
    for kind, layer in alone:
        sums[_TIED[kind], layer] = dict.fromkeys(sums[kind, layer], 0.0)
    return ["a score of the experts' gate-up or down stands for both, which are one decision"] \
        if alone else []


def _anchor(sums: Mapping[Key, Mapping[str, float]]) -> tuple[str, float]:
    """The 8-bit scheme that every unit has a score in, and its uniform sum."""
    for name in ANCHORS:
        if all(name in losses for losses in sums.values()):
            total = sum(losses[name] for losses in sums.values())
            if total > 0:
                return name, total
    raise DataError("the scores have no 8-bit scheme that covers every unit, so that they have no "
                    "unit", hint="score one of " + ", ".join(ANCHORS) + ", or give loss_nats")


def _expected(spec: ModelSpec) -> set[Key]:
    return {(row.kind, layer) for row in spec.rows if row.part == "main" and row.is_matrix
            and row.kind in PLANNED_KINDS and row.copy_of is None for layer in row.layers}


def _unit_of(name: str, spec: ModelSpec) -> Key:
    """(kind, layer) of a module name, of a unit id, or of a tensor."""
    kind, _, layer = name.rpartition(".")
    if kind in PLANNED_KINDS and layer.isdigit() and (kind, int(layer)) in _expected(spec):
        return kind, int(layer)
    bare = name.removesuffix(".quant_recipe").removesuffix(".weight")
    for pattern, row_kind, layers in _patterns(tuple(
            (row.name, row.kind, row.layers) for row in spec.rows
            if row.part == "main" and row.is_matrix and row.kind in PLANNED_KINDS)):
        found = pattern.fullmatch(bare)
        if found and int(found["layer"]) in layers:
            return row_kind, int(found["layer"])
    raise DataError(f"scores: {spec.id} has no module {shown(name)}",
                    hint="names are those of the checkpoint, such as "
                         "model.layers.0.self_attn.q_proj, or units such as mlp-down.0")


@cache
def _patterns(rows: tuple[tuple[str, str, tuple[int, ...]], ...],
              ) -> Sequence[tuple[re.Pattern[str], str, frozenset[int]]]:
    out = []
    for name, kind, layers in rows:
        text = re.escape(name.removesuffix(".weight"))
        text = text.replace(re.escape("{layer}"), r"(?P<layer>\d+)", 1)
        text = text.replace(re.escape("{layer}"), r"(?P=layer)")
        text = text.replace(re.escape("{expert}"), r"\d+")
        out.append((re.compile(text), kind, frozenset(layers)))
    return out
