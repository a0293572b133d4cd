"""vLLM: total × utilisation less weights and profiled overheads, in blocks, the tightest rank.

Sources: vllm/worker/worker.py (V0), vllm/v1/worker/gpu_worker.py and vllm/v1/core/
kv_cache_utils.py (V1); version-bound figures are in ``data/engines.toml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.memory.caches import CacheClass, cache_classes, request_bytes, token_bytes, uniform
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
from planner.memory.engines.vllm_pool import Pool, in_groups, pool_of
from planner.memory.images import deep_features, encoder_budget, image_lines
from planner.memory.resident import (
    ExpertPad,
    Line,
    Loading,
    stage_ranges,
    total,
)
from planner.memory.workspace import PassShape, peak_lines
from planner.models.plain import plain_type, with_states_in
from planner.models.spec import ImageEncoder
from planner.placement.cache_entries import cache_units

_VERY_LARGE = 160 << 30
"""Devices from here on read more tokens a step [B]."""
_DATACENTRE_BLACKWELL = 10
"""Major number of the compute capability of B200, GB200, B300."""
NOT_FROM_SHAPES = ("non-torch", "margin", "cuda-graphs", "process")


def size(case: Case, engine: Engine, settings: Settings, given: Given) -> EngineResult:
    """The cache pool of vLLM for ``case``; ``given`` overheads replace predicted ones.

    Raises:
        InputError: a layout or setting out of range.
        UnsupportedError: a cache layout that the model's caches do not have.
    """
    check(case, settings)
    case = replace(case, spec=with_states_in(case.spec, case.plain or plain_type(case.spec)))
    util = settings.utilisation or engine.number("utilisation")
    usable = int(case.total_bytes * util)
    block = settings.block_tokens or engine.integer(
        "block_tokens" if case.cuda else "cpu_block_tokens"
    )
    context = settings.context or case.spec.max_context
    run = forward_pass(case, engine, settings, context)
    ranks = tuple(
        _rank(case, engine, settings, given, run, stage, usable) for stage in range(case.layout.pp)
    )
    if settings.kv_bytes is not None:
        ranks = tuple(
            Rank(r.stage, r.weights, r.overheads, settings.kv_bytes, r.caches) for r in ranks
        )
    pools = [_pool(case, engine, r.caches, block) for r in ranks]
    per_rank = [
        _blocks(r.budget_bytes, r.caches, p, block, context)
        for r, p in zip(ranks, pools, strict=True)
    ]
    limiting = min(range(len(ranks)), key=lambda i: per_rank[i])
    rank, pool = ranks[limiting], pools[limiting]
    block_bytes = block * _block_token_bytes(rank.caches) if pool is None else pool.block_bytes
    blocks = max(0, per_rank[limiting])
    why = failure(rank.budget_bytes, block_bytes)
    if pool is not None:
        concurrency = blocks / pool.request_blocks(context, run.tokens)
        tokens = (
            int(concurrency * context)
            if engine.integer("pool_by_length")
            else blocks // pool.tables * pool.block_tokens
        )
    else:
        concurrency = _concurrency(engine, rank, blocks, block, context)
        tokens = blocks * block if uniform(rank.caches) else int(concurrency * context)
    return EngineResult(
        engine=engine.name,
        version=engine.version_text,
        settings=(
            ("gpu-memory-utilization", util),
            ("max-model-len", context),
            ("max-num-batched-tokens", run.tokens),
            ("max-num-seqs", run.sequences),
            ("block-size", block),
            ("kv-cache-dtype", _cache_text(case, settings)),
        ),
        total_bytes=case.total_bytes,
        ranks=ranks,
        limiting=limiting,
        kv_bytes=rank.budget_bytes,
        block_tokens=block,
        block_bytes=block_bytes,
        blocks=blocks,
        tokens=tokens,
        replica_tokens=tokens * case.layout.dp,
        max_concurrency=concurrency,
        starts=not why,
        reason=why,
        unexplained=_unexplained(rank),
        notes=(
            *_notes(case, rank, pool, engine),
            *padding_note(case, *expert_pad(case, engine, settings)),
        ),
        grouped=pool is not None,
    )


def _cache_text(case: Case, settings: Settings) -> str:
    """The cache layouts in use: one, or those that differ by layer."""
    if settings.kv_of is None:
        return cache_layout(case, settings)
    units = cache_units(case.spec)
    return ", ".join(sorted({settings.kv_of(u.kind, n) for u in units for n in u.layers}))


def forward_pass(case: Case, engine: Engine, settings: Settings, context: int) -> PassShape:
    """The pass that vLLM profiles: the largest batch of tokens, then sampling for every sequence.

    V0 without chunked prefill profiles a whole context, up to 32,768 tokens.
    """
    suffix = "_large" if case.large else ""
    very = case.large and case.total_bytes >= _VERY_LARGE
    batched = engine.integer("batched_tokens" + ("_very_large" if very else suffix))
    if engine.generation == "v0" and context <= 32768:
        batched = max(context, batched)
    tokens = settings.batched_tokens or batched
    sequences = settings.max_seqs or engine.integer("max_seqs" + suffix)
    return PassShape(
        tokens=tokens,
        sequences=min(sequences, tokens),
        context=context,
        width=case.activation_width,
        sampler=engine.integer("sampler_bytes"),
        gathered=True,
    )


def loading_of(case: Case, vocab_pad: int, *, mla: bool, pad: ExpertPad) -> Loading:
    """What vLLM and SGLang do while they load weights; ``mla``: they absorb latent projections."""
    quantised = any(
        row.kind == "mla-kv"
        and (case.format_of(row.kind, 0) is not None or row.scale_name is not None)
        for row in case.spec.rows
    )
    plain = {"fp32": 4}.get(case.plain or plain_type(case.spec), 2)
    return Loading(
        plain=case.plain,
        rope_tables=plain,
        vocab_pad=vocab_pad,
        absorbed="kv" if quantised and mla else "",
        tail_first=True,
        max_positions=case.max_positions,
        parts=case.parts,
        pad=pad,
        segments=case.cuda,
    )


def _rank(
    case: Case,
    engine: Engine,
    settings: Settings,
    given: Given,
    run: PassShape,
    stage: int,
    usable: int,
) -> Rank:
    layout = case.layout
    load = loading_of(
        case,
        engine.integer("vocab_pad"),
        mla=bool(engine.integer("mla_cache")),
        pad=expert_pad(case, engine, settings)[0],
    )
    weights = weight_lines(case, load, given, stage)
    if not case.cuda and given.weights is None:
        weights += _packed_head(case)
    stage_layers = stage_ranges(case.spec.layers, layout.pp, tail_first=True)[stage]
    weights += case.beside.weights(case.spec, layout, stage, layers_here=stage_layers, outside=True)
    overheads = [*_activation(case, given, run, stage), _nontorch(case, engine, given)]
    if case.cuda and given.nontorch is None and engine.integer("margin_bytes"):
        overheads.append(constant_line("margin", engine.constants["margin_bytes"]))
    if engine.integer("graphs_deducted") and case.cuda:
        overheads.append(_graphs(case, engine, len(stage_layers), given, run))
    naive = 0 if engine.integer("mla_cache") else engine.integer("mla_head_width")
    kv = cache_layout(case, settings)
    own = cache_classes(
        case.spec,
        layout,
        settings.kv_of or kv,
        layers=stage_layers,
        naive_width=naive,
        prediction=case.predicts(stage),
    )
    caches = (*_as_kept(case, engine, own), *case.beside.caches(layout, kv, stage))
    return Rank(
        stage, tuple(weights), tuple(overheads), usable - total(weights) - total(overheads), caches
    )


def _packed_head(case: Case) -> list[Line]:
    """A tied head on a CPU: embedding and head are two modules of one table, each is given a packed
    copy for its product, and lookups keep the table."""
    tables = [row for row in case.spec.rows if row.kind == "embedding" and row.part == "main"]
    if not case.spec.tied_embeddings or case.layout.pp > 1 or not tables:
        return []
    head_bytes = sum(row.elements for row in tables) * case.activation_width // case.layout.tp
    return [
        Line(
            "packed-head",
            2 * head_bytes,
            "vllm/model_executor/layers/utils.py 0.32: dispatch_cpu_unquantized_gemm",
        )
    ]


def _activation(case: Case, given: Given, run: PassShape, stage: int) -> list[Line]:
    if given.activation is not None:
        return [Line("activation", given.activation, LOGGED)]
    text = peak_lines(case.spec, case.layout, run, samples=stage == case.layout.pp - 1)
    encoder = case.spec.encoder
    if encoder is None or "vision" not in case.parts or stage:
        return text
    return _seeing(case, encoder, run, text)


def _seeing(case: Case, encoder: ImageEncoder, run: PassShape, text: list[Line]) -> list[Line]:
    """The profile of a model that sees (GPUModelRunner.profile_run): images are encoded, and their
    outputs lie in the encoder cache while the text model runs; the larger peak counts."""
    budget = encoder_budget(
        encoder, tokens=run.tokens, sequences=run.sequences, context=run.context
    )
    images, _ = image_lines(case.spec, budget, case.layout.tp, run.width)
    outputs = [line for line in images if line.name == "encoder-outputs"]
    peak = max(images, [*text, *outputs], key=total)
    deep = deep_features(case.spec) * run.tokens * case.spec.hidden_size * run.width
    buffers = Line(
        "deepstack-buffers",
        deep,
        "vllm/model_executor/models/qwen3_vl.py 0.32: a "
        "buffer of a step's tokens for each layer that is given features",
    )
    return [*peak, buffers] if deep else peak


def _nontorch(case: Case, engine: Engine, given: Given) -> Line:
    if given.nontorch is not None:
        return Line("non-torch", given.nontorch, LOGGED)
    if not case.cuda:
        return constant_line("process", engine.constants["cpu_process_bytes"])
    extra = engine.integer("nontorch_parallel_bytes") if case.layout.tp > 1 else 0
    return constant_line("non-torch", engine.constants["nontorch_bytes"], extra)


def _graphs(case: Case, engine: Engine, layers: int, given: Given, run: PassShape) -> Line:
    if given.graphs is not None:
        return Line("cuda-graphs", given.graphs, LOGGED)
    constant = engine.constants["graph_bytes_per_layer_and_size"]
    return Line(
        "cuda-graphs",
        graph_bytes(case, engine, layers, run),
        f"{constant.kind}: {constant.source}",
    )


def graph_bytes(case: Case, engine: Engine, layers: int, run: PassShape) -> int:
    """Bytes of the graphs that are captured of ``layers`` layers [B]."""
    most = "graph_top_blackwell" if case.capability == _DATACENTRE_BLACKWELL else "graph_top"
    count = graph_sizes(run.sequences, engine.integer(most))
    return engine.integer("graph_bytes_per_layer_and_size") * layers * count


def graph_sizes(max_seqs: int, most: int) -> int:
    """Batch sizes captured by default: 1, 2, 4, then every 8 to 256, then every 16, up to
    ``most`` and twice the sequences."""
    top = min(most, 2 * max_seqs)
    small = sum(1 for n in (1, 2, 4) if n <= top)
    return small + min(top, 256) // 8 + max(0, top - 256) // 16


def _pool(case: Case, engine: Engine, caches: tuple[CacheClass, ...], block: int) -> Pool | None:
    """The groups of a rank; None where all layers share one table of blocks."""
    return pool_of(caches, block) if in_groups(case.spec, engine) else None


def _as_kept(case: Case, engine: Engine, caches: Sequence[CacheClass]) -> tuple[CacheClass, ...]:
    """The caches as they are kept: whole where windowed layers have the table of the others."""
    if in_groups(case.spec, engine) or len({c.window for c in caches}) < 2:
        return tuple(caches)
    return tuple(replace(c, window=0) if c.kind == "kv" else c for c in caches)


def _block_token_bytes(caches: tuple[CacheClass, ...]) -> int:
    """Bytes a token of a block: every layer that pages, windows included."""
    return sum(c.entry_bytes * len(c.layers) // c.ratio for c in caches)


def _blocks(
    budget: int, caches: tuple[CacheClass, ...], pool: Pool | None, block: int, context: int
) -> int:
    """Blocks of a rank; −1 for a negative budget, so that it is the minimum."""
    per_block = block * _block_token_bytes(caches) if pool is None else pool.block_bytes
    if budget < 0:
        return -1
    return budget // per_block if per_block else budget // max(1, request_bytes(caches, context))


def _concurrency(engine: Engine, rank: Rank, blocks: int, block: int, context: int) -> float:
    """Requests of the longest length that fit at once."""
    if not uniform(rank.caches):
        need = request_bytes(rank.caches, -(-context // block) * block)
        return max(0, rank.budget_bytes) / need if need else 0.0
    if engine.generation == "v0":
        return blocks * block / context
    return blocks / -(-context // block)


def _unexplained(rank: Rank) -> tuple[Line, ...]:
    return tuple(line for line in rank.overheads if line.name in NOT_FROM_SHAPES)


def _notes(case: Case, rank: Rank, pool: Pool | None, engine: Engine) -> tuple[str, ...]:
    notes = (
        []
        if case.cuda
        else [
            "on a CPU --gpu-memory-utilization is of the machine's memory less what the process "
            "holds; "
            "--kv-cache-memory-bytes, or VLLM_CPU_KVCACHE_SPACE in GiB, sets the pool"
        ]
    )
    if pool is not None:
        notes.append(
            f"windowed layers share blocks with the others in {pool.tables} groups; a request "
            "takes of a window the tokens of a step and one block more"
        )
    elif not uniform(rank.caches):
        notes.append(
            "layers keep caches of different sizes: tokens are concurrency × "
            "max-model-len; what the engine prints depends on its version"
        )
    if not engine.integer("graphs_deducted") and case.cuda:
        notes.append("CUDA graphs are captured after the pool is sized and come on top")
    if case.spec.encoder is not None and "vision" in case.parts:
        notes.append(f"profiled with the largest images: {case.spec.encoder.limit}")
    if not token_bytes(rank.caches):
        notes.append("no cache grows with the context")
    return tuple(notes)
