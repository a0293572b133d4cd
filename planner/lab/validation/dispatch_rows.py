"""Tables of expert dispatch and combine: groups, hold-out keys and rows that are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.holdout import held_out
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows, batches
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.dispatch import BYTES, NETWORK, Exchange, copies, dispatch_seconds

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.int64]

NODE_RANKS = 8.0
"""Ranks of a node where the table leaves ``ep_size`` empty."""
DEFAULT = {"dispatch": "fp8", "combine": "bf16"}
"""Element type where the table names none: DeepEP's default."""
TYPES = {"bfloat16": "bf16", "bf16": "bf16", "fp8": "fp8", "nvfp4": "nvfp4", "fp4": "nvfp4"}
UNSTEADY = "times do not grow with the tokens"


@dataclass(frozen=True)
class Dispatch:
    """Rows [n] of one device, software, backend, phase and element type.

    ``variant`` is ``BACKEND:PHASE:DTYPE``, with ``:network`` behind it for groups across nodes.
    """

    batch: Batch
    variant: str
    format: str
    exchange: Exchange
    held: Mask
    excluded: Mapping[str, Mask]

    @property
    def seconds(self) -> Array:
        """Measured [s]."""
        return self.batch.seconds

    @property
    def nodes(self) -> Array:
        """Nodes of the group [n]."""
        return self.batch.columns["node_num"]

    def predict(
        self,
        parameters: Parameters,
        variant: str,
        device: DeviceProfile,
        index: Index | slice = slice(None),
    ) -> Array:
        """Seconds of the rows at ``index`` under ``parameters`` of ``variant`` on ``device``."""
        one = self.exchange
        links = device.links
        part = Exchange(
            one.copies[index],
            one.feature_bytes[index],
            one.experts[index],
            one.per_node[index],
            one.nodes[index],
        )
        return dispatch_seconds(
            parameters,
            variant,
            part,
            link_bytes_per_s=links.scale_up_bytes_per_s.value
            if links.scale_up_bytes_per_s
            else np.inf,
            network_bytes_per_s=links.scale_out_bytes_per_s.value
            if links.scale_out_bytes_per_s
            else np.inf,
        )


def dispatches(
    rows: Rows,
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[Dispatch], list[Batch], list[int]]:
    """Groups, batches of a phase or type that is not known, malformed rows. Groups across nodes
    are apart from those in one."""
    filled = [{**row, "ep_size": row.get("ep_size") or _ranks(row)} for row in rows]
    found, bad = batches(
        filled,
        ("comm_backend", "phase", "comm_dtype"),
        ("node_num", "hidden_size", "topk", "num_experts", "num_tokens", "ep_size", "latency_us"),
        profiles=profiles,
    )
    groups: list[Dispatch] = []
    unknown: list[Batch] = []
    for batch in found:
        if batch.words[1] not in DEFAULT or _type(batch) == "":
            unknown.append(batch)
            continue
        for across in (False, True):
            part = batch.take((batch.columns["node_num"] > 1) == across)
            if len(part.index):
                groups.append(_dispatch(part, across=across))
    return groups, unknown, bad


def _ranks(row: Mapping[str, str]) -> str:
    try:
        return str(NODE_RANKS * float(row.get("node_num", "")))
    except ValueError:
        return ""


def _type(batch: Batch) -> str:
    name = batch.words[2]
    return DEFAULT[batch.words[1]] if name in ("", "default") else TYPES.get(name, "")


def _dispatch(batch: Batch, *, across: bool) -> Dispatch:
    backend, phase, _ = batch.words
    c, kind = batch.columns, _type(batch)
    name = backend.lower().replace("_", "-").removeprefix(f"{batch.stack}-")
    sent = "bf16" if phase == "combine" else kind
    shape = [c[n].astype(int).tolist() for n in ("hidden_size", "topk", "num_experts")]
    held = np.array([held_out(f"{h},{k},{e}") for h, k, e in zip(*shape, strict=True)])
    exchange = Exchange(
        copies=copies(c["num_tokens"], c["topk"], c["ep_size"], distinct=high_throughput(name)),
        feature_bytes=c["hidden_size"] * BYTES[sent],
        experts=c["num_experts"],
        per_node=c["ep_size"] / c["node_num"],
        nodes=c["node_num"],
    )
    unsteady = np.full(len(held), "-v2" in name)
    return Dispatch(
        batch,
        f"{name}:{phase}:{kind}{NETWORK if across else ''}",
        kind,
        exchange,
        held,
        {UNSTEADY: unsteady} if unsteady.any() else {},
    )


def high_throughput(backend: str) -> bool:
    """Whether a backend sends one copy for each distinct rank."""
    return backend.endswith(("-ht", "-context"))
