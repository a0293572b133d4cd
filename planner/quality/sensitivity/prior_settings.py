"""How far the parts of the learned prior may vary: variances by group of features.

A prior has a few settings, from which the variance of every group of features follows, for what all
models share, for a kind of network, for a family and for a model. They are chosen by leaving
families out (``python -m evaluation.prior_search``): for a family that is itself left out, on the
others only. data/kld/prior_settings.csv has one row for each family left out, one ("") with all
families, by seed of the search.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from planner.quality.sensitivity.kld_data import DATA

Doubles = npt.NDArray[np.float64]
PATH = DATA / "kld" / "prior_settings.csv"
PARTS = ("shared", "kind", "family", "model")
"""Of coefficients: what all models share, and deviations of kinds of network, families, models."""
RANGES: Mapping[str, tuple[float, float]] = MappingProxyType({
    "depth": (0.002, 0.1), "depth-kind": (0.01, 0.3), "depth-family": (0.01, 0.3),
    "size": (0.001, 0.05), "kind": (0.5, 5.0), "family": (0.2, 5.0), "side": (0.05, 1.0),
    "matrix": (0.01, 0.3),
})  # fmt: skip
"""Settings, with the least and the most of the search: variances of functions of depth, shared, of
a kind of network and of a family; of slopes over the size of a network; of everything else, ratios
of a kind's and a family's variance to the shared one; of sides and of roles in their class, the
shared one."""
Settings = Mapping[str, float]
FIXED: Mapping[str, float] = MappingProxyType({
    "block": 0.2, "path": 0.2, "class": 0.2, "role": 0.05,
})  # fmt: skip
"""Shared variances of what is not searched."""
DEPTH_LEVELS: Mapping[str, float] = MappingProxyType(
    {"all": 1.0, "block": 1.0, "path": 1.0, "class": 0.2}
)
"""Variance of what shares a function of depth, over the setting."""
FINER, ENDS = 0.4, 0.3
"""Of the second function of depth over the slope, of the third and later over the second; of single
first and last layers over the slope."""
MODEL = 0.5
"""Variance of a model's own part over that of the shared one."""
OUTSIDE = (9.0, 0.1, 0.3, 0.3)
"""Head and embedding are nearly free: two points of a model weigh nothing in a rank correlation and
up to half of its loss."""
TINY = 1e-7


def variances(settings: Settings, columns: Sequence[str]) -> tuple[Doubles, ...]:
    """The variances (columns,) of each part in PARTS order."""
    groups = {name.split(":")[0] for name in columns}
    of_group = {g: np.maximum(_of_group(settings, g), TINY) for g in groups}
    table = np.array([of_group[name.split(":")[0]] for name in columns])
    return tuple(np.ascontiguousarray(part) for part in table.T)


def _of_group(s: Settings, group: str) -> tuple[float, float, float, float]:
    if group == "outside":
        return OUTSIDE
    if group == "narrow":
        return 0.03, 0.01, 0.05, 0.01
    if group == "chosen":
        return 0.1, 0.01, 0.1, TINY
    if group == "size":
        return 0.3 * s["size"], 0.03 * s["size"], TINY, TINY
    what, *level = group.split("-")
    if not level:
        shared = s[group] if group in s else FIXED[group]
        return shared, shared * s["kind"], shared * s["family"], shared * MODEL
    weight = DEPTH_LEVELS[level[0]] * (ENDS if what == "end" else FINER ** (int(level[1]) - 1))
    if what == "size":
        return weight * s["size"], 0.1 * weight * s["size"], TINY, TINY
    shared = weight * s["depth"]
    return shared, weight * s["depth-kind"], weight * s["depth-family"], shared * MODEL


@cache
def chosen_settings() -> Mapping[tuple[str, int], Settings]:
    """Settings by (family left out, seed of the search); "" where no family was."""
    with PATH.open(encoding="utf-8", newline="") as file:
        return {
            (row["left_out"], int(row["seed"])): {name: float(row[name]) for name in RANGES}
            for row in csv.DictReader(file)
        }


def settings_without(families: Collection[str], seed: int = 0) -> Settings:
    """The settings that were chosen without the first of ``families`` that the search left out;
    those of all families where none is given."""
    found = chosen_settings()
    known = [f for f in sorted(families) if (f, seed) in found]
    return found[known[0] if known else "", seed]
