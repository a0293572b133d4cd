"""llama.cpp: a cache of n_ctx cells allocated up front, in ggml types; compute buffers.

Source: ggml-org/llama.cpp src/llama-kv-cache*.cpp. Windowed layers keep window + ubatch cells a
sequence, padded; with --swa-full, and in ik_llama.cpp always, all of them. The fork's ``mla``
switch: 0 keys and values of all heads, 1 the latent and a transposed copy, 2 and 3 the latent
alone. A draft (``--model-draft``) has a context of its own, of as many cells and sequences, its
cache in F16 (common/speculative.cpp, common_base_params_to_speculative; --cache-type-k-draft).
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.errors import InputError, UnknownNameError
from planner.formats.schemes import scheme
from planner.memory.caches import CacheClass
from planner.memory.engines.catalog import Engine
from planner.memory.engines.records import (
    LOGGED,
    Case,
    EngineResult,
    Given,
    Rank,
    Settings,
    check,
    constant_line,
)
from planner.memory.extra_models import NOTHING
from planner.memory.resident import Line, Loading, gguf_loading, rank_weights, stage_ranges, total
from planner.messages.message import message
from planner.models.spec import Attention
from planner.models.storage import GGML_BLOCKS

_PLAIN = {"f32": 4, "f16": 2, "bf16": 2}
_STATE = 4
_REPACKED = ("ggml-q4_0", "ggml-q4_k", "ggml-iq4_nl", "ggml-mxfp4")
"""Types whose rows are interleaved while they are loaded on any CPU with AVX2 (ggml-cpu/repack.cpp,
ggml_repack_get_optimal_repack_type); AVX-512 and Arm interleave more."""
_LOOKED_UP = ("embedding",)
"""Kinds that are read row by row, which the buffer of interleaved rows does not serve."""
STATES = -1
"""Key of the part of a cache that are states (src/llama-memory-recurrent.cpp)."""


def row_bytes(ggml_type: str, elements: int) -> int:
    """Bytes of a row of ``elements`` in a cache type (f16, q8_0, q4_0, iq4_nl …).

    Raises:
        UnknownNameError: no such type.
        InputError: a row that is not whole blocks.
    """
    name = ggml_type.strip().lower()
    if name in _PLAIN:
        return _PLAIN[name] * elements
    if name.upper() not in GGML_BLOCKS:
        raise UnknownNameError("cache type", ggml_type, [*_PLAIN, *map(str.lower, GGML_BLOCKS)])
    block, size = GGML_BLOCKS[name.upper()]
    if elements % block:
        raise InputError(
            f"cache type {ggml_type}: {elements} elements are not blocks of {block}", hint="use f16"
        )
    return elements // block * size


def cells(engine: Engine, settings: Settings, window: int, context: int) -> int:
    """Cells of a layer over all sequences; ``context`` is n_ctx over all of them."""
    pad, sequences = engine.integer("cell_pad"), settings.max_seqs or engine.integer("max_seqs")
    each = -(-context // sequences)
    if window:
        ubatch = settings.batched_tokens or engine.integer("batched_tokens")
        each = min(each, window + ubatch)
    return -(-each // pad) * pad * sequences


def cell_bytes(attention: Attention, settings: Settings, mla: int) -> int:
    """Bytes of one cell and layer: key row and value row [B].

    Raises:
        InputError: a kind of attention that is not modelled for llama.cpp.
    """
    if attention.kind == "mla":
        latent = attention.kv_lora_rank + attention.rope_dim
        if mla == 0:
            key = attention.heads * (attention.nope_dim + attention.rope_dim)
            value = attention.heads * attention.value_dim
            return row_bytes(settings.type_k, key) + row_bytes(settings.type_v, value)
        copy = row_bytes(settings.type_v, attention.kv_lora_rank) if mla == 1 else 0
        return row_bytes(settings.type_k, latent) + copy
    if attention.kind != "gqa":
        raise InputError(
            f"llama.cpp caches of {attention.kind} attention are not modelled",
            hint="leave out --engine to see the caches themselves",
        )
    value = attention.value_dim or attention.head_dim
    return row_bytes(settings.type_k, attention.kv_heads * attention.head_dim) + row_bytes(
        settings.type_v, attention.kv_heads * value
    )


def cache_parts(
    case: Case, engine: Engine, settings: Settings, layers_here: range | None = None
) -> dict[int, int]:
    """Cache bytes of the layers in ``layers_here`` (default: all) by window, 0 for full attention,
    STATES for the states and convolutions of linear attention (F32, one of each sequence).

    Raises:
        InputError: ``mla`` is none of 0 to 3.
    """
    context = settings.context or case.spec.max_context
    mla = engine.integer("mla") if settings.mla is None else settings.mla
    if mla not in (0, 1, 2, 3):
        raise InputError(f"mla {mla} is not understood", hint="0, 1, 2 or 3")
    sums: dict[int, int] = {}
    for attention in (a for a in case.spec.attention if not a.borrows):
        here = sum(1 for layer in attention.layers if layers_here is None or layer in layers_here)
        if attention.kind == "linear":
            each = (attention.state_elements + attention.conv_elements) * _STATE
            sums[STATES] = sums.get(STATES, 0) + each * here * (
                settings.max_seqs or engine.integer("max_seqs")
            )
            continue
        window = 0 if settings.swa_full else attention.window
        size = cell_bytes(attention, settings, mla) * here
        size *= cells(engine, settings, window, context)
        sums[window] = sums.get(window, 0) + size
    return sums


def compute_lines(case: Case, engine: Engine, settings: Settings) -> list[Line]:
    """The compute buffer with flash attention: FP32 logits of a micro-batch and the hidden states
    beside them, two where experts are summed into a residual."""
    ubatch = settings.batched_tokens or engine.integer("batched_tokens")
    hidden = 2 if case.spec.experts is not None else 1
    return [
        Line("logits", ubatch * case.spec.vocab_size * 4, "FP32 logits of a micro-batch"),
        Line(
            "residual-stream",
            hidden * ubatch * case.spec.hidden_size * 4,
            "FP32 hidden states of a micro-batch",
        ),
    ]


def size(case: Case, engine: Engine, settings: Settings, given: Given) -> EngineResult:
    """Cache and buffers of llama.cpp on one device, or spread by layers over pp devices.

    Raises:
        InputError: a layout or setting out of range.
        UnknownNameError: a cache type that does not exist.
    """
    check(case, settings)
    if case.layout.tp * case.layout.dp > 1:
        raise InputError(
            "llama.cpp: tp and dp are not modelled; layers are split over devices",
            hint="use --pp for several devices",
        )
    context = settings.context or case.spec.max_context
    sequences = settings.max_seqs or engine.integer("max_seqs")
    kv = sum(cache_parts(case, engine, settings).values()) + _draft_cache(case, engine, settings)
    ranks = tuple(_rank(case, engine, settings, given, stage) for stage in range(case.layout.pp))
    left = [rank.budget_bytes - _share(case, engine, settings, rank.stage) for rank in ranks]
    short = min(left)
    limiting = left.index(short)
    why = "" if short >= 0 else message("memory.starts_not_device", over=f"{-short:,}")
    tokens = cells(engine, settings, 0, context)
    return EngineResult(
        engine=engine.name,
        version=engine.version_text,
        settings=(
            ("ctx-size", context),
            ("parallel", sequences),
            ("ubatch-size", settings.batched_tokens or engine.integer("batched_tokens")),
            ("cache-type-k", settings.type_k),
            ("cache-type-v", settings.type_v),
        ),
        total_bytes=case.total_bytes,
        ranks=ranks,
        limiting=limiting,
        kv_bytes=kv,
        block_tokens=engine.integer("cell_pad"),
        block_bytes=kv // tokens * engine.integer("cell_pad"),
        blocks=tokens // engine.integer("cell_pad"),
        tokens=tokens,
        replica_tokens=tokens,
        max_concurrency=float(sequences),
        starts=not why,
        reason=why,
        unexplained=tuple(x for x in ranks[limiting].overheads if x.name == "context"),
        notes=(
            f"the cache of {kv:,} bytes is allocated whole at the start, over all sequences",
            *_repacked_note(case),
        ),
    )


def repacked_bytes(case: Case) -> int:
    """Bytes of the weights that a CPU holds interleaved, in a buffer of their own (CPU_REPACK)."""
    kinds = {
        row.kind
        for row in case.spec.rows
        if row.is_matrix and row.part in case.parts and row.kind not in _LOOKED_UP
    }
    formats = {scheme(name).weight for name in _REPACKED}
    inside = frozenset(
        kind for kind in kinds if case.format_of(kind, case.spec.layers - 1) in formats
    )
    lines = rank_weights(
        case.spec, case.layout, Loading(parts=case.parts, plain=case.plain), case.format_of, 0
    )
    return sum(line.bytes for line in lines if line.name in inside)


def _repacked_note(case: Case) -> tuple[str, ...]:
    """What of the weights lies in memory of its own beside the mapped file."""
    repacked = 0 if case.cuda else repacked_bytes(case)
    if not repacked:
        return ()
    return (
        f"{repacked:,} bytes of the weights are interleaved into a buffer of their own "
        "(CPU_REPACK); the mapped file keeps pages of them that the system lets go when it needs "
        "them, which are not counted, and --no-mmap has none",
    )


def _rank(case: Case, engine: Engine, settings: Settings, given: Given, stage: int) -> Rank:
    load = gguf_loading(case.parts, own_memory=case.own_memory, plain=case.plain)
    weights = rank_weights(case.spec, case.layout, load, case.format_of, stage)
    stage_layers = stage_ranges(case.spec.layers, case.layout.pp, tail_first=False)[stage]
    weights += case.beside.weights(case.spec, case.layout, stage, layers_here=stage_layers)
    overheads = (
        [Line("activation", given.activation, LOGGED)]
        if given.activation is not None
        else compute_lines(case, engine, settings)
    )
    draft = _draft(case)
    if draft is not None:
        overheads += [
            replace(line, name=f"draft-{line.name}")
            for line in compute_lines(draft, engine, settings)
        ]
    if case.cuda:
        overheads.append(constant_line("context", engine.constants["context_bytes"]))
    return Rank(
        stage,
        tuple(weights),
        tuple(overheads),
        case.total_bytes - total(weights) - total(overheads),
        (CacheClass("cells", tuple(stage_layers), 0),),
    )


def _share(case: Case, engine: Engine, settings: Settings, stage: int) -> int:
    """Cache bytes of a stage's layers."""
    stage_layers = stage_ranges(case.spec.layers, case.layout.pp, tail_first=False)[stage]
    return sum(cache_parts(case, engine, settings, stage_layers).values()) + _draft_cache(
        case, engine, settings
    )


def _draft(case: Case) -> Case | None:
    """The draft as a model of its own."""
    loaded_draft = case.beside.draft
    return None if loaded_draft is None else replace(case, spec=loaded_draft.spec, beside=NOTHING)


def _draft_cache(case: Case, engine: Engine, settings: Settings) -> int:
    """Bytes of the draft's cache, as many cells as the model's."""
    draft = _draft(case)
    if draft is None:
        return 0
    own = replace(
        settings, type_k="f16", type_v="f16", context=settings.context or case.spec.max_context
    )
    return sum(cache_parts(draft, engine, own).values())
