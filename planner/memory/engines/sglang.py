"""SGLang: a share of the memory that is free before the load, less the weights, in pages.

Pool = free after the load − free before · (1 − fraction), the minimum over ranks. Graphs and
activations live in the other part and are not deducted. Source: sgl-project/sglang model_runner,
profile_max_num_token; the default fraction is that of server_args.
"""

from __future__ import annotations

from planner.memory.caches import cache_classes, request_bytes, token_bytes, uniform
from planner.memory.engines.catalog import Engine
from planner.memory.engines.expert_padding import expert_pad, padding_note
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
    weight_lines,
)
from planner.memory.engines.vllm import NOT_FROM_SHAPES, loading_of
from planner.memory.resident import Line, stage_ranges, total
from planner.memory.sglang_share import prompt_graphs, sglang_share, sglang_tier
from planner.memory.windows import window_rule
from planner.messages.message import message


def size(case: Case, engine: Engine, settings: Settings, given: Given) -> EngineResult:
    """The cache pool of SGLang for ``case``.

    Raises:
        InputError: a layout or setting out of range.
        UnsupportedError: a cache layout that the model's caches do not have.
    """
    check(case, settings)
    tier = sglang_tier(engine, case.total_bytes, case.layout)
    batched = settings.batched_tokens or tier.chunk
    fraction = settings.utilisation or sglang_share(
        engine,
        case.total_bytes,
        case.layout,
        batched,
        graphs=prompt_graphs(case.spec),
        running=settings.max_seqs or 0,
    )
    page = settings.block_tokens or engine.integer("block_tokens")
    context = settings.context or case.spec.max_context
    ranks = tuple(
        _rank(case, engine, settings, given, stage, fraction) for stage in range(case.layout.pp)
    )
    per_rank = [_tokens(rank, page, settings, context) for rank in ranks]
    limiting = min(range(len(ranks)), key=lambda i: per_rank[i])
    rank, tokens = ranks[limiting], max(0, per_rank[limiting])
    entry = token_bytes(rank.caches)
    by_hand = settings.total_tokens is not None
    kv = tokens * entry if by_hand and uniform(rank.caches) else rank.budget_bytes
    why = failure(rank.budget_bytes, entry * page)
    if not why and by_hand and kv > rank.budget_bytes:
        why = message("memory.starts_not_total", over=f"{kv - rank.budget_bytes:,}")
    return EngineResult(
        engine=engine.name,
        version=engine.version_text,
        settings=(
            ("mem-fraction-static", fraction),
            ("context-length", context),
            ("chunked-prefill-size", batched),
            ("page-size", page),
            ("kv-cache-dtype", cache_layout(case, settings)),
        ),
        total_bytes=case.total_bytes,
        ranks=ranks,
        limiting=limiting,
        kv_bytes=kv,
        block_tokens=page,
        block_bytes=entry * page,
        blocks=tokens // page,
        tokens=tokens,
        replica_tokens=tokens * case.layout.dp,
        max_concurrency=tokens / (-(-context // page) * page),
        starts=not why,
        reason=why,
        unexplained=tuple(x for x in rank.overheads if x.name in NOT_FROM_SHAPES),
        notes=(
            "graphs and activations use the memory outside the fraction",
            *padding_note(case, *expert_pad(case, engine, settings)),
        ),
    )


def _rank(
    case: Case, engine: Engine, settings: Settings, given: Given, stage: int, fraction: float
) -> Rank:
    load = loading_of(
        case, engine.integer("vocab_pad"), mla=True, pad=expert_pad(case, engine, settings)[0]
    )
    stage_layers = stage_ranges(case.spec.layers, case.layout.pp, tail_first=True)[stage]
    weights = weight_lines(case, load, given, stage) + case.beside.weights(
        case.spec, case.layout, stage, layers_here=stage_layers
    )
    if given.free is not None:
        before = given.free
        taken = Line("non-torch", case.total_bytes - before, LOGGED)
    else:
        several = engine.integer("parallel_bytes") if case.layout.ranks > 1 else 0
        taken = constant_line("non-torch", engine.constants["context_bytes"], several)
        before = case.total_bytes - taken.bytes
    outside = before - int(before * fraction)
    overheads = (
        taken,
        Line(
            "outside-fraction",
            outside,
            "activations and graphs: free before the load × (1 − fraction)",
        ),
    )
    budget = before - total(weights) - outside
    kv = cache_layout(case, settings)
    return Rank(
        stage,
        tuple(weights),
        overheads,
        budget,
        (
            *window_rule(case.spec, engine).of(
                cache_classes(
                    case.spec, case.layout, kv, layers=stage_layers, prediction=case.predicts(stage)
                )
            ),
            *case.beside.caches(case.layout, kv, stage),
        ),
    )


def _tokens(rank: Rank, page: int, settings: Settings, context: int) -> int:
    """Tokens of a rank's pool in whole pages; −1 for a negative budget."""
    if rank.budget_bytes < 0:
        return -1
    if settings.total_tokens is not None:
        return settings.total_tokens // page * page
    if not uniform(rank.caches):
        need = request_bytes(rank.caches, context)
        return int(rank.budget_bytes * context / need) // page * page if need else 0
    entry = token_bytes(rank.caches)
    return rank.budget_bytes // entry // page * page if entry else 0
