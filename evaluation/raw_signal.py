"""Signals as the tables have them: KL over the first percentile of the model, no more taken off.

The shipped signals have the floor of each layer taken off as well, where matrices that hardly do
anything show one (:mod:`planner.lab.tables.measured_losses`). Scores against both show what that
changes.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.left_out import Doubles
from evaluation.whole_types import tables_of, whole_floors
from planner.lab.tables.measured_losses import joined_groups, over_floor, read_table, rows_of
from planner.quality.sensitivity.kld_data import points_of
from planner.quality.sensitivity.records import KldModel

FLOOR_PART = 0.01


def raw_signal(model: KldModel, folders: tuple[Path, ...]) -> Doubles:
    """The raw signal of each shipped point, in their order; types of one model are a mean of their
    shares, as in the shipped ones."""
    rows, patterns = rows_of(model.name, *_tables(folders))
    shares: dict[tuple[str, int], list[float]] = defaultdict(list)
    for qtype in sorted({r["qtype"] for r in rows}):
        groups = joined_groups([r for r in rows if r["qtype"] == qtype], patterns)
        values = np.array([g.value for g in groups])
        values = values - np.quantile(values, FLOOR_PART)
        for group, value in zip(groups, (values / values.sum()).tolist(), strict=True):
            shares["+".join(group.stems), group.layer].append(value)
    return np.array(
        [
            np.mean(shares["+".join(m.stem for m in p.matrices), p.matrices[0].layer])
            for p in points_of(model.name)
        ]
    )


def joint_over_sum(model: KldModel, folders: tuple[Path, ...]) -> tuple[float, float, float] | None:
    """(KL of the whole model over its floor, that over the sum of its matrices' raw signals, over
    the sum of their signals above the floor of layers) under the type that cut single matrices; the
    mean over types; None where the whole model was not measured under it."""
    rows, patterns = rows_of(model.name, *_tables(folders))
    whole, floors = tables_of(folders)[model.name], whole_floors()
    found = []
    for qtype in sorted({r["qtype"] for r in rows} & whole.keys()):
        if model.name not in floors:
            continue
        groups = joined_groups([r for r in rows if r["qtype"] == qtype], patterns)
        inside = np.array([g.layer < model.structure.layers for g in groups])
        values, _, floor = over_floor(groups, model.structure.layers)
        raw = np.array([g.value for g in groups]) - floor
        joint = whole[qtype] - floors[model.name]
        found.append(
            (joint, *(joint / float(np.maximum(v, 0.0)[inside].sum()) for v in (raw, values)))
        )
    if not found:
        return None
    joint, over_raw, over_signal = np.mean(found, axis=0).tolist()
    return joint, over_raw, over_signal


@cache
def _tables(folders: tuple[Path, ...]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    tensors, groups = (
        [row for folder in folders for row in read_table(folder / f"kld_{name}.csv")]
        for name in ("tensors", "groups")
    )
    return tensors, groups
