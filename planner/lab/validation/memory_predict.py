"""Predictions of memory rows: weights, caches in two modes, overheads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from planner.base.errors import PlannerError
from planner.lab.validation.memory_rows import (
    MemoryRow,
    case_of,
    first_value,
    read_row,
    settings_of,
)
from planner.lab.validation.records import EXCLUDED, HEADLINE, NotCoveredError, Outcome
from planner.memory.caches import request_bytes, token_bytes, uniform
from planner.memory.engines.llamacpp import cache_parts, compute_lines
from planner.memory.engines.records import Case, EngineResult, Given, Rank, Settings, of_kind
from planner.memory.engines.run import engine_size
from planner.memory.resident import Line, total

GIVEN, PREDICTED = "given-overheads", "predicted"
KV_BYTES = ("kv_gib_per_gpu", "kv_gib_total")
KV = (
    *KV_BYTES,
    "kv_tokens_per_replica",
    "kv_blocks",
    "max_concurrency",
    "kv_gib_needed_for_one_request",
)
_OVERHEADS = ("activation_gib", "nontorch_gib", "cudagraph_gib")
# 80 % intervals: parts of a quantity that are not derived exactly, as shares of themselves.
_ACTIVATION_SHARE, _FIXED_SHARE, _WEIGHT_SHARE, _EXACT_SHARE = 0.15, 0.5, 0.005, 0.003


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """A prediction and half the width of its 80 % interval, in the row's unit."""

    value: float
    half_width: float
    basis: str


def predict_rows(table: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """Outcomes of a memory table: weights and overheads once, caches in both modes."""
    texts = list(rows)
    read = [read_row(index, text) for index, text in enumerate(texts)]
    runs: dict[tuple[str, ...], list[MemoryRow]] = {}
    siblings: dict[tuple[str, ...], list[MemoryRow]] = {}
    for row in read:
        if row is not None:
            runs.setdefault(row.run, []).append(row)
            siblings.setdefault(row.sibling, []).append(row)
    outcomes = []
    for index, (text, row) in enumerate(zip(texts, read, strict=True)):
        if row is None:
            outcomes.append(_malformed(table, index, text))
            continue
        for mode in (GIVEN, PREDICTED) if row.quantity in KV else (PREDICTED,):
            outcomes.append(_outcome(table, row, mode, runs[row.run], siblings[row.sibling]))
    return outcomes


def _outcome(
    table: str, row: MemoryRow, mode: str, run: list[MemoryRow], siblings: list[MemoryRow]
) -> Outcome:
    base = _named(table, row, mode)
    try:
        prediction = _predict(row, mode, run, siblings)
    except NotCoveredError as why:
        return replace(base, reason=why.reason)
    except PlannerError:
        return replace(base, reason="not legal")
    half = prediction.half_width + row.half_digit
    value = max(prediction.value, 0)  # nothing fits: none, not less
    return replace(
        base, predicted=value, low=max(value - half, 0), high=value + half, basis=prediction.basis
    )


def _predict(
    row: MemoryRow, mode: str, run: list[MemoryRow], siblings: list[MemoryRow]
) -> MemoryPrediction:
    if row.engine is None:
        raise NotCoveredError("unknown engine")
    if row.quantity.startswith("weights"):
        return _weights(row)
    if row.quantity in KV and row.engine.engine.name == "llama.cpp":
        return _cells(row)
    if row.quantity in KV:
        return _given(row, run, siblings) if mode == GIVEN else _predicted(row)
    if row.quantity in _OVERHEADS:
        return _overhead(row)
    raise NotCoveredError("quantity not predicted")


def _weights(row: MemoryRow) -> MemoryPrediction:
    """Weights of the fullest rank; the device does not matter."""
    assert row.engine is not None
    case = replace(case_of(row, weights=True), total_bytes=1 << 50)
    result = engine_size(case, row.engine.engine, settings_of(row), Given())
    value = max(rank.weights_bytes for rank in result.ranks)
    return MemoryPrediction(
        value, _WEIGHT_SHARE * value, "tensor shapes and the engine's loading rules"
    )


def _cells(row: MemoryRow) -> MemoryPrediction:
    """llama.cpp's cache: the windowed part where the line says so, else the full layers."""
    assert row.engine is not None
    if row.context is None:
        raise NotCoveredError("setting not stated")
    case = case_of(row, weights=False)
    parts = cache_parts(case, row.engine.engine, settings_of(row))
    windowed = sum(size for window, size in parts.items() if window)
    if row.quantity not in KV_BYTES:
        raise NotCoveredError("quantity not predicted")
    line = row.text.get("raw_line", "")
    if windowed and "self size" not in line:
        value = windowed if "SWA" in line else parts.get(0, 0)
    else:
        value = sum(parts.values())
    return MemoryPrediction(value, 0.0, "cells, layers and cache types")


def _predicted(row: MemoryRow) -> MemoryPrediction:
    """The pool from the device's total, everything predicted."""
    assert row.engine is not None
    if row.set_by_hand and row.by_hand is None:
        raise NotCoveredError("setting not stated")
    if row.quantity == "kv_gib_needed_for_one_request":
        return _request(row)
    engine = row.engine.engine
    needs_total = row.by_hand is None
    if needs_total and not (row.device.total_bytes or row.device.free_bytes):
        raise NotCoveredError("unknown device")
    if needs_total and row.fraction is None:
        raise NotCoveredError("setting not stated")
    case = case_of(row, weights=needs_total)
    given = (
        Given(free=row.device.free_bytes)
        if row.device.free_bytes and engine.name == "sglang"
        else Given()
    )
    if not needs_total:
        case = replace(case, total_bytes=1 << 50)
    elif row.device.free_bytes and not row.device.total_bytes:
        case = replace(case, total_bytes=row.device.free_bytes)
    result = engine_size(case, engine, settings_of(row), given)
    rank = result.rank
    doubt = _doubt(rank) if needs_total else _EXACT_SHARE * max(1, result.kv_bytes)
    return _of_pool(row, result, doubt, "total, fraction, weights and modelled overheads")


def _given(row: MemoryRow, run: list[MemoryRow], siblings: list[MemoryRow]) -> MemoryPrediction:
    """The pool from overheads of the same log, else from its other figure of the cache."""
    assert row.engine is not None
    if row.quantity == "kv_gib_needed_for_one_request":
        return _request(row)
    if row.by_hand is not None:
        return _predicted(row)
    settings = settings_of(row)
    given = _logged(row, run, siblings)
    if given is not None:
        case = case_of(row, weights=True)
        result = engine_size(case, row.engine.engine, settings, given)
        return _of_pool(
            row, result, _EXACT_SHARE * max(1, result.kv_bytes), "overheads of the same log"
        )
    return _from_other(row, run, settings)


def _logged(row: MemoryRow, run: list[MemoryRow], siblings: list[MemoryRow]) -> Given | None:
    """Overheads that the same log prints, or None where it does not print what sizes the pool.

    The run's own figures come first. A V1 worker profiles a batch of tokens whatever the context
    and the cache type, so other starts of the same log, with the same model, layout, batch and
    compute type, have the same activations.
    """
    assert row.engine is not None
    engine = row.engine.engine
    if engine.name == "tensorrt-llm":
        free = first_value(run, "free_before_kv_gib")
        return Given(free=int(free.value)) if free is not None else None
    if engine.name == "sglang":
        before = first_value(run, "free_before_load_gib")
        if before is not None and row.fraction is not None and row.device.total_bytes:
            return Given(free=int(before.value))
        return None
    if engine.name != "vllm" or not row.device.total_bytes or row.fraction is None:
        return None
    sources = [run]
    if engine.generation == "v1":
        sources.append([r for r in siblings if r.plain == row.plain])
    values = {
        name: next(
            (v for v in (first_value(rows, name) for rows in sources) if v is not None), None
        )
        for name in ("activation_gib", "nontorch_gib", "cudagraph_gib")
    }
    activation, nontorch = values["activation_gib"], values["nontorch_gib"]
    if activation is None or nontorch is None:
        return None
    graphs = values["cudagraph_gib"]
    if engine.integer("graphs_deducted") and graphs is None:
        return None
    return Given(
        activation=int(activation.value),
        nontorch=int(nontorch.value),
        graphs=int(graphs.value) if graphs is not None else None,
    )


def _from_other(row: MemoryRow, run: list[MemoryRow], settings: Settings) -> MemoryPrediction:
    """Bytes from tokens, or tokens, blocks and concurrency from bytes, of the same start."""
    assert row.engine is not None
    case = replace(case_of(row, weights=False), total_bytes=1 << 50)
    free = engine_size(case, row.engine.engine, settings, Given())
    pool = next((r for r in (first_value(run, name) for name in KV_BYTES) if r is not None), None)
    if free.grouped and pool is not None and row.quantity not in KV_BYTES:
        sized = engine_size(
            case, row.engine.engine, replace(settings, kv_bytes=int(pool.value)), Given()
        )
        doubt = _EXACT_SHARE * max(1, sized.kv_bytes)
        return _of_pool(row, sized, doubt, "bytes of the cache in the same log")
    if not uniform(free.rank.caches):
        raise NotCoveredError("hybrid cache")
    entry = _entry(free)
    blocks, tokens = first_value(run, "kv_blocks"), first_value(run, "kv_tokens_per_replica")
    if tokens is not None and row.quantity != tokens.quantity:
        tokens_kept = tokens.value
    elif blocks is not None and row.quantity != blocks.quantity:
        tokens_kept = blocks.value * free.block_tokens
    elif pool is not None and row.quantity not in KV_BYTES:
        tokens_kept = pool.value // (entry * free.block_tokens) * free.block_tokens
    else:
        raise NotCoveredError("no overheads")
    basis = "another figure of the cache in the same log"
    value = _of_tokens(row, tokens_kept, entry, free)
    return MemoryPrediction(value, _EXACT_SHARE * value, basis)


def _of_tokens(row: MemoryRow, tokens: float, entry: int, free: EngineResult) -> float:
    if row.quantity in KV_BYTES:
        return tokens * entry
    if row.quantity == "kv_tokens_per_replica":
        return tokens
    if row.quantity == "kv_blocks":
        return tokens / free.block_tokens
    if row.context is None:
        raise NotCoveredError("setting not stated")
    if free.version.endswith("v0"):
        return tokens / row.context
    return tokens / (-(-row.context // free.block_tokens) * free.block_tokens)


def _of_pool(row: MemoryRow, result: EngineResult, doubt: float, basis: str) -> MemoryPrediction:
    """The quantity asked for, of a sized pool; a negative pool is 0 tokens."""
    pool = max(1, result.kv_bytes)
    if row.quantity in KV_BYTES:
        return MemoryPrediction(result.kv_bytes, doubt, basis)
    if not uniform(result.rank.caches) and not result.grouped:
        raise NotCoveredError("hybrid cache")
    value = float(
        {
            "kv_tokens_per_replica": result.tokens,
            "kv_blocks": result.blocks,
            "max_concurrency": result.max_concurrency,
        }[row.quantity]
    )
    return MemoryPrediction(value, value * doubt / pool, basis)


def _request(row: MemoryRow) -> MemoryPrediction:
    """Bytes of one request of the longest length."""
    assert row.engine is not None
    case = replace(case_of(row, weights=False), total_bytes=1 << 50)
    result = engine_size(case, row.engine.engine, settings_of(row), Given())
    if not uniform(result.rank.caches):
        raise NotCoveredError("hybrid cache")
    if row.context is None:
        raise NotCoveredError("setting not stated")
    value = request_bytes(result.rank.caches, row.context)
    return MemoryPrediction(value, _EXACT_SHARE * value, "bytes of one request")


def _overhead(row: MemoryRow) -> MemoryPrediction:
    """Activation peak, memory outside PyTorch, graphs."""
    assert row.engine is not None
    engine = row.engine.engine
    case = replace(case_of(row, weights=False), total_bytes=1 << 50)
    settings = settings_of(row)
    if engine.name == "llama.cpp" and row.quantity == "activation_gib":
        return _compute_buffer(row, case, settings)
    if engine.name != "vllm":
        raise NotCoveredError("quantity not predicted")
    if row.quantity == "activation_gib" and row.batched_tokens is None and row.context is None:
        raise NotCoveredError("setting not stated")
    result = engine_size(case, engine, settings, Given())
    if row.quantity == "activation_gib":
        value = max(_activation(rank.overheads) for rank in result.ranks)
        return MemoryPrediction(value, _ACTIVATION_SHARE * value, "tensors of the profiled pass")
    name = "non-torch" if row.quantity == "nontorch_gib" else "cuda-graphs"
    value = max(of_kind(rank.overheads, name) for rank in result.ranks)
    if not value:
        raise NotCoveredError("quantity not predicted")
    return MemoryPrediction(value, _FIXED_SHARE * value, "constant of the version")


def _compute_buffer(row: MemoryRow, case: Case, settings: Settings) -> MemoryPrediction:
    """The compute buffer of one device that holds all layers, with grouped-query attention."""
    assert row.engine is not None
    line = row.text.get("raw_line", "")
    if row.context is None or row.batched_tokens is None:
        raise NotCoveredError("setting not stated")
    if "partial offload" in row.text.get("notes", "") or "Host" in line:
        raise NotCoveredError("partial offload")
    if any(a.kind != "gqa" for a in case.spec.attention):
        raise NotCoveredError("quantity not predicted")
    value = total(compute_lines(case, row.engine.engine, settings))
    return MemoryPrediction(value, 0.05 * value, "logits and hidden states of a micro-batch")


def _activation(lines: tuple[Line, ...]) -> int:
    return sum(
        line.bytes for line in lines if line.name not in ("non-torch", "margin", "cuda-graphs")
    )


def _doubt(rank: Rank) -> float:
    """Half the width of a predicted pool's 80 % interval [B]."""
    activation = fixed = 0
    for line in rank.overheads:
        if line.name in ("non-torch", "margin", "cuda-graphs", "context", "buffers"):
            fixed += line.bytes
        elif line.name != "outside-fraction":
            activation += line.bytes
    return (
        _ACTIVATION_SHARE * activation + _FIXED_SHARE * fixed + _WEIGHT_SHARE * rank.weights_bytes
    )


def _entry(result: EngineResult) -> int:
    entry = token_bytes(result.rank.caches)
    if not entry:
        raise NotCoveredError("hybrid cache")
    return entry


def _named(table: str, row: MemoryRow, mode: str) -> Outcome:
    """The outcome without a prediction."""
    text = row.text
    excluded = text.get("exclude", "")
    regime = EXCLUDED + excluded if excluded else HEADLINE if row.high else EXCLUDED + "confidence"
    software = f"{text['engine']} {text['engine_version']}".strip()
    fmt = row.format.scheme if row.format is not None else text["checkpoint_dtype"].lower()
    if row.model is not None and fmt == "released":
        fmt = row.model.spec.quantization
    return Outcome(
        table=table,
        row=row.index,
        metric="memory",
        device=row.device.id,
        software=software,
        model=row.model.spec.id if row.model is not None else text["model"].strip().lower(),
        format=fmt,
        regime=regime,
        engine=text["engine"].strip().lower(),
        quantity=row.quantity,
        mode=mode,
        measured=row.value,
    )


def _malformed(table: str, index: int, text: Mapping[str, str]) -> Outcome:
    return Outcome(
        table=table,
        row=index,
        metric="memory",
        device=text["device"].lower(),
        software=text["engine"],
        model=text["model"].lower(),
        format=text["checkpoint_dtype"],
        regime=HEADLINE if text["confidence"] == "high" else EXCLUDED + "confidence",
        engine=text["engine"].lower(),
        quantity=text["quantity"].lower(),
        mode=PREDICTED,
        measured=0.0,
        reason="malformed row",
    )
