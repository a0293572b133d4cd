"""Tables of expert dispatch and combine: groups, hold-out keys and rows that are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile
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
from planner.throughput.calibration import Calibration, fitted_set
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.dispatch import (
    BYTES,
    NETWORK,
    OPERATOR,
    Exchange,
    copies,
    dispatch_seconds,
)

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
    held_out: Mask
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
        """Seconds [s] of the rows at ``index`` [n] under ``parameters`` of ``variant`` on
        ``device``."""
        exchange = self.exchange
        links = device.links
        part = Exchange(
            exchange.copies[index],
            exchange.feature_bytes[index],
            exchange.experts[index],
            exchange.per_node[index],
            exchange.nodes[index],
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
    parsed, bad = batches(
        filled,
        ("comm_backend", "phase", "comm_dtype"),
        ("node_num", "hidden_size", "topk", "num_experts", "num_tokens", "ep_size", "latency_us"),
        profiles=profiles,
    )
    groups: list[Dispatch] = []
    unknown: list[Batch] = []
    for batch in parsed:
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
    held_out = np.array([is_held_out(f"{h},{k},{e}") for h, k, e in zip(*shape, strict=True)])
    exchange = Exchange(
        copies=copies(c["num_tokens"], c["topk"], c["ep_size"], distinct=high_throughput(name)),
        feature_bytes=c["hidden_size"] * BYTES[sent],
        experts=c["num_experts"],
        per_node=c["ep_size"] / c["node_num"],
        nodes=c["node_num"],
    )
    unsteady = np.full(len(held_out), "-v2" in name)
    return Dispatch(
        batch,
        f"{name}:{phase}:{kind}{NETWORK if across else ''}",
        kind,
        exchange,
        held_out,
        {UNSTEADY: unsteady} if unsteady.any() else {},
    )


def high_throughput(backend: str) -> bool:
    """Whether a backend sends one copy for each distinct rank."""
    return backend.endswith(("-ht", "-context"))


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table like op_moe_a2a.csv. Rows of a version that a set does not come
    from are ``held-out``."""
    groups, unknown, bad = dispatches(rows)
    return in_order(table, groups, _group, bad, ((batch, batch.words[2]) for batch in unknown))


def _group(table: str, group: Dispatch) -> list[Outcome]:
    device, batch = group.batch.profile, group.batch
    calibration = _calibration(device, group) if device is not None and batch.stack else None
    if calibration is None or device is None:
        return missing(table, batch, batch.unknown or "not measured", format=group.format)
    seconds = group.predict(calibration.fit.parameters, calibration.fit.variant, device)
    another = batch.software.partition(" ")[2] != calibration.fit.software
    held_out = None if calibration.basis != "fitted" else group.held_out | another
    return predicted(
        table,
        batch,
        format=group.format,
        seconds=seconds,
        spread=Z80 * calibration.sigma,
        regimes=regimes(len(seconds), calibration.basis, held_out, group.excluded),
        basis=f"{calibration.basis}: {batch.stack} {calibration.fit.variant} "
        f"on {calibration.origin}",
    )


def _calibration(device: DeviceProfile, group: Dispatch) -> Calibration | None:
    """The set of the variant; a group in one node may take one measured across nodes."""
    plain = group.variant.removesuffix(NETWORK)
    return fitted_set(
        device,
        OPERATOR,
        [group.batch.stack],
        [group.variant, plain + NETWORK] if group.variant == plain else [group.variant],
    )
