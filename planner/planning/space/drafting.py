"""What drafts tokens, as a model of its own: its question, its bytes, its place among the modules.

It stands outside the stack, in the last pipeline stage, with its weights as released and a cache of
its own; its time is that of the passes it makes in a step
(:func:`planner.planning.space.operators.draft_parts`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from planner.formats.kv import KV_LAYOUTS
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import (
    cache_units,
    fixed_slot_bytes,
    indexer_token_bytes,
    slot_layer_bytes,
    state_bytes,
    stores,
    token_layer_bytes,
)
from planner.placement.layout import Layout, layout_problem
from planner.placement.modules import DRAFT, PLANNED_KINDS, Module, modules
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import Question
from planner.planning.question.speculation import Speculation
from planner.throughput.kernels import legal_schemes

if TYPE_CHECKING:
    from planner.planning.space.model import CostModel
    from planner.planning.space.tables import LayoutTables

Int = NDArray[np.int64]
PLAIN = "bf16"
"""What a draft's weights run in where the device cannot multiply them as released, and its cache."""


def draft_question(question: Question, asked: Speculation) -> Question:
    """The question that the draft is, on the same device, engine and requests."""
    spec = asked.draft
    names = [draft_scheme(question, m) for m in modules(spec) if m.kind in PLANNED_KINDS]
    return replace(
        question, spec=spec, speculation=None, schemes=tuple(sorted({*names, PLAIN})),
        kv=(draft_cache(question, spec),), refused=(), barred=frozenset(), fused=(), routes=(),
        kept=(), dropped=(), left_out=(), profile=None, imatrix=False, untie=False, named="",
        as_released=True, apart=False, loss_scheme=None, loss_limit=None, notes=())


def draft_scheme(question: Question, module: Module) -> str:
    """The scheme that a module of the draft runs in: as released where the device multiplies it."""
    stored = module.released_as
    return stored if legal_schemes(question.device, [stored])[0] else PLAIN


def draft_cache(question: Question, spec: ModelSpec) -> str:
    """The cache layout of the draft: the model's where it is one that the draft stores, else plain.
    """
    only = question.kv[0] if len(question.kv) == 1 else PLAIN
    units = cache_units(spec)
    return only if only in KV_LAYOUTS and all(stores(unit, only) for unit in units) else PLAIN


def draft_module(question: Question, asked: Speculation) -> Module:
    """The draft as one module outside the stack of the model."""
    own = [m for m in modules(asked.draft) if m.kind not in asked.shared]
    size = sum(m.stored_bytes * max(1, len(m.layers)) for m in own)
    largest = max(own, key=lambda m: m.stored_bytes * max(1, len(m.layers)))
    return Module(kind=DRAFT, layers=(), experts=1, gemms=(), stored_bytes=size, vector_bytes=0,
                  dtype=draft_scheme(question, largest))


def draft_layout(spec: ModelSpec, layout: Layout) -> Layout:
    """How the draft lies on the ranks of ``layout``: as the model where it divides so, else whole on
    every rank (engines take the model's tensor parallelism or none)."""
    wanted = Layout(layout.tp, layout.dp, 1, layout.ep) if spec.experts is not None \
        else Layout(layout.tp)
    if layout_problem(spec, wanted):
        return Layout(1, layout.dp)
    return replace(wanted, dp=layout.dp)


def draft_weights(model: CostModel, own: LayoutTables) -> Int:
    """Bytes of the draft's weights on a rank of each layout of ``own``, its tables, int64 [L]."""
    draft, asked = model.draft, model.question.speculation
    assert draft is not None and asked is not None
    total = np.zeros(len(own.layouts), dtype=np.int64)
    for unit in draft.units:
        if unit.role == "module" and unit.kind not in asked.shared:
            column = draft_column(draft, unit)
            total += own.shard[:, unit.row, column] * unit.count
        elif unit.role == "released" and unit.kind not in asked.shared:
            total += own.released[:, unit.row] * unit.count
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
    draft, asked = model.draft, model.question.speculation
    if draft is None or asked is None:
        return 0
    own = draft_layout(asked.draft, layout)
    kv = draft.question.kv[0]
    total = sum(slot_layer_bytes(unit, kv, own.tp, context) * len(unit.layers)
                for unit in draft.caches)
    total += sum(fixed_slot_bytes(group, own.tp, context, indexer_fp8=draft.indexer_fp8)
                 * len(group.layers) for group in asked.draft.attention)
    return total + asked.draft_tokens * sum(
        state_bytes(group, layout.tp) * len(group.layers)
        for group in model.question.spec.attention if group.kind == "linear")


def draft_token_bytes(model: CostModel, layout: Layout) -> int:
    """Bytes that one more token adds to the draft's caches on a rank of ``layout`` [B]."""
    draft, asked = model.draft, model.question.speculation
    if draft is None or asked is None:
        return 0
    own, held = draft_layout(asked.draft, layout), model.question.workload.held
    return sum(token_layer_bytes(unit, draft.question.kv[0], own.tp, held) * len(unit.layers)
               for unit in draft.caches) \
        + sum(indexer_token_bytes(group, fp8=draft.indexer_fp8) * len(group.layers)
              for group in asked.draft.attention)
