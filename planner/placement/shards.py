"""Exact bytes of every module on one rank, by layout and scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import tensor_bytes
from planner.formats.spec import Scheme, TensorFormat
from planner.placement.layout import Layout
from planner.placement.modules import (
    EXPERT_KINDS,
    Gemm,
    Module,
    local_experts,
    shard_members,
)

Int = NDArray[np.int64]
MX_BLOCK = 32
"""Elements of a block of the OCP formats."""


def module_bytes(module: Module, scheme: Scheme) -> int:
    """Bytes of one layer of ``module`` under ``scheme``, all experts, not sharded."""
    stored = loaded_format(scheme.weight, module.scheme, module.scale_dtype)
    per_expert = sum(
        tensor_bytes(stored, rows, columns)
        for gemm in module.gemms
        for rows, columns in gemm.members
    )
    return per_expert * module.experts + module.vector_bytes


def shard_bytes(module: Module, scheme: Scheme, layout: Layout) -> int:
    """Bytes of one layer of ``module`` on one rank: its experts, its shard; biases of outputs that
    are divided are divided with them, other vectors copied."""
    stored = loaded_format(scheme.weight, module.scheme, module.scale_dtype)
    per_expert = sum(
        tensor_bytes(stored, rows, columns)
        for gemm in module.gemms
        for rows, columns in _held_members(module, gemm, scheme, layout)
    )
    vectors = module.vector_bytes // module.experts if module.experts > 1 else module.vector_bytes
    vectors -= _divided_bytes(module, layout)
    return (
        (per_expert + vectors) * local_experts(module, layout)
        if module.experts > 1
        else per_expert + vectors
    )


def loaded_format(
    weight: TensorFormat, released: str | None, scale_dtype: str | None
) -> TensorFormat:
    """The format ``weight`` as an engine loads it of a checkpoint ``released`` in a scheme: powers
    of two that are stored as FP32 scales (DeepSeek-V3.1 and V3.2, ``scale_fmt`` ue8m0) stay so."""
    scale = weight.scale
    if scale is None or (scale.format, scale_dtype) != ("e8m0", "fp32"):
        return weight
    same = released is not None and scheme_by_id(released).weight == weight
    return replace(weight, scale=replace(scale, format="fp32")) if same else weight


def _divided_bytes(module: Module, layout: Layout) -> int:
    """Bytes of one expert's vectors that other ranks hold [B]."""
    ranks = layout.moe_tp if module.experts > 1 else layout.tp
    heads = min(ranks, module.kv_heads or 1)
    return sum(
        (elements - -(-(elements - kv) // ranks) - -(-kv // heads)) * size
        if module.kv_heads
        else (elements - -(-elements // ranks)) * size
        for elements, kv, size in module.cut
    )


def _held_members(
    module: Module,
    gemm: Gemm,
    scheme: Scheme,
    layout: Layout,
) -> list[tuple[int, int]]:
    """(outputs, inputs) of each member that the fullest rank stores: its share, of experts that are
    dealt out the whole blocks of it (of both, where gate and up are one matrix)."""
    members = shard_members(module, gemm, layout)
    if not _dealt(module, scheme) or layout.moe_tp == 1:
        return members
    if gemm.shard == "row":
        return [(rows, -(-columns // MX_BLOCK) * MX_BLOCK) for rows, columns in members]
    block = MX_BLOCK * (2 if len(members) == 1 else 1)
    return [(-(-rows // block) * block, columns) for rows, columns in members]


def _dealt(module: Module, scheme: Scheme) -> bool:
    """Whether ranks take whole blocks of the experts' width under ``scheme``."""
    return module.kind in EXPERT_KINDS and dealt_in_blocks(scheme.weight)


def dealt_in_blocks(fmt: TensorFormat) -> bool:
    """Whether ranks take whole blocks of an expert's width, the last one what is left.

    Engines load experts in MXFP4 so and pad the rest: vLLM's ``models/gpt_oss.py`` and SGLang's
    (per_rank_intermediate_size_block, rounded up); gpt-oss is served at TP 4 and 8, where its 90
    blocks do not divide.
    """
    return (
        fmt.element == "e2m1"
        and fmt.scale is not None
        and (fmt.scale.format, fmt.scale.block_columns) == ("e8m0", MX_BLOCK)
    )


def released_shard_bytes(module: Module, layout: Layout) -> int:
    """Bytes of one layer of an as-released module on one rank; embedding and head split by tp."""
    if module.kind in ("embedding", "head"):
        return -(-module.stored_bytes // layout.tp)
    return module.stored_bytes


def block_problem(module: Module, scheme: Scheme, layout: Layout) -> str:
    """Why a shard would cut through the scheme's scale blocks; empty if it does not.

    Engines refuse block-scaled weights whose shard is not a whole number of blocks along the
    sharded axis; unsharded matrices may end in a partial block (DeepSeek's kv_a has 576 rows).
    Interleaved blocks (ggml) never do: every row is whole blocks. Experts in MXFP4 are dealt out by
    the block.
    """
    scale = scheme.weight.scale
    if scale is None or _dealt(module, scheme):
        return ""
    if scheme.weight.block_bytes is not None:
        return _interleaved_problem(module, scale.block_columns, layout)
    width = layout.moe_tp if module.kind in EXPERT_KINDS else layout.tp
    if width == 1:
        return ""
    for gemm in module.gemms:
        for rows, columns in shard_members(module, gemm, layout):
            by_rows = gemm.shard in ("column", "vocab")
            if by_rows and scale.block_rows > 1 and rows % scale.block_rows:
                return f"{rows} output rows a rank are not whole blocks of {scale.block_rows}"
            if gemm.shard == "row" and scale.block_columns > 1 and columns % scale.block_columns:
                return f"{columns} inputs a rank are not whole blocks of {scale.block_columns}"
    return ""


def _interleaved_problem(module: Module, block: int, layout: Layout) -> str:
    for gemm in module.gemms:
        for _, columns in shard_members(module, gemm, layout):
            if columns % block:
                return f"rows of {columns} inputs are not whole blocks of {block}"
    return ""


def scales_cut_no_axis(fmt: TensorFormat) -> bool:
    """True if the scales of ``fmt`` never cut an axis (none, tensor, channel)."""
    return fmt.scale is None or (fmt.scale.block_rows <= 1 and fmt.scale.block_columns == 0)


def shard_byte_table(
    modules: Sequence[Module], schemes: Sequence[str], layouts: Sequence[Layout]
) -> Int:
    """int64 [layout, module, scheme]: bytes of one layer on one rank."""
    table = np.zeros((len(layouts), len(modules), len(schemes)), dtype=np.int64)
    for j, module in enumerate(modules):
        for members in _alike(module, layouts):
            table[members, j] = _scheme_bytes(module, tuple(schemes), layouts[members[0]])
    return table


@lru_cache(maxsize=4096)
def _scheme_bytes(module: Module, schemes: tuple[str, ...], layout: Layout) -> tuple[int, ...]:
    """:func:`shard_bytes` under each scheme; of the elements alone where rows are not whole
    interleaved blocks, which :func:`block_legality` rules out."""
    records = [scheme_by_id(name) for name in schemes]
    return tuple(
        shard_bytes(
            module,
            _bare(r)
            if r.weight.block_bytes is not None and block_problem(module, r, layout)
            else r,
            layout,
        )
        for r in records
    )


def _bare(scheme: Scheme) -> Scheme:
    """The scheme's weights without blocks and scales."""
    return replace(scheme, weight=TensorFormat(scheme.weight.element))


def _alike(module: Module, layouts: Sequence[Layout]) -> list[list[int]]:
    """Places of layouts whose ranks hold the same of ``module``."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, layout in enumerate(layouts):
        key = (layout.tp, layout.moe_tp, layout.ep) if module.experts > 1 else (layout.tp,)
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def block_legality(
    modules: Sequence[Module], schemes: Sequence[str], layouts: Sequence[Layout]
) -> NDArray[np.bool_]:
    """bool [layout, module, scheme]: True where shards keep whole scale blocks."""
    table = np.ones((len(layouts), len(modules), len(schemes)), dtype=bool)
    for j, module in enumerate(modules):
        for members in _alike(module, layouts):
            table[members, j] = _keeps_blocks(module, tuple(schemes), layouts[members[0]])
    return table


@lru_cache(maxsize=4096)
def _keeps_blocks(module: Module, schemes: tuple[str, ...], layout: Layout) -> tuple[bool, ...]:
    """Whether the shards of ``module`` keep whole scale blocks under each scheme."""
    records = [scheme_by_id(name) for name in schemes]
    return tuple(
        scales_cut_no_axis(r.weight) or not block_problem(module, r, layout) for r in records
    )
