"""Tables of collectives: groups, hold-out keys and rows that are left out by rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.holdout import held_out
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows, batches

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

    ``variant`` is ``OP:MODE``; ``size`` bytes of the message; ``held`` rows are kept back.
    """

    batch: Batch
    stack: str
    op: str
    variant: str
    format: str
    ranks: Array
    size: Array
    held: Mask
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
    found, bad = batches(
        rows,
        ("op", "mode", "dtype"),
        ("num_gpus", "message_elements", "latency_us"),
        profiles=profiles,
    )
    groups, unknown = [], []
    for whole in found:
        between = whole.columns["num_gpus"] >= 2
        bad += whole.index[~between].tolist()
        if not between.any():
            continue
        batch = whole.take(between)
        op, _, dtype = batch.words
        if op in OPS and dtype in ELEMENT_BYTES:
            groups.append(_collective(batch))
        else:
            unknown.append(batch)
    return groups, unknown, bad


def _collective(batch: Batch) -> Collective:
    op, mode, dtype = batch.words
    ranks, elements = batch.columns["num_gpus"], batch.columns["message_elements"]
    held = np.array(
        [
            held_out(f"{op},{int(n)},{int(m)}")
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
        held,
        _excluded(batch, variant, size),
    )


def _excluded(batch: Batch, variant: str, size: Array) -> dict[str, Mask]:
    """Reason → rows that are no measure of the kernel."""
    found: dict[str, Mask] = {}
    if variant.endswith("eager"):
        found[EAGER] = np.ones(len(size), dtype=np.bool_)
    elif variant == "custom-allreduce:vllm-graph" and batch.device in ("gb200", "gb300"):
        found[LARGE_GRAPH] = size > LARGE_BYTES
    return {reason: mask for reason, mask in found.items() if mask.any()}
