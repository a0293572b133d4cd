"""Bytes on a rank of what drafts tokens: weights, caches, and the states others keep for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.placement.cache_entries import (
    fixed_slot_bytes,
    indexer_token_bytes,
    slot_layer_bytes,
    state_bytes,
    token_layer_bytes,
)
from planner.placement.layout import Layout
from planner.planning.question.decisions import DecisionUnit
from planner.planning.space.drafting import draft_layout, draft_scheme
from planner.planning.space.model import CostModel

Int = NDArray[np.int64]


def draft_weights(model: CostModel, shard: Int, released: Int) -> Int:
    """Bytes of the draft's weights on a rank of each of its layouts, int64 [L].
    ``shard``: [L, M, W], ``released``: [L, R], those of its modules."""
    draft, speculation = model.draft, model.question.speculation
    assert draft is not None
    assert speculation is not None
    total = np.zeros(len(shard), dtype=np.int64)
    for unit in draft.units:
        if unit.role == "module" and unit.kind not in speculation.shared:
            column = draft_column(draft, unit)
            total += shard[:, unit.row, column] * unit.count
        elif unit.role == "released" and unit.kind not in speculation.shared:
            total += released[:, unit.row] * unit.count
    return total


def draft_column(draft: CostModel, unit: DecisionUnit) -> int:
    """The place of a unit's choice among those of the draft."""
    if unit.role != "module":
        return 0
    return draft.question.schemes.index(draft_scheme(draft.question, draft.planned[unit.row]))


def draft_sequence_bytes(model: CostModel, layout: Layout, context: int) -> int:
    """Bytes of a sequence of ``context`` tokens on a rank of ``layout`` that drafting adds [B]: the
    draft's caches, and a state for every drafted token of layers that keep one (vLLM 0.32,
    v1/kv_cache_interface.py, MambaSpec.num_speculative_blocks)."""
    draft, speculation = model.draft, model.question.speculation
    if draft is None or speculation is None:
        return 0
    own = draft_layout(speculation.draft, layout)
    kv = draft.question.kv[0]
    total = sum(
        slot_layer_bytes(unit, kv, own.tp, context) * len(unit.layers) for unit in draft.caches
    )
    total += sum(
        fixed_slot_bytes(group, own.tp, context, indexer_fp8=draft.indexer_fp8) * len(group.layers)
        for group in speculation.draft.attention
    )
    return total + speculation.draft_tokens * sum(
        state_bytes(group, layout.tp) * len(group.layers)
        for group in model.question.spec.attention
        if group.kind == "linear"
    )


def draft_token_bytes(model: CostModel, layout: Layout) -> int:
    """Bytes that one more token adds to the draft's caches on a rank of ``layout`` [B]."""
    draft, speculation = model.draft, model.question.speculation
    if draft is None or speculation is None:
        return 0
    own, cached_tokens = (
        draft_layout(speculation.draft, layout),
        model.question.workload.cached_tokens,
    )
    return sum(
        token_layer_bytes(unit, draft.question.kv[0], own.tp, cached_tokens) * len(unit.layers)
        for unit in draft.caches
    ) + sum(
        indexer_token_bytes(group, fp8=draft.indexer_fp8) * len(group.layers)
        for group in speculation.draft.attention
    )
