"""Tables of fused expert layers: kernels, the work behind each row, and rows left out by rule."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.lab.validation.cells import parse_int
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows, batches, is_held_out
from planner.throughput.expert_load import ExpertLoad, benchmark_load
from planner.throughput.forms.moe import GATED, PLAIN, ExpertShard, moe_parts
from planner.throughput.moe import compute_format
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NUMBERS = ("num_tokens", "hidden", "inter", "topk", "num_experts", "moe_tp", "moe_ep", "latency_us")
SHAPE = ("hidden", "inter", "topk", "num_experts")
FORMATS: Mapping[str, str] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "fp8": "fp8-tensor",
    "fp8_block": "fp8-block",
    "nvfp4": "nvfp4",
    "int4_wo": "int4-w4a16",
    "w4a16_mxfp4": "mxfp4-w4a16",
    "w4a8_mxfp4_mxfp8": "mxfp4-w4a8",
    "mxfp4": "mxfp4",
    "mxfp8": "mxfp8",
}
"""Names of the tables → scheme ids."""

PILE_UP = "synthetic scores pile up on the first expert groups"
UNTUNED = "slower than fewer ranks with more work"
GROUP_LIMITED = (7168.0, 2048.0, 8.0, 256.0)
"""DeepSeek-V3's experts: SGLang routes them by groups."""
MOST_TOKENS, MOST_EXPERTS = float(1 << 22), 8192.0
"""Largest tables of routing that are drawn; beyond them a row is malformed."""
LEAST_TOKENS, SLOWER = 16.0, 0.05
ENOUGH_ROWS = 48
"""Rows of a kernel that a fit and its errors need."""


@dataclass(frozen=True)
class MoeKernel:
    """Rows [n] of one device, stack, version, kernel and format, with the work of their rank.

    ``laws`` [n] names the routing; ``excluded`` maps a reason to bool [n].
    """

    batch: Batch
    scheme: str
    variant: str
    laws: tuple[str, ...]
    load: ExpertLoad
    excluded: Mapping[str, Mask]

    @property
    def seconds(self) -> Array:
        """Measured [s]."""
        return self.batch.seconds

    @property
    def included(self) -> Mask:
        """Rows that no rule leaves out [n]."""
        mask = np.ones(len(self.batch.index), dtype=np.bool_)
        for rows in self.excluded.values():
            mask &= ~rows
        return mask

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """(hidden, width, experts a token, experts) of every row."""
        columns = [self.batch.columns[name].astype(int) for name in SHAPE]
        return list(zip(*(c.tolist() for c in columns), strict=True))

    @property
    def held_out(self) -> Mask:
        """Rows [n] kept back by the hash of their expert layout, for kernels with one shape; by
        that of their tokens where every layout, or none, would be."""
        tp, ep, tokens = (
            self.batch.columns[n].astype(int).tolist() for n in ("moe_tp", "moe_ep", "num_tokens")
        )
        by_layout = np.array([is_held_out(f"{a},{b}") for a, b in zip(tp, ep, strict=True)])
        return (
            np.array([is_held_out(str(n)) for n in tokens])
            if by_layout.all() or not by_layout.any()
            else by_layout
        )

    @property
    def matrices(self) -> Array:
        """Matrices of an expert [n]."""
        plain = plain_shapes(self.batch.stack, self.version)
        return np.array([PLAIN if shape in plain else GATED for shape in self.shapes])

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers of the stack's version."""
        return tuple(map(parse_int, re.findall(r"\d+", self.batch.software.partition(" ")[2])))

    @property
    def weight_bytes(self) -> float:
        """Stored bytes of a weight, scales included."""
        return bits_per_element(scheme_by_id(self.scheme).weight) / 8

    def computes(self, chip: Chip) -> bool:
        """Whether the chip multiplies the format."""
        return compute_format(self.scheme, chip) in chip.peaks

    def predict(
        self,
        parameters: Mapping[str, float],
        chip: Chip,
        variant: str = "",
        index: NDArray[np.int64] | slice = slice(None),
    ) -> Array:
        """Seconds [s] of the rows at ``index`` [n] under ``parameters`` of ``variant``, weights in
        L2 where they fit: the benchmarks repeat one layer."""
        columns = {name: c[index] for name, c in self.batch.columns.items()}
        experts = ExpertShard(
            hidden=columns["hidden"],
            width=columns["inter"] / columns["moe_tp"],
            local=columns["num_experts"] / columns["moe_ep"],
            weight_bytes=np.asarray(self.weight_bytes),
            compute=compute_format(self.scheme, chip),
            matrices=self.matrices[index],
        )
        load = ExpertLoad(
            self.load.pairs[index],
            self.load.touched[index],
            self.load.padded[index],
            self.load.elsewhere[index],
        )
        return moe_parts(
            parameters,
            chip,
            variant or self.variant,
            experts,
            load,
            tokens=columns["num_tokens"],
            cold=False,
        ).total()


def moe_kernels(
    rows: Rows,
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[MoeKernel], list[Batch], list[int]]:
    """``rows`` by device, software, kernel and format; batches of unknown formats; malformed rows.

    A routing that is not known, or ranks that do not divide the experts, is malformed.
    """
    parsed, bad = batches(rows, ("kernel", "moe_dtype", "distribution"), NUMBERS, profiles=profiles)
    groups: dict[tuple[str, ...], list[tuple[Batch, ExpertLoad]]] = {}
    unknown: list[Batch] = []
    for batch in parsed:
        if batch.words[1] not in FORMATS:
            unknown.append(batch)
            continue
        sane = _sane(batch)
        bad += batch.index[~sane].tolist()
        batch = batch.take(sane)
        if not sane.any():
            continue
        try:
            load = _load(batch)
        except InputError:
            bad += batch.index.tolist()
            continue
        key = (batch.device, batch.software, kernel_id(batch.words[0], batch.stack), batch.words[1])
        groups.setdefault(key, []).append((batch, load))
    return [_kernel(members) for members in groups.values()], unknown, bad


def _sane(batch: Batch) -> Mask:
    """Rows whose tokens, experts and choices can be dealt out one by one."""
    c = batch.columns
    return np.asarray(
        (c["num_tokens"] <= MOST_TOKENS)
        & (c["num_experts"] <= MOST_EXPERTS)
        & (c["topk"] <= c["num_experts"])
        & (c["moe_ep"] <= c["num_experts"])
        & (c["num_tokens"] * c["topk"] <= 8 * MOST_TOKENS)
        & (np.minimum.reduce([c[n] for n in NUMBERS[:-1]]) >= 1)
    )


def newest(kernels: Sequence[MoeKernel]) -> list[MoeKernel]:
    """Of the versions of a stack's kernel on a device the newest that has ENOUGH_ROWS, in order:
    fits take no other."""
    best: dict[tuple[str, str, str], MoeKernel] = {}
    for kernel in kernels:
        key = (kernel.batch.device, kernel.batch.stack, kernel.variant)
        if int(kernel.included.sum()) < ENOUGH_ROWS:
            continue
        if key not in best or kernel.version > best[key].version:
            best[key] = kernel
    return list(best.values())


def _load(batch: Batch) -> ExpertLoad:
    columns = [
        batch.columns[n].astype(int).tolist()
        for n in ("num_tokens", "num_experts", "topk", "moe_ep")
    ]
    every = [benchmark_load(batch.words[2], *row) for row in zip(*columns, strict=True)]
    return ExpertLoad(
        *(
            np.array([getattr(load, name) for load in every])
            for name in ("pairs", "touched", "padded", "elsewhere")
        )
    )


def _kernel(members: Sequence[tuple[Batch, ExpertLoad]]) -> MoeKernel:
    first = members[0][0]
    batch = Batch(
        first.device,
        first.software,
        first.stack,
        first.words[:2],
        np.concatenate([b.index for b, _ in members]),
        {name: np.concatenate([b.columns[name] for b, _ in members]) for name in NUMBERS},
        first.profile,
    )
    load = ExpertLoad(
        *(
            np.concatenate([getattr(part, name) for _, part in members])
            for name in ("pairs", "touched", "padded", "elsewhere")
        )
    )
    laws = tuple(b.words[2] for b, _ in members for _ in range(len(b.index)))
    scheme = FORMATS[first.words[1]]
    name = kernel_id(first.words[0], first.stack)
    return MoeKernel(batch, scheme, f"{name}:{scheme}", laws, load, _excluded(batch, laws))


def _excluded(batch: Batch, laws: Sequence[str]) -> dict[str, Mask]:
    """Reason → rows that are no measure of the kernel.

    SGLang's group-limited top-k piles the synthetic scores of DeepSeek-V3 up on the first groups.
    TensorRT-LLM kernels that take longer with more ranks were run with an untuned tactic: within
    one shape, width and routing, all rows at EP e whose median log ratio to the fastest of fewer
    ranks, over LEAST_TOKENS tokens or more, exceeds SLOWER.
    """
    shapes = np.stack([batch.columns[name] for name in SHAPE])
    if batch.stack == "sglang":
        piled = (shapes == np.array(GROUP_LIMITED)[:, None]).all(axis=0)
        return {PILE_UP: piled} if piled.any() else {}
    if batch.stack != "trtllm":
        return {}
    slow = np.zeros(len(batch.index), dtype=np.bool_)
    names = np.unique(np.array(laws), return_inverse=True)[1]
    keys = np.concatenate([shapes, batch.columns["moe_tp"][None], names[None]])
    for key in np.unique(keys, axis=1).T:
        rows = np.flatnonzero((keys == key[:, None]).all(axis=0))
        slow[rows[_slower(batch, rows)]] = True
    return {UNTUNED: slow} if slow.any() else {}


def _slower(batch: Batch, rows: NDArray[np.int64]) -> Mask:
    """Which ``rows``, that differ in tokens and ranks alone, are slower than with fewer ranks."""
    tokens, ranks = batch.columns["num_tokens"][rows], batch.columns["moe_ep"][rows]
    time = batch.columns["latency_us"][rows]
    slow = np.zeros(len(rows), dtype=np.bool_)
    for many in np.unique(ranks)[1:]:
        ratios = []
        for i in np.flatnonzero((ranks == many) & (tokens >= LEAST_TOKENS)):
            fewer = time[(tokens == tokens[i]) & (ranks < many)]
            if len(fewer):
                ratios.append(np.log(time[i] / fewer.min()))
        if ratios and np.median(ratios) > SLOWER:
            slow |= ranks == many
    return slow


_DATA = Path(__file__).resolve().parent / "data"


@cache
def kernel_id(name: str, stack: str) -> str:
    """The short id of a table's kernel ``name``: without the stack, the class that wraps it and
    how an activation was replaced (data/moe_kernels.toml)."""
    text = name.lower().replace("_", "-").removeprefix(f"{stack}-")
    for ending in _data()["endings"]:
        text = text.removesuffix(ending)
    if stack == "vllm":
        for rule in _data()["kernel"]:
            if re.fullmatch(rule["name"], text):
                return str(rule["id"])
    return text


@cache
def plain_shapes(stack: str, version: tuple[int, ...]) -> frozenset[tuple[int, ...]]:
    """(hidden, width, experts a token, experts) of experts that this version of a stack was
    measured with two matrices of."""
    since = _data()["plain_since"].get(stack)
    if since is None or version < tuple(since):
        return frozenset()
    return frozenset(tuple(entry["shape"]) for entry in _data()["plain"])


@cache
def _data() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "moe_kernels.toml").read_text(encoding="utf-8"))
