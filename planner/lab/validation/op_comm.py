"""Rows of collectives (``op_comm``): interpolated from the device's table, else by the formula.

A size that is kept back is interpolated from the others; a size of the table is ``fitted``. Rows of
element types or versions that the table does not hold are ``held-out``. A device without a table
takes its relative's formula with its own links (``transferred``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile, FittedSet
from planner.lab.validation.comm_rows import Collective, collectives
from planner.lab.validation.op_rows import Z80, Rows, in_order, missing, predicted, regimes
from planner.lab.validation.records import Outcome
from planner.throughput.calibration import find
from planner.throughput.forms.collective import FORMULA, OPERATOR, collective_seconds, table_of
from planner.throughput.silicon import chip

Array = NDArray[np.float64]
KEPT = ("bf16", "fp16")


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table like op_comm.csv."""
    groups, unknown, bad = collectives(rows)
    sizes = _sizes_kept_back(groups)
    return in_order(
        table,
        groups,
        lambda name, group: _group(name, group, sizes),
        bad,
        ((batch, batch.words[2]) for batch in unknown),
    )


Left = Mapping[tuple[str, str, str], dict[int, frozenset[float]]]


def _sizes_kept_back(groups: list[Collective]) -> Left:
    """(device, stack, variant) → sizes that are kept back in tables, by number of ranks."""
    found: dict[tuple[str, str, str], dict[int, frozenset[float]]] = {}
    for group in groups:
        if group.format not in KEPT:
            continue
        sizes = found.setdefault((group.batch.device, group.stack, group.variant), {})
        for ranks, size in zip(
            group.ranks[group.held].tolist(), group.size[group.held].tolist(), strict=True
        ):
            sizes[int(ranks)] = sizes.get(int(ranks), frozenset()) | {size}
    return found


def _group(table: str, group: Collective, left: Left) -> list[Outcome]:
    device, batch = group.batch.profile, group.batch
    if device is None or not group.stack:
        return missing(
            table,
            batch,
            "unknown device" if device is None else "unknown engine",
            format=group.format,
            measured=group.seconds,
        )
    formula = find(device, OPERATOR, [group.stack], [group.variant + FORMULA])
    figures = chip(device)
    if formula is None or figures is None or figures.link_bytes_per_s <= 0:
        return missing(table, batch, "not measured", format=group.format, measured=group.seconds)
    key = (OPERATOR, group.stack, group.variant)
    measured = device.fitted.get(key)
    link = figures.link_bytes_per_s
    if measured is None:
        seconds = collective_seconds(
            formula.fit.parameters, group.op, link, group.ranks, group.size
        )
        return predicted(
            table,
            batch,
            format=group.format,
            measured=group.seconds,
            seconds=seconds,
            spread=Z80 * formula.sigma,
            regimes=regimes(len(seconds), formula.basis, None, group.excluded),
            basis=f"{formula.basis}: formula on {formula.origin}",
        )
    seconds = _interpolated(group, device, measured, formula.fit, link, left)
    other = group.format not in KEPT or group.version != measured.software
    unseen = group.held | other
    return predicted(
        table,
        batch,
        format=group.format,
        measured=group.seconds,
        seconds=seconds,
        spread=Z80 * measured.error.sigma,
        regimes=regimes(len(seconds), "fitted", unseen, group.excluded),
        basis=f"measured: {group.stack} {measured.software} on {device.id}",
    )


def _interpolated(
    group: Collective,
    device: DeviceProfile,
    measured: FittedSet,
    formula: FittedSet,
    link: float,
    left: Left,
) -> Array:
    """Every size from the whole table, those kept back from what is left of it."""
    whole = table_of(group.op, measured.table, formula.parameters, link)
    sizes = left.get((device.id, group.stack, group.variant), {})
    rest = table_of(group.op, measured.table, formula.parameters, link, without=sizes)
    return np.where(
        group.held, rest.seconds(group.ranks, group.size), whole.seconds(group.ranks, group.size)
    )
