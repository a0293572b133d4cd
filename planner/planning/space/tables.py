"""Bytes of every unit under every choice, as arrays by layout, and what a layout allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.placement.cache_entries import (
    fixed_slot_bytes,
    slot_layer_bytes,
    stores,
    token_layer_bytes,
)
from planner.placement.layout import Layout, stage_of_layer
from planner.placement.modules import DRAFT, Module
from planner.placement.shards import block_legality, released_shard_bytes, shard_byte_table
from planner.planning.space.draft_bytes import draft_sequence_bytes, draft_weights
from planner.planning.space.drafting import draft_layout
from planner.planning.space.model import CostModel

Int = NDArray[np.int64]


@record
class LayoutPaces:
    """The closed loop of each layout over what a search adds up for it [L]: its ``tpot`` over a
    step with others' prompts and over one with all (``step``), its ``ttft``, and the
    device-seconds of a token (``rate``)."""

    tpot: NDArray[np.float64]
    step: NDArray[np.float64]
    ttft: NDArray[np.float64]
    rate: NDArray[np.float64]

    def of(self, layout: int) -> LayoutPaces:
        """Those of one layout alone."""
        here = slice(layout, layout + 1)
        return LayoutPaces(self.tpot[here], self.step[here], self.ttft[here], self.rate[here])


@cached_record
class LayoutTables:
    """Exact bytes by layout. ``shard`` int64 [L, module, scheme] of one layer on one rank.

    Caches of one rank: ``cache`` int64 [L, cache unit, layout] of one layer and sequence at what a
    request holds, ``once`` at the context, ``token`` for one more token; ``fixed`` and
    ``fixed_once`` int64 [L, layer] of a sequence's indexer keys and recurrent state, and in the
    last layer what drafting adds. ``host`` int64 [module, scheme]: of one layer in the memory of a
    host, 0 for what is on the device. ``draft`` are the tables of what drafts, on its own layouts.
    """

    layouts: list[Layout]
    shard: Int
    blocks: NDArray[np.bool_]
    released: Int
    cache: Int
    once: Int
    token: Int
    fixed: Int
    fixed_once: Int
    host: Int
    draft: LayoutTables | None = None
    paces: LayoutPaces | None = None

    def fixed_of_stages(self, index: int) -> tuple[Int, Int]:
        """Bytes of ``fixed`` and ``fixed_once`` of one sequence by pipeline stage of a layout,
        int64 [stage]."""
        pp = self.layouts[index].pp
        sums = np.zeros((2, pp), dtype=np.int64)
        stages = list(stage_of_layer(self.fixed.shape[1], pp))
        for out, size in zip(sums, (self.fixed, self.fixed_once), strict=True):
            np.add.at(out, stages, size[index])
        return sums[0], sums[1]

    @cached_property
    def plenty(self) -> int:
        """The fewest sequences of a rank that hold no less, in every cache, than one of the
        context; 1 where requests fill it."""
        pairs = (self.cache, self.once), (self.fixed, self.fixed_once)
        return max(
            (int((-(-once[each > 0] // each[each > 0])).max(initial=1)) for each, once in pairs),
            default=1,
        )


def layout_tables(model: CostModel, layouts: list[Layout]) -> LayoutTables:
    """Byte tables of all ``layouts``."""
    question = model.question
    shard = shard_byte_table(model.planned, question.schemes, layouts)
    there = question.looks_up_on_host
    for row, module in enumerate(model.planned):
        if module.kind == "head" and question.spec.tied_embeddings and not there:
            shard[[la.pp == 1 for la in layouts], row] = 0  # a copy in the last stage, if any
    blocks = block_legality(model.planned, question.schemes, layouts)
    host = np.zeros(shard.shape[1:], dtype=np.int64)
    away = np.array(
        [bool(m.place) or (there and m.kind == "embedding") for m in model.planned], dtype=bool
    )
    if away.any():
        host[away] = shard_byte_table(model.planned, question.schemes, [Layout(1, 1, 1, 1)])[
            0, away
        ]
        shard[:, away] = 0
    released = np.array(
        [[_released_bytes(model, m, la) for m in model.released] for la in layouts], dtype=np.int64
    )
    drafts = None
    if model.draft is not None:
        spec = model.draft.question.spec
        drafts = layout_tables(model.draft, [draft_layout(spec, la) for la in layouts])
        row = next(i for i, m in enumerate(model.released) if m.kind == DRAFT)
        released[:, row] = draft_weights(model, drafts.shard, drafts.released)
    work = question.workload
    cache, token, fixed = cache_tables(model, layouts, work.cached_tokens)
    once, _, fixed_once = (
        (cache, token, fixed)
        if work.cached_tokens == work.context
        else cache_tables(model, layouts, work.context)
    )
    return LayoutTables(
        layouts, shard, blocks, released, cache, once, token, fixed, fixed_once, host, drafts
    )


def cache_tables(model: CostModel, layouts: list[Layout], context: int) -> tuple[Int, Int, Int]:
    """``cache``, ``token`` and ``fixed`` of :class:`LayoutTables` of a sequence of ``context``
    tokens; they depend on tp alone."""
    question = model.question
    spec = question.spec
    cache = np.zeros((len(layouts), len(model.caches), len(question.kv)), dtype=np.int64)
    token = np.zeros_like(cache)
    fixed = np.zeros((len(layouts), spec.layers), dtype=np.int64)
    tps = np.array([layout.tp for layout in layouts])
    kept = question.windows.entries
    for tp in sorted(set(tps.tolist())):
        here = tps == tp
        for j, unit in enumerate(model.caches):
            for k, name in enumerate(question.kv):
                if stores(unit, name):
                    cache[here, j, k] = slot_layer_bytes(unit, name, tp, context, kept)
                    token[here, j, k] = token_layer_bytes(unit, name, tp, context)
        for group in spec.attention:
            size = fixed_slot_bytes(group, tp, context, indexer_fp8=model.indexer_fp8)
            fixed[np.ix_(here, group.layers)] = size
    if model.draft is not None:
        fixed[:, -1] += np.array(
            [draft_sequence_bytes(model, layout, context) for layout in layouts], dtype=np.int64
        )
    return cache, token, fixed


def _released_bytes(model: CostModel, module: Module, layout: Layout) -> int:
    """Bytes of one layer of an as-released module on a rank that holds it. A tied head is a copy
    of the embedding where that is elsewhere: in the first of several pipeline stages, or in the
    memory of the host."""
    there = model.question.looks_up_on_host
    if there and module.kind == "embedding":
        return 0
    if module.kind == "head" and model.question.spec.tied_embeddings:
        if layout.pp == 1 and not there:
            return 0
        module = next(m for m in model.released if m.kind == "embedding")
    return released_shard_bytes(module, layout)


def legality(
    model: CostModel,
    tables: LayoutTables,
    layouts: Sequence[int] | Int,
) -> NDArray[np.bool_]:
    """bool [L, unit, choice] of ``layouts`` (places in ``tables``): possible for the unit and whole
    blocks under the layout."""
    index = np.asarray(layouts, dtype=np.int64)
    table = np.repeat(model.possible[None], len(index), axis=0)
    schemes = len(model.question.schemes)
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            table[:, i, :schemes] &= tables.blocks[index, unit.row, :]
    return table
