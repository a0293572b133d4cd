"""TensorRT-LLM: a fraction of what is free after engine, context and buffers, in blocks.

Source: TensorRT-LLM documentation on memory usage. The PyTorch back end rounds the tokens of its
dry run up to a block; the TensorRT back end rounds down, and loads weights as its converters lay
them out (NVIDIA/TensorRT-LLM tensorrt_llm/models/deepseek_v2/convert.py): the embedding whole on
every rank, routers in FP32, latent projections in 16 bits whatever the weight-only precision, with
the query projection multiplied by the keys' beside them.
"""

from __future__ import annotations

from planner.formats.schemes import scheme
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
from planner.memory.resident import (
    FormatOf,
    Line,
    Loading,
    rank_weights,
    rope_table_bytes,
    stage_ranges,
    total,
)
from planner.memory.windows import window_rule
from planner.memory.workspace import PassShape, logits_bytes, peak_lines

NOT_FROM_SHAPES = ("context", "buffers")


def size(case: Case, engine: Engine, settings: Settings, given: Given) -> EngineResult:
    """The cache pool of TensorRT-LLM for ``case``.

    Raises:
        InputError: a layout or setting out of range.
        UnsupportedError: a cache layout that the model's caches do not have.
    """
    check(case, settings)
    fraction = settings.utilisation or engine.number("utilisation")
    block = settings.block_tokens or engine.integer("block_tokens")
    context = settings.context or case.spec.max_context
    run = PassShape(
        tokens=settings.batched_tokens or engine.integer("batched_tokens"),
        sequences=settings.max_seqs or engine.integer("max_seqs"),
        context=context,
        width=case.activation_width,
        sampler=4,
        gathered=True,
    )
    ranks = tuple(
        _rank(case, engine, settings, given, run, stage, fraction)
        for stage in range(case.layout.pp)
    )
    up = bool(engine.integer("rounds_up"))
    per_rank = [_tokens(rank, block, context, up=up) for rank in ranks]
    limiting = min(range(len(ranks)), key=lambda i: per_rank[i])
    rank, tokens = ranks[limiting], max(0, per_rank[limiting])
    entry = token_bytes(rank.caches)
    why = failure(rank.budget_bytes, entry * block)
    kv = tokens * entry if uniform(rank.caches) and not why else rank.budget_bytes
    return EngineResult(
        engine=engine.name,
        version=engine.version_text,
        settings=(
            ("kv-cache-free-gpu-mem-fraction", fraction),
            ("max-seq-len", context),
            ("max-num-tokens", run.tokens),
            ("max-batch-size", run.sequences),
            ("tokens-per-block", block),
            ("kv-cache-dtype", cache_layout(case, settings)),
        ),
        total_bytes=case.total_bytes,
        ranks=ranks,
        limiting=limiting,
        kv_bytes=kv,
        block_tokens=block,
        block_bytes=entry * block,
        blocks=tokens // block,
        tokens=tokens,
        replica_tokens=tokens * case.layout.dp,
        max_concurrency=tokens // block / -(-context // block),
        starts=not why,
        reason=why,
        unexplained=tuple(x for x in rank.overheads if x.name in NOT_FROM_SHAPES),
    )


def _rank(
    case: Case,
    engine: Engine,
    settings: Settings,
    given: Given,
    run: PassShape,
    stage: int,
    fraction: float,
) -> Rank:
    converted = bool(engine.integer("tensorrt_backend"))
    load = (
        _converted(case, engine)
        if converted
        else Loading(
            plain=case.plain, vocab_pad=engine.integer("vocab_pad"), absorbed="kv", parts=case.parts
        )
    )
    weights = rank_weights(
        case.spec, case.layout, load, _plain_latents(case) if converted else case.format_of, stage
    )
    stage_layers = stage_ranges(case.spec.layers, case.layout.pp, tail_first=False)[stage]
    weights += case.beside.weights(case.spec, case.layout, stage, layers_here=stage_layers)
    overheads: list[Line] = []
    if given.free is not None:
        free = given.free
        overheads.append(
            Line(
                "context",
                case.total_bytes - free - total(weights),
                "from the log, with all buffers",
            )
        )
    else:
        overheads += _overheads(case, engine, given, run, stage)
        free = case.total_bytes - total(weights) - total(overheads)
    kept = free - int(free * fraction) if free > 0 else 0
    overheads.append(Line("outside-fraction", kept, "free memory × (1 − fraction)"))
    kv = cache_layout(case, settings)
    return Rank(
        stage,
        tuple(weights),
        tuple(overheads),
        free - kept,
        (
            *window_rule(case.spec, engine).of(
                cache_classes(
                    case.spec, case.layout, kv, layers=stage_layers, prediction=case.predicts(stage)
                )
            ),
            *case.beside.caches(case.layout, kv, stage),
        ),
    )


def _converted(case: Case, engine: Engine) -> Loading:
    """What the converters of the TensorRT back end make of a checkpoint."""
    return Loading(
        plain=case.plain,
        fp32_kinds=("router",),
        copied_kinds=("embedding",),
        rope_tables=4,
        absorbed="query",
        vocab_pad=engine.integer("vocab_pad"),
        parts=case.parts,
        max_positions=case.max_positions,
    )


def _plain_latents(case: Case) -> FormatOf:
    """The formats of ``case`` with the latent projections in 16 bits."""
    plain = scheme("fp16" if case.plain == "fp16" else "bf16").weight
    return lambda kind, layer: plain if kind in ("mla-q", "mla-kv") else case.format_of(kind, layer)


def _overheads(case: Case, engine: Engine, given: Given, run: PassShape, stage: int) -> list[Line]:
    last = stage == case.layout.pp - 1
    lines = (
        [Line("activation", given.activation, LOGGED)]
        if given.activation is not None
        else _execution(case, run, last)
    )
    several = engine.integer("parallel_bytes") if case.layout.ranks > 1 else 0
    if not engine.integer("tensorrt_backend"):  # neither parameters nor buffers of the model
        lines.append(
            Line(
                "rope-tables",
                rope_table_bytes(case.spec, case.max_positions, 4),
                "cosine and sine of every position in FP32",
            )
        )
    return [
        *lines,
        constant_line("context", engine.constants["context_bytes"], several),
        constant_line("buffers", engine.constants["buffers_bytes"]),
    ]


def _execution(case: Case, run: PassShape, last: bool) -> list[Line]:
    """The execution context: the widest layer, and the logits buffer beside it."""
    lines = peak_lines(case.spec, case.layout, run, samples=False)
    if last:
        lines.append(
            Line(
                "logits",
                logits_bytes(case.spec, case.layout, run),
                "logits and their FP32 copy for every sequence",
            )
        )
    return lines


def _tokens(rank: Rank, block: int, context: int, *, up: bool) -> int:
    """Tokens of a rank's pool in whole blocks; −1 for a negative budget."""
    if rank.budget_bytes < 0:
        return -1
    if not uniform(rank.caches):
        need = request_bytes(rank.caches, context)
        return int(rank.budget_bytes * context / need) // block * block if need else 0
    entry = token_bytes(rank.caches)
    if not entry:
        return 0
    tokens = rank.budget_bytes // entry
    return (-(-tokens // block) if up else tokens // block) * block
