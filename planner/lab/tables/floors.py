"""``python -m planner.lab.tables.floors``: from losses of whole models in q8_0 to floors.

    floor = K(q8_0) − level · e(q8_0),   at least a tenth of K(q8_0)

e is the emulated error of the type's weights; the level is measured where the model's, or its
sister's, was, else by active parameters. How floors scatter between families, structures and
measurements is estimated by restricted maximum likelihood over a grid, dense models and mixtures of
experts apart; what measurements of one structure scatter is common to both.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import DataError
from planner.base.records import record
from planner.lab.tables.measured_losses import ggml_weight_error
from planner.quality.floor import (
    DENSE,
    EXPERTS,
    KnownFloor,
    Scatter,
    log_prediction,
)
from planner.quality.sensitivity.kld_data import CREDIT, DATA, RELATIVE, SISTER, known_levels
from planner.quality.sensitivity.level import fitted_level
from planner.quality.sensitivity.predict import LEARNED

Doubles = NDArray[np.float64]
TYPE = "q8_0"
LEAST_PART = 0.1
HELD = 0.8
GRID = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
"""Standard deviations of ln floor that are tried."""


def main() -> None:
    """Write data/floors.json from data/floors.csv."""
    floors = measured_floors()
    spread = {
        name: replace(found, reach=float(f"{reach(floors, name, found):.3g}"))
        for name, found in scatters(floors).items()
    }
    text = {
        "credit": CREDIT,
        "method": "K(q8_0) less level times emulated error of q8_0's weights; standard deviations "
        "of ln floor by restricted maximum likelihood; reach holds 80 % of what was left out, by "
        "family, structure and model (planner/lab/tables/floors.py)",
        "scatter": {
            name: {"family": s.family, "structure": s.structure, "own": s.own, "reach": s.reach}
            for name, s in spread.items()
        },
        "floors": [
            {
                "name": k.name,
                "family": k.family,
                "structure": k.structure,
                "routed": k.routed,
                "floor_nats": k.floor_nats,
            }
            for k in floors
        ],
    }
    (DATA / "floors.json").write_text(
        json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
    )


def measured_floors() -> tuple[KnownFloor, ...]:
    """The floors of data/floors.csv, without those that have a reason against them."""
    with (DATA / "floors.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["reason"]]
    levels = {k.name: k.level for k in known_levels()}
    error = float(np.mean(list(ggml_weight_error()[TYPE].values())))
    found = []
    for row in rows:
        level = levels.get(row["model"]) or levels.get(row["structure"])
        level = level or fitted_level(float(row["active_billion"]), known_levels())
        loss = float(row["q8_0_nats"])
        found.append(
            KnownFloor(
                row["model"],
                row["family"],
                row["structure"],
                int(row["experts"]) > 0,
                float(f"{max(loss - level * error, LEAST_PART * loss):.3g}"),
            )
        )
    return tuple(found)


def scatters(floors: Sequence[KnownFloor]) -> dict[str, Scatter]:
    """By class; the deviation of measurements is the one that suits both classes best."""
    members = {
        DENSE: [k for k in floors if not k.routed],
        EXPERTS: [k for k in floors if k.routed],
    }
    classes = {name: _structures(known) for name, known in members.items() if known}
    best: tuple[float, dict[str, Scatter]] = (-math.inf, {})
    for own in GRID[1:]:
        of = {name: _most_likely(sums, own) for name, sums in classes.items()}
        likely = math.fsum(value for value, _ in of.values())
        if likely > best[0]:
            best = likely, {name: spread for name, (_, spread) in of.items()}
    return best[1]


def _most_likely(sums: _Structures, own: float) -> tuple[float, Scatter]:
    """(likelihood, scatter) of the best pair of the grid, the first of equals; a class of one
    family tells nothing of families."""
    families = np.array(GRID if sums.member.shape[1] > 1 else GRID[:1])
    values = _likelihoods(sums, families, np.array(GRID), own)
    f, s = divmod(int(np.argmax(values)), len(GRID))
    return float(values[f, s]), Scatter(GRID[f], GRID[s], own)


def reach(floors: Sequence[KnownFloor], name: str, spread: Scatter) -> float:
    """Standard deviations that hold 80 % of the class ``name``: each model is predicted without its
    family, where others of it are known without its structure, and without itself."""
    members = [k for k in floors if k.routed == (name == EXPERTS)]
    off = sorted(
        abs(math.log(k.floor_nats) - value) / deviation
        for k in members
        for value, deviation in left_out_predictions(k, members, spread).values()
    )
    return off[min(len(off) - 1, math.ceil(HELD * len(off) - 1e-9) - 1)]


def left_out_predictions(
    left: KnownFloor, members: Sequence[KnownFloor], spread: Scatter
) -> dict[str, tuple[float, float]]:
    """(ln floor, its deviation) of ``left`` by what is left out, where others can tell it."""
    kept = {
        LEARNED: [k for k in members if k.family != left.family],
        RELATIVE: [k for k in members if k.structure != left.structure],
        SISTER: [k for k in members if k.name != left.name],
    }
    tellable = {
        LEARNED: bool(kept[LEARNED]),
        RELATIVE: any(k.family == left.family for k in kept[RELATIVE]),
        SISTER: any(k.structure == left.structure for k in kept[SISTER]),
    }
    return {
        tier: log_prediction(kept[tier], {left.family}, {left.structure}, spread)
        for tier in kept
        if tellable[tier]
    }


@record
class _Structures:
    """ln floors of each structure [S]: their number, sum, and sum of squares about their mean, and
    whether it is of a family [S, F]."""

    count: Doubles
    total: Doubles
    around: Doubles
    member: Doubles


def _structures(members: Sequence[KnownFloor]) -> _Structures:
    """The sums of ``members``, whose structures are each of one family; ln floors about their mean,
    which the restricted likelihood does not depend on.

    Raises:
        DataError: a structure of two families.
    """
    logs = np.log([k.floor_nats for k in members])
    logs = logs - logs.mean()
    names = sorted({(k.family, k.structure) for k in members})
    if len({structure for _, structure in names}) != len(names):
        raise DataError(
            "a structure of two families", hint="a structure is of one family of models"
        )
    place = {structure: i for i, (_, structure) in enumerate(names)}
    at = np.array([place[k.structure] for k in members])
    count = np.bincount(at).astype(np.float64)
    total = np.bincount(at, logs).astype(np.float64)
    around = np.bincount(at, (logs - (total / count)[at]) ** 2).astype(np.float64)
    families = sorted({family for family, _ in names})
    member = np.array([[float(own == family) for family in families] for own, _ in names])
    return _Structures(count, total, around, member)


def _likelihoods(sums: _Structures, families: Doubles, structures: Doubles, own: float) -> Doubles:
    """ln of the restricted likelihood of the floors of one class, up to a constant, for every pair
    [F, S] of deviations of families and structures: that of
    :func:`planner.quality.floor.covariance`, structure by structure and family by family (Sherman
    and Morrison 1950), as what they share adds a multiple of ones to each block."""
    shared, between, alone = families[:, None, None] ** 2, structures[:, None] ** 2, own**2
    block = alone + sums.count * between
    weights, firsts = (sums.count / block) @ sums.member, (sums.total / block) @ sums.member
    squares = np.sum(sums.around / alone + sums.total**2 / (sums.count * block), axis=-1)
    size = np.sum((sums.count - 1.0) * math.log(alone) + np.log(block), axis=-1)
    grown = 1.0 + shared * weights
    weight, first = np.sum(weights / grown, axis=-1), np.sum(firsts / grown, axis=-1)
    squares = squares - np.sum(shared * firsts**2 / grown, axis=-1)
    size = size + np.sum(np.log(grown), axis=-1)
    return np.asarray(-0.5 * (size + squares - first**2 / weight + np.log(weight)))


if __name__ == "__main__":
    main()
