"""Tables of collectives: groups, hold-out keys and rows that are left out by rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile, FittedSet
from planner.lab.validation.op_rows import (
    NO_PROFILES,
    Z80,
    Batch,
    Profiles,
    Rows,
    batches,
    in_order,
    is_held_out,
    missing,
    predicted,
    regimes,
)
from planner.lab.validation.records import Outcome
from planner.throughput.calibration import fitted_set
from planner.throughput.forms.collective import FORMULA, OPERATOR, collective_seconds, table_of
from planner.throughput.silicon import chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ELEMENT_BYTES = {
    "bfloat16": 2.0,
    "half": 2.0,
    "float16": 2.0,
    "int8": 1.0,
    "float": 4.0,
    "float32": 4.0,
}
FORMATS = {
    "bfloat16": "bf16",
    "half": "fp16",
    "float16": "fp16",
    "int8": "int8",
    "float": "fp32",
    "float32": "fp32",
}
OPS = {
    "custom_allreduce": "custom-allreduce",
    "all_reduce": "all-reduce",
    "all_gather": "all-gather",
    "reduce_scatter": "reduce-scatter",
    "alltoall": "alltoall",
}
EAGER = "launched eagerly: bound by the host"
LARGE_GRAPH = "graph replay of large messages on four devices of a larger domain"
LARGE_BYTES = 1e6
STACKS = ("trtllm", "vllm", "sglang", "nccl")


@dataclass(frozen=True)
class Collective:
    """Rows [n] of one device, software, operation, mode and element type.

    ``variant`` is ``OP:MODE``; ``size`` bytes of the message; ``held_out`` rows are kept back.
    """

    batch: Batch
    stack: str
    op: str
    variant: str
    format: str
    ranks: Array
    size: Array
    held_out: Mask
    excluded: Mapping[str, Mask]

    @property
    def seconds(self) -> Array:
        """Measured [s]."""
        return self.batch.seconds

    @property
    def version(self) -> str:
        """The software's version."""
        return self.batch.software.partition(" ")[2]


def collectives(
    rows: Rows,
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[Collective], list[Batch], list[int]]:
    """Groups, batches of an operation or element type that is not known, malformed rows: those of
    fewer than two ranks too, which nothing goes between."""
    parsed, bad = batches(
        rows,
        ("op", "mode", "dtype"),
        ("num_gpus", "message_elements", "latency_us"),
        profiles=profiles,
    )
    groups, unknown = [], []
    for parsed_batch in parsed:
        between = parsed_batch.columns["num_gpus"] >= 2
        bad += parsed_batch.index[~between].tolist()
        if not between.any():
            continue
        batch = parsed_batch.take(between)
        op, _, dtype = batch.words
        if op in OPS and dtype in ELEMENT_BYTES:
            groups.append(_collective(batch))
        else:
            unknown.append(batch)
    return groups, unknown, bad


def _collective(batch: Batch) -> Collective:
    op, mode, dtype = batch.words
    ranks, elements = batch.columns["num_gpus"], batch.columns["message_elements"]
    held_out = np.array(
        [
            is_held_out(f"{op},{int(n)},{int(m)}")
            for n, m in zip(ranks.tolist(), elements.tolist(), strict=True)
        ]
    )
    name = (batch.software.split() or [""])[0].lower()
    size = elements * ELEMENT_BYTES[dtype]
    variant = f"{OPS[op]}:{mode.lower().replace('_', '-')}"
    return Collective(
        batch,
        name if name in STACKS else "",
        OPS[op],
        variant,
        FORMATS[dtype],
        ranks,
        size,
        held_out,
        _excluded(batch, variant, size),
    )


def _excluded(batch: Batch, variant: str, size: Array) -> dict[str, Mask]:
    """Reason → rows that are no measure of the kernel."""
    masks: dict[str, Mask] = {}
    if variant.endswith("eager"):
        masks[EAGER] = np.ones(len(size), dtype=np.bool_)
    elif variant == "custom-allreduce:vllm-graph" and batch.device in ("gb200", "gb300"):
        masks[LARGE_GRAPH] = size > LARGE_BYTES
    return {reason: mask for reason, mask in masks.items() if mask.any()}


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
    left: dict[tuple[str, str, str], dict[int, frozenset[float]]] = {}
    for group in groups:
        if group.format not in KEPT:
            continue
        sizes = left.setdefault((group.batch.device, group.stack, group.variant), {})
        for ranks, size in zip(
            group.ranks[group.held_out].tolist(), group.size[group.held_out].tolist(), strict=True
        ):
            sizes[int(ranks)] = sizes.get(int(ranks), frozenset()) | {size}
    return left


def _group(table: str, group: Collective, left: Left) -> list[Outcome]:
    device, batch = group.batch.profile, group.batch
    if device is None or not group.stack:
        reason = "unknown device" if device is None else "unknown engine"
        return missing(table, batch, reason, format=group.format)
    formula = fitted_set(device, OPERATOR, [group.stack], [group.variant + FORMULA])
    figures = chip(device)
    if formula is None or figures is None or figures.link_bytes_per_s <= 0:
        return missing(table, batch, "not measured", format=group.format)
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
            seconds=seconds,
            spread=Z80 * formula.sigma,
            regimes=regimes(len(seconds), formula.basis, None, group.excluded),
            basis=f"{formula.basis}: formula on {formula.origin}",
        )
    seconds = _interpolated(group, device, measured, formula.fit, link, left)
    other = group.format not in KEPT or group.version != measured.software
    unseen = group.held_out | other
    return predicted(
        table,
        batch,
        format=group.format,
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
    collective_table = table_of(group.op, measured.table, formula.parameters, link)
    sizes = left.get((device.id, group.stack, group.variant), {})
    rest = table_of(group.op, measured.table, formula.parameters, link, without=sizes)
    return np.where(
        group.held_out,
        rest.seconds(group.ranks, group.size),
        collective_table.seconds(group.ranks, group.size),
    )
