"""From a memory row to what an engine's arithmetic takes: weights, settings, given overheads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planner.formats.schemes import scheme
from planner.formats.spec import TensorFormat
from planner.lab.validation.memory_rows import MemoryRow, cache_types, cache_word, first_value
from planner.lab.validation.records import NotCoveredError
from planner.memory.engines.records import Case, Given, Settings
from planner.memory.resident import as_released
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, layout_problem

FormatOf = Callable[[str, int], TensorFormat | None]
SERVED = ("main", "lookup")
WITH_ENCODERS = (*SERVED, "vision", "audio")
"""What a server loads unless it is told to leave out encoders of images, which no log states."""
_PLAIN_FAMILIES = ("bf16", "fp16", "fp32")


def case_of(row: MemoryRow, *, weights: bool) -> Case:
    """The model, layout, device and formats of ``row``; ``weights``: their size is needed.

    Raises:
        NotCoveredError: a name without a match, or a layout that cannot hold the model.
    """
    if row.model is None:
        raise NotCoveredError("unknown model")
    spec = row.model.spec
    layout = Layout(row.tp // row.dp if _dp_inside_tp(row) else row.tp, row.dp, row.pp, row.ep)
    if layout_problem(spec, layout):
        raise NotCoveredError("not legal")
    formats: FormatOf = as_released
    if weights:
        if row.model.missing:
            raise NotCoveredError("parts missing")
        formats = format_rule(row, spec)
    large = row.device.large or not row.device.total_bytes
    return Case(
        spec=spec,
        layout=layout,
        total_bytes=row.device.total_bytes or 1,
        format_of=formats,
        plain=row.plain,
        large=large,
        capability=row.device.capability,
        max_positions=row.model.positions,
        parts=WITH_ENCODERS if weights else SERVED,
    )


def _dp_inside_tp(row: MemoryRow) -> bool:
    """SGLang writes attention data parallel inside tp."""
    engine = row.engine.engine.name if row.engine else ""
    return engine == "sglang" and row.dp > 1 and row.tp % row.dp == 0


def format_rule(row: MemoryRow, spec: ModelSpec) -> FormatOf:
    """Formats by module kind of the row's checkpoint.

    Raises:
        NotCoveredError: an unknown format, or one whose tensors the name does not determine.
    """
    named = row.format
    if named is None:
        raise NotCoveredError("unknown format")
    if named.scheme == "gguf":
        raise NotCoveredError("gguf mixture")
    own = {_family(row.scheme) for row in spec.rows if row.scheme is not None} or {
        _family(spec.quantization)
    }
    if named.scheme == "released" or named.family in own:
        return as_released  # of several schemes (V4: FP8 and FP4) engines name the first
    if named.family in _PLAIN_FAMILIES and own <= set(_PLAIN_FAMILIES):
        return as_released
    fmt = scheme(named.scheme).weight
    if named.zero_point and fmt.scale is not None:
        fmt = replace(fmt, scale=replace(fmt.scale, zero_point=True))
    if named.rows and fmt.scale is not None:
        fmt = replace(fmt, scale=replace(fmt.scale, block_columns=0))
    if named.group and fmt.scale is not None and fmt.scale.block_rows == 1:
        fmt = replace(fmt, scale=replace(fmt.scale, block_columns=named.group))
    kept, plain = frozenset(named.keep), scheme("bf16").weight
    return lambda kind, layer: plain if kind in kept else fmt


def _family(scheme_id: str) -> str:
    """The word of tables for a scheme: fp8, int4, nvfp4 …"""
    return "fp8" if scheme_id.startswith("fp8") else scheme_id.split("-")[0]


def settings_of(row: MemoryRow) -> Settings:
    """The engine's flags as far as the row states them.

    Raises:
        NotCoveredError: a cache type that is not in the catalogue.
    """
    if row.engine is not None and row.engine.engine.name == "llama.cpp":
        type_k, type_v = cache_types(row.text["kv_dtype"])
        mla = row.mla if row.engine.fork else None
        return Settings(
            context=row.context,
            batched_tokens=row.batched_tokens,
            max_seqs=row.sequences,
            type_k=type_k,
            type_v=type_v,
            mla=mla,
            swa_full=row.engine.fork,
        )
    word = cache_word(row.text["kv_dtype"])
    if word is None:
        raise NotCoveredError("unknown format")
    return Settings(
        utilisation=row.fraction,
        context=row.context,
        batched_tokens=row.batched_tokens,
        block_tokens=row.block_tokens,
        kv=word,
        total_tokens=row.by_hand,
    )


def given_of(row: MemoryRow, run: list[MemoryRow], siblings: list[MemoryRow]) -> Given | None:
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
    found = {
        name: next(
            (v for v in (first_value(rows, name) for rows in sources) if v is not None), None
        )
        for name in ("activation_gib", "nontorch_gib", "cudagraph_gib")
    }
    activation, nontorch = found["activation_gib"], found["nontorch_gib"]
    if activation is None or nontorch is None:
        return None
    graphs = found["cudagraph_gib"]
    if engine.integer("graphs_deducted") and graphs is None:
        return None
    return Given(
        activation=int(activation.value),
        nontorch=int(nontorch.value),
        graphs=int(graphs.value) if graphs is not None else None,
    )
