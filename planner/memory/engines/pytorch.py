"""Plain PyTorch (eager Transformers): weights, a growing cache, activations; no pool.

Capacity is what the device has left when the longest prompt chunk runs. A cache that grows by
concatenation holds the old and the new tensor of one layer at once.
"""

from __future__ import annotations

from planner.memory.caches import cache_classes, request_bytes, token_bytes, uniform
from planner.memory.engines.catalog import Engine
from planner.memory.engines.records import (
    LOGGED,
    Case,
    EngineResult,
    Given,
    Rank,
    Settings,
    cache_layout,
    check,
    constant_line,
    failure,
)
from planner.memory.resident import Line, Loading, rank_weights, stage_ranges, total
from planner.memory.workspace import PassShape, peak_lines


def size(case: Case, engine: Engine, settings: Settings, given: Given) -> EngineResult:
    """What a device holds beside the weights in plain PyTorch.

    Raises:
        InputError: a layout or setting out of range.
        UnsupportedError: a cache layout that the model's caches do not have.
    """
    check(case, settings)
    context = settings.context or case.spec.max_context
    sequences = settings.max_seqs or engine.integer("max_seqs")
    tokens = settings.batched_tokens or min(context, engine.integer("batched_tokens"))
    run = PassShape(
        tokens=tokens * sequences,
        sequences=sequences,
        context=context,
        width=case.activation_width,
        sampler=8,
        gathered=True,
    )
    ranks = tuple(
        _rank(case, engine, settings, given, run, stage) for stage in range(case.layout.pp)
    )
    limiting = min(range(len(ranks)), key=lambda i: ranks[i].budget_bytes)
    rank = ranks[limiting]
    entry, budget = token_bytes(rank.caches), max(0, rank.budget_bytes)
    need = request_bytes(rank.caches, context) + max(
        (c.layer_bytes(context) for c in rank.caches), default=0
    )
    block_bytes = (
        budget // entry
        if entry and uniform(rank.caches)
        else int(budget * context / need)
        if need
        else 0
    )
    why = failure(rank.budget_bytes, entry)
    return EngineResult(
        engine=engine.name,
        version=engine.version_text,
        settings=(
            ("context", context),
            ("prompt-chunk", tokens),
            ("batch", sequences),
            ("kv-cache-dtype", cache_layout(case, settings)),
        ),
        total_bytes=case.total_bytes,
        ranks=ranks,
        limiting=limiting,
        kv_bytes=rank.budget_bytes,
        block_tokens=1,
        block_bytes=entry,
        blocks=block_bytes,
        tokens=block_bytes,
        replica_tokens=block_bytes * case.layout.dp,
        max_concurrency=budget / need if need else 0.0,
        starts=not why,
        reason=why,
        unexplained=tuple(x for x in rank.overheads if x.name == "context"),
        notes=("no pool: the cache grows, and one layer is held twice while it is extended",),
    )


def _rank(
    case: Case, engine: Engine, settings: Settings, given: Given, run: PassShape, stage: int
) -> Rank:
    weights = rank_weights(
        case.spec, case.layout, Loading(plain=case.plain, parts=case.parts), case.format_of, stage
    )
    stage_layers = stage_ranges(case.spec.layers, case.layout.pp, tail_first=False)[stage]
    weights += case.beside.weights(case.spec, case.layout, stage, layers_here=stage_layers)
    last = stage == case.layout.pp - 1
    overheads = (
        [Line("activation", given.activation, LOGGED)]
        if given.activation is not None
        else peak_lines(case.spec, case.layout, run, kept_experts=False, samples=last)
    )
    if case.cuda:
        overheads += [
            Line("workspace", engine.integer("workspace_bytes"), "cuBLAS workspace"),
            constant_line("context", engine.constants["context_bytes"]),
        ]
    left = case.total_bytes - total(weights) - total(overheads)
    kv = cache_layout(case, settings)
    return Rank(
        stage,
        tuple(weights),
        tuple(overheads),
        left,
        (
            *cache_classes(
                case.spec, case.layout, kv, layers=stage_layers, prediction=case.predicts(stage)
            ),
            *case.beside.caches(case.layout, kv, stage),
        ),
    )
