"""The cache and capacity parts of a plan: bytes by layer, the sequences and context that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from planner.memory.capacity import StageRoom, largest_context, replica_sequences
from planner.placement.cache_entries import (
    fixed_slot_bytes,
    indexer_token_bytes,
    page_tokens,
    slot_layer_bytes,
    state_bytes,
    token_layer_bytes,
    window_layer_bytes,
)
from planner.placement.layout import Layout, stage_of_layer
from planner.planning.plan.record import CacheInfo, CacheLayer, CapacityInfo
from planner.planning.price.price import Priced, StageCache
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.draft_bytes import draft_sequence_bytes
from planner.planning.space.memory import question_overheads
from planner.planning.space.model import CostModel


def cache_info(model: CostModel, winner: SearchResult, priced: Priced) -> CacheInfo:
    """Cache entries of every layer (one copy), their growth a token, the tokens that fit."""
    context = model.question.workload.cached_tokens
    layers: list[CacheLayer] = []
    for segment in winner.segments:
        unit = model.units[segment.unit]
        if unit.role == "cache":
            cache, layout = model.caches[unit.row], model.choices[segment.choice]
            token = token_layer_bytes(cache, layout, 1, context)
            window = window_layer_bytes(cache, layout, 1, context)
            layers += [CacheLayer(n, unit.kind, layout, token, window) for n in segment.layers]
    for group in model.question.spec.attention:
        keys = indexer_token_bytes(group, fp8=model.indexer_fp8)
        if keys:
            name = "fp8" if model.indexer_fp8 else "bf16"
            layers += [CacheLayer(n, "indexer", name, keys, 0) for n in group.layers]
        if size := state_bytes(group, 1):
            dtype = group.state_dtype or group.conv_dtype if group.kind == "linear" else "fp32"
            layers += [CacheLayer(n, "state", dtype, 0, size) for n in group.layers]
    layers.sort(key=lambda item: (item.layer, item.kind))
    return CacheInfo(
        sum(n.bytes_per_token for n in layers),
        max(c.token for c in priced.caches),
        _capacity_tokens(model.question, priced),
        tuple(layers),
    )


def grows_alike(question: Question) -> bool:
    """Whether every token of a sequence costs the same bytes: no exceeded window, no state."""
    context = question.workload.cached_tokens
    return all(
        a.kind in ("gqa", "mla") and not 0 < a.window < context for a in question.spec.attention
    )


def _capacity_tokens(question: Question, priced: Priced) -> int:
    """Cache tokens of one replica; where layers differ, tokens of requests at their end."""
    stage_tokens = []
    for stage, cached in zip(priced.stages, priced.caches, strict=True):
        free = max(question.usable_bytes - stage.weights - stage.activation - stage.runtime, 0)
        stage_tokens.append(
            free // cached.token
            if grows_alike(question)
            else free * question.workload.cached_tokens // sum(cached.each)
        )
    return min(stage_tokens) * priced.layout.dp


def capacity_info(model: CostModel, winner: SearchResult, priced: Priced) -> CapacityInfo:
    """The most sequences at the context and as requests hold them, and the longest that every
    sequence of the batch may be at once."""
    question = model.question
    page = max(page_tokens(a) for a in question.spec.attention)
    rooms: dict[tuple[int, ...], tuple[int, int]] = {}  # the fullest of stages that cache alike
    for n, stage in enumerate(priced.stages):
        free = max(question.usable_bytes - stage.weights - stage.runtime, 0)
        layers = _cached_layers(model, winner, priced.layout, n)
        rooms[layers] = min(rooms.get(layers, (free, n)), (free, n))
    contexts = [
        largest_context(
            _slot_bytes(model, winner, priced, n),
            free,
            1,
            page=page,
            limit=question.spec.max_context,
        )
        for free, n in rooms.values()
    ]
    return CapacityInfo(
        most_at_context(model, priced),
        min(min(contexts), question.spec.max_context),
        most_at_requests(model, priced),
    )


def _slot_bytes(
    model: CostModel, winner: SearchResult, priced: Priced, stage: int
) -> Callable[[int], int]:
    """Context → bytes of all caches of a rank of ``stage`` and of its activations.

    A longer context is a longer prompt, the answer stays: up to a whole chunk, its pass is wider.
    """
    question, cache = model.question, sequence_bytes(model, winner, priced.layout, stage)
    work, sequences = question.workload, priced.slot * priced.layout.pp
    counted = question_overheads(question, priced.layout)

    def size(context: int) -> int:
        prompt = min(context, max(work.isl, context - work.osl))
        return sequences * cache(context) + counted.activations(
            chunk_tokens=min(question.chunk_tokens, prompt),
            sequences=priced.slot * int(question.verified),
        )

    return size


def most_at_context(model: CostModel, priced: Priced) -> int:
    """The most sequences at the context that one replica holds."""
    return _most(model, priced, lambda cached, n: n * sum(cached.once))


def most_at_requests(model: CostModel, priced: Priced) -> int:
    """The most requests that one replica holds at their end, with room for one of the context."""
    return _most(model, priced, StageCache.resident)


def _most(model: CostModel, priced: Priced, size: Callable[[StageCache, int], int]) -> int:
    return most_sequences(
        model.question,
        priced,
        [partial(size, cached) for cached in priced.caches],
    )


def most_sequences(
    question: Question, priced: Priced, caches: Sequence[Callable[[int], int]]
) -> int:
    """The most sequences of one replica; ``caches`` are the bytes of so many on each stage."""
    return replica_sequences(
        priced.layout,
        [
            StageRoom(max(question.usable_bytes - stage.weights - stage.runtime, 0), size)
            for stage, size in zip(priced.stages, caches, strict=True)
        ],
        question_overheads(question, priced.layout),
        chunk_tokens=min(question.chunk_tokens, question.workload.isl),
        step_tokens=int(question.verified),
    )


def sequence_bytes(
    model: CostModel,
    winner: SearchResult,
    layout: Layout,
    stage: int,
) -> Callable[[int], int]:
    """Context → cache bytes of one sequence on a rank of ``stage``."""
    counts = iter(_cached_layers(model, winner, layout, stage))
    chosen = [
        (model.caches[model.units[s.unit].row], model.choices[s.choice], next(counts))
        for s in winner.segments
        if model.units[s.unit].role == "cache"
    ]
    groups = [(group, next(counts)) for group in model.question.spec.attention]
    last = stage == layout.pp - 1
    kept = model.question.windows.entries

    def size(context: int) -> int:
        total = draft_sequence_bytes(model, layout, context) if last else 0
        total += sum(
            count * slot_layer_bytes(cache, name, layout.tp, context, kept)
            for cache, name, count in chosen
        )
        return total + sum(
            count * fixed_slot_bytes(group, layout.tp, context, indexer_fp8=model.indexer_fp8)
            for group, count in groups
        )

    return size


def _cached_layers(
    model: CostModel, winner: SearchResult, layout: Layout, stage: int
) -> tuple[int, ...]:
    """Layers that ``stage`` holds of each cache segment, then of each attention group."""
    spec = model.question.spec
    stages = stage_of_layer(spec.layers, layout.pp)
    cached_groups = [s.layers for s in winner.segments if model.units[s.unit].role == "cache"]
    cached_groups += [group.layers for group in spec.attention]
    return tuple(sum(stages[layer] == stage for layer in layers) for layers in cached_groups)
