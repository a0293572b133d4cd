"""From the published tables to the shipped measurements: ``make families DATA="FOLDER FOLDER"``.

Each folder holds kld_tensors.csv, kld_groups.csv and kld_whole.csv, the tables of Thireus's GGUF
Tool Suite of some of its models. For every model of data/kld_models.toml:

- matrices that were cut together are one point;
- the floor is subtracted: the median of the layers of an unused prediction block where there are
  any, else the first percentile. Where a network has projections that hardly do anything (alpha and
  beta of gated delta nets), what they show layer by layer is floor as well: it falls with depth,
  because every change is carried through the rounding of all layers behind it;
- a model with several types gets the mean of their shares (ranks agree at 0.96 to 0.98);
- ``*_bn`` types are left out.

The level is what the whole-model table says: K(type) = floor + level · e(type), e the emulated
relative error of the type's weights, fitted in logarithms over the types of 4 to 8 bits.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.formats.ggml_types import PREFIX
from planner.quality.sensitivity.features import stem_of
from planner.quality.sensitivity.kld_data import DATA, KINDS, kld_index
from planner.quality.sensitivity.level import KNEE_NATS
from planner.quality.sensitivity.records import OUTSIDE, KldModel

_DATA = Path(__file__).resolve().parents[2] / "quality" / "data"
_RULED = ("router", "indexer", "norm")
"""Kinds of which no ggml type was measured, or what they hand on is no product of their weights."""


@cache
def ggml_weight_error() -> Mapping[str, Mapping[str, float]]:
    """Relative output error power [type][module kind] of weights alone, quantised from BF16.

    Types as ``q4_k`` (lower case, without suffixes such as ``_r4``, which only interleave rows),
    kinds those of linear layers, ``head`` and ``embedding``. Without an importance matrix. Source:
    the emulated quantisers on synthetic tensors (:mod:`planner.lab.tables.errors`,
    :mod:`planner.lab.tables.ggml`).
    """
    others = _weight_error("ggml_weight_error.json")
    errors_by_type: dict[str, dict[str, float]] = {}
    for kind, row in _weight_error("relative_error.json")["bf16"].items():
        if kind not in _RULED:
            for scheme, error in row.items():
                if scheme.startswith(PREFIX):
                    errors_by_type.setdefault(scheme.removeprefix(PREFIX), {})[kind] = error
    return MappingProxyType(
        {name: MappingProxyType(row) for name, row in (errors_by_type | others).items()}
    )


def _weight_error(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((_DATA / name).read_text(encoding="utf-8"))["weight_error"]
    return table


Doubles = npt.NDArray[np.float64]
BROKEN = "_bn"
NOTHING = ("ssm_alpha", "ssm_beta")
"""Projections that hardly do anything: they show the floor of their layer."""
LEVEL_TYPES = ("q8_0", "q6_0", "q6_k", "q5_0", "q5_1", "q5_k", "q4_0", "q4_1", "q4_k", "iq4_nl",
               "iq4_xs")  # fmt: skip
FINE_TYPES = LEVEL_TYPES[:6]
"""For a baseline below 8 bits, whose own grid lies among the coarser types."""
SCATTER_OVER_SPREAD = 0.7
"""Of one type's ln loss around the law (0.25), over that of models' g (0.35)."""
COARSE_TYPES = ("q3_k", "q2_k")
"""Types whose losses show where sums stop to hold."""
FINE_BASELINES = ("bf16", "q8_0", "iq6_k")
_NAME = re.compile(r"blk\.(\d+)\.")


class KldGroup:
    """Values of one type of one model that were measured apart: stems, layer, KL."""

    def __init__(self, stems: tuple[str, ...], layer: int, value: float) -> None:
        self.stems, self.layer, self.value = stems, layer, value


def main(folders: Sequence[Path]) -> None:
    """Write data/kld from the tables in ``folders``."""
    target = DATA / "kld"
    target.mkdir(exist_ok=True)
    tensors, groups, full_rows = (
        [row for folder in folders for row in read_table(folder / f"kld_{name}.csv")]
        for name in ("tensors", "groups", "whole")
    )
    made: dict[str, dict[str, object]] = {}
    sums: dict[str, dict[str, float]] = {}
    for model in kld_index():
        own, patterns = rows_of(model.name, tensors, groups)
        points, floor, totals = _points(model, own, patterns)
        (target / f"{model.name}.csv").write_text(_csv(points), encoding="utf-8", newline="\n")
        made[model.name] = {
            "qtype": "+".join(sorted({r["qtype"] for r in own})),
            "floor_nats": _six(floor),
            **_level(model, [r for r in full_rows if r["model"] == model.name]),
        }
        sums[model.name] = totals
    _add_saturations(made, sums, full_rows)
    (target / "whole.csv").write_text(_uniform_csv(full_rows), encoding="utf-8", newline="\n")
    (target / "levels.json").write_text(
        json.dumps(made, indent=1) + "\n", encoding="utf-8", newline="\n"
    )


def rows_of(
    name: str,
    tensors: Iterable[dict[str, str]],
    groups: Iterable[dict[str, str]],
) -> tuple[list[dict[str, str]], list[str]]:
    """(rows of one model without broken types, patterns of what was cut together)."""
    return (
        [r for r in tensors if r["model"] == name and BROKEN not in r["qtype"]],
        [r["pattern"] for r in groups if r["model"] == name],
    )


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a published table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _points(
    model: KldModel,
    rows: Sequence[Mapping[str, str]],
    patterns: Sequence[str],
) -> tuple[list[tuple[str, int, float, float]], float, dict[str, float]]:
    """((stems, layer, signal, noise) …, floor, sum of signals by type); signals are a mean over the
    types in the unit of the first."""
    sums: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    totals: dict[str, float] = {}
    first_total, floor = 0.0, 0.0
    for qtype in sorted({r["qtype"] for r in rows}):
        groups = joined_groups([r for r in rows if r["qtype"] == qtype], patterns)
        values, noise, base = over_floor(groups, model.structure.layers)
        total = float(np.maximum(values, 0.0).sum())
        totals[qtype] = total
        first_total, floor = first_total or total, floor or base
        for group, value, sd in zip(groups, values.tolist(), noise.tolist(), strict=True):
            if group.layer < model.structure.layers and all(s in KINDS for s in group.stems):
                sums["+".join(group.stems), group.layer].append((value / total, sd / total))
    return (
        [
            (
                stems,
                layer,
                float(np.mean([v for v, _ in groups])) * first_total,
                float(np.mean([s for _, s in groups])) * first_total,
            )
            for (stems, layer), groups in sums.items()
        ],
        floor,
        totals,
    )


def joined_groups(rows: Sequence[Mapping[str, str]], patterns: Sequence[str]) -> list[KldGroup]:
    """Of one type: an entry for the tensors of a pattern that have one value; else one each, and
    one for a layer's shared expert where its matrices have one value (some tables name no pattern
    for it)."""
    compiled = [re.compile("|".join(f"(?:{part})" for part in p.split(","))) for p in patterns]
    members: dict[object, list[Mapping[str, str]]] = {}
    for row in rows:
        at = next((n for n, p in enumerate(compiled) if p.search(row["tensor"])), None)
        members.setdefault(row["tensor"] if at is None else at, []).append(row)
    together: list[list[Mapping[str, str]]] = []
    for members_of_one in members.values():
        same = len({r["kld"] for r in members_of_one}) == 1
        together += [members_of_one] if same else _shared_experts(members_of_one)
    return [
        KldGroup(
            tuple(sorted(stem_of(r["tensor"]) for r in members_of_one)),
            _layer(members_of_one[0]["tensor"]),
            float(members_of_one[0]["kld"]),
        )
        for members_of_one in together
    ]


def _shared_experts(rows: Sequence[Mapping[str, str]]) -> list[list[Mapping[str, str]]]:
    """Rows one by one, those of a layer's shared expert that have one value together."""
    found: dict[object, list[Mapping[str, str]]] = {}
    for row in rows:
        tensor = row["tensor"]
        shared = (_layer(tensor), row["kld"]) if "_shexp" in tensor else tensor
        found.setdefault(shared, []).append(row)
    return list(found.values())


def _layer(tensor: str) -> int:
    inside = _NAME.match(tensor)
    return int(inside[1]) if inside else OUTSIDE


def over_floor(groups: Sequence[KldGroup], layers: int) -> tuple[Doubles, Doubles, float]:
    """(values over the floor of their layer, their noise, the floor)."""
    values = np.array([g.value for g in groups])
    unused = np.array([g.value for g in groups if g.layer >= layers])
    if len(unused) > 3:
        floor, noise = float(np.median(unused)), float(np.std(unused))
    else:
        floor, noise = float(np.quantile(values, 0.01)), 0.0
    changed = values[values > 0]  # an exact repetition of the baseline scatters by nothing
    spread = float(np.quantile(changed, 0.05) - np.quantile(changed, 0.01))
    noise = max(noise, spread, 0.01 * floor, 1e-5)
    by_depth = _depth_floor(groups, floor)
    return values - floor - by_depth, np.hypot(noise, 0.3 * by_depth), floor


def _depth_floor(groups: Sequence[KldGroup], floor: float) -> Doubles:
    """What matrices that hardly do anything show above ``floor``, by the layer of each entry."""
    shown: dict[int, float] = {}
    for group in groups:
        if len(group.stems) == 1 and group.stems[0] in NOTHING:
            shown[group.layer] = min(shown.get(group.layer, np.inf), group.value - floor)
    if not shown:
        return np.zeros(len(groups))
    at = sorted(shown)
    smooth = [
        float(np.median([shown[k] for k in at[max(0, n - 2) : n + 3]])) for n in range(len(at))
    ]
    level = np.interp([g.layer for g in groups], at, np.maximum(smooth, 0.0))
    return np.where([g.layer == OUTSIDE for g in groups], 0.0, level)


def _level(model: KldModel, rows: Iterable[Mapping[str, str]]) -> dict[str, object]:
    """The level [nats per unit of relative error power] and the factor that holds 80 % of types;
    nothing where the table cannot give one."""
    if not model.levelled:
        return {}
    types = LEVEL_TYPES if model.baseline in FINE_BASELINES else FINE_TYPES
    errors = ggml_weight_error()
    measured = {r["qtype"].lower(): float(r["kld"]) for r in rows}
    names = [t for t in types if measured.get(t, 0.0) > 0]
    if len(names) < 4:
        return {}
    k = np.array([measured[t] for t in names])
    e = np.array([_mean_error(errors[t]) for t in names])
    floor, level = _fit_level(k, e)
    off = np.abs(np.log(k / (floor + level * e)))
    return {
        "level": _six(level),
        "level_band": _six(float(np.exp(np.quantile(off, 0.8)))),
        "whole_floor_nats": _six(floor),
        "level_types": names,
    }


def _add_saturations(
    made: dict[str, dict[str, Any]],
    sums: Mapping[str, Mapping[str, float]],
    rows: Iterable[Mapping[str, str]],
) -> None:
    """g of every model with a level over a fine baseline whose table goes beyond the knee: what the
    whole model loses over level · e, for coarse types and those that single matrices were cut to.

    A model's own sum of single losses is no measure of x: where most matrices lie near the floor,
    it holds a third to twice of level · e.
    """
    levelled = [m for m in kld_index() if "level" in made[m.name] and m.baseline in FINE_BASELINES]
    errors = {t: _mean_error(ggml_weight_error()[t]) for t in COARSE_TYPES}
    errors = cut_errors(sums, {m.name: made[m.name]["level"] for m in levelled if m.clean}) | errors
    measured = {(r["model"], r["qtype"].lower()): float(r["kld"]) for r in rows}
    for model in levelled:
        found = made[model.name]
        floor = found["whole_floor_nats"]
        pairs = [
            (measured[model.name, t] - floor, found["level"] * error)
            for t, error in errors.items()
            if measured.get((model.name, t), 0.0) > floor
        ]
        found["saturation"] = _saturation(pairs)


def cut_errors(
    sums: Mapping[str, Mapping[str, float]], levels: Mapping[str, float]
) -> dict[str, float]:
    """The error of each type that single matrices were cut to: what they lose in sum over the
    level, the median of the models of ``levels`` (clean ones). Each matrix loses little by itself,
    so that no law of joint losses is in it; of Q2_K, which is emulated, it says 0.103 for 0.110."""
    return {
        name: float(np.median([sums[m][name] / level for m, level in levels.items()
                               if name in sums.get(m, {})]))
        for name in sorted({t for m in levels for t in sums.get(m, {})})
    }  # fmt: skip


def _mean_error(by_kind: Mapping[str, float]) -> float:
    return float(np.mean(list(by_kind.values())))


def _saturation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """g of (loss, sum) pairs beyond the knee: the least squares of ln(loss / sum) =
    g·ln(sum / 0.3), drawn to 0 where few or near ones say little; None where no sum is beyond
    it."""
    far = [
        (math.log(total / KNEE_NATS), math.log(loss / total))
        for loss, total in pairs
        if total > 1.2 * KNEE_NATS
    ]
    bottom = sum(x * x for x, _ in far)
    return _six(sum(x * y for x, y in far) / (bottom + SCATTER_OVER_SPREAD**2)) if bottom else None


def _fit_level(k: Doubles, e: Doubles) -> tuple[float, float]:
    """(floor, level) of K = floor + level·e with the least squares of logarithms, on a grid."""
    floors = np.concatenate([[0.0], np.geomspace(1e-3, 0.95, 40) * float(k.min())])
    levels = np.geomspace(0.2, 200.0, 600)
    grid = np.log(floors[:, None, None] + levels[None, :, None] * e)
    cost = ((np.log(k) - grid) ** 2).sum(axis=2)
    at = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return float(floors[at[0]]), float(levels[at[1]])


def _uniform_csv(rows: Iterable[Mapping[str, str]]) -> str:
    """Whole models in the plain types of 2 to 8 bits, of the models of the index."""
    names = {m.name for m in kld_index()}
    lines = [
        f"{r['model']},{r['qtype'].lower()},{float(r['kld']):.6g}"
        for r in rows
        if r["model"] in names
        and r["qtype"].lower() in (*LEVEL_TYPES, *COARSE_TYPES)
        and float(r["kld"]) > 0
    ]
    return "\n".join(["model,qtype,kld_nats", *lines]) + "\n"


def _csv(points: Iterable[tuple[str, int, float, float]]) -> str:
    lines = [
        f"{stems},{layer},{signal:.4g},{noise:.3g}"
        for stems, layer, signal, noise in sorted(points, key=lambda p: (p[1], p[0]))
    ]
    return "\n".join(["stems,layer,signal_nats,noise_nats", *lines]) + "\n"


def _six(value: float) -> float:
    return float(f"{value:.5e}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
