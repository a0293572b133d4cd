"""``plan memory`` and ``plan validate``: names and defaults resolved to exact records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from planner.base.errors import InputError, UnsupportedError
from planner.base.typed import typed
from planner.formats.kv import KV_LAYOUTS, kv_layout
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.schemes import scheme_ids
from planner.formats.sizes import bits_per_element
from planner.formats.spec import TensorFormat
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device, load_model
from planner.memory.answer import MemoryAnswer
from planner.memory.breakdown import (
    Breakdown,
    Use,
    breakdown,
    kept_bytes,
    stage_caches,
)
from planner.memory.caches import KvOf
from planner.memory.capacity import StageRoom, replica_sequences
from planner.memory.engines.catalog import Engine, parse_engine
from planner.memory.engines.flags import check_names, settings_of_flags
from planner.memory.engines.records import Case, EngineResult, of_kind
from planner.memory.engines.run import engine_size
from planner.memory.on_disk import compare
from planner.memory.resident import FormatOf, PartFormats, as_released, total
from planner.memory.usable import is_large, usable_memory
from planner.messages.message import Note, message
from planner.messages.words import in_english
from planner.models.planned import require_planned, structure_note
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units, reads_fp8_cache, stores
from planner.placement.layout import Layout
from planner.placement.modules import PLANNED_KINDS
from planner.planning.engines.prefill_chunks import COMMON, prefill_chunk
from planner.planning.infeasible.memory_relief import MemoryQuestion, memory_way_out
from planner.planning.inspect.extra_models import draft_notes, extra_models_of
from planner.planning.plan.checkpoint_units import all_on_device
from planner.planning.plan.record import Plan
from planner.planning.question.caches import kv_refusal
from planner.planning.question.input import ANY, AUTO, QuestionInput
from planner.planning.question.workload import (
    reserves_context,
    slot_note,
    workload,
    workload_notes,
)
from planner.throughput.kernels import legal_schemes
from planner.workloads import NamedWorkload

_CPU_ENGINES = ("llama.cpp", "pytorch", "vllm")
_GGUF_FORMATS = frozenset({"fp32", "bf16", "fp16", "mxfp4-w4a16"})


@typed
def memory_use(
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    *,
    tp: int | None = None,
    dp: int | None = None,
    pp: int | None = None,
    ep: int | None = None,
    context: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    batch: int | None = None,
    workload: str | NamedWorkload | None = None,
    slots: str | None = None,
    scheme: str | None = None,
    plan: Plan | None = None,
    kv: str = AUTO,
    engine: str = ANY,
    checkpoint: str | os.PathLike[str] | None = None,
    memory_bytes: int | None = None,
    with_mtp: bool = False,
    with_vision: bool = False,
    lora: str | None = None,
    draft: str | ModelSpec | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
    **flags: Any,
) -> MemoryAnswer:
    """Bytes of every device of one replica by part, and what an engine makes of them.

    ``flags`` are the engine's own (``planner.memory.engines.flags``). ``memory_bytes`` replaces
    what one device holds; without ``device`` it is the only limit. A ``plan`` brings its model,
    device, layout, batch and workload where they are not given (else 1 of each, and the default
    workload). ``lora`` is room for adapters while serving, ``8x16`` for 8 of rank 16; ``draft``
    what drafts tokens: ``mtp``, ``eagle`` (the known head), a model, or the folder of either.

    Raises:
        InputError: a value out of range, an unknown name, a flag of another engine.
        UnsupportedError: a format or cache layout that the model cannot have.
    """
    inputs = QuestionInput.of(
        locals(), own=("checkpoint", "with_mtp", "with_vision", "lora", "draft", "flags")
    )
    parts = ("main", "lookup") + ("mtp",) * with_mtp + ("vision", "audio") * with_vision
    return _memory(
        inputs, parts, flags, None if checkpoint is None else Path(checkpoint), (lora, draft)
    )


def _memory(
    inputs: QuestionInput,
    parts: tuple[str, ...],
    flags: Mapping[str, Any],
    checkpoint: Path | None,
    extra: tuple[str | None, str | ModelSpec | None],
) -> MemoryAnswer:
    """The bytes of these ``parts`` of a model and of ``extra`` (adapters, a draft); ``flags`` are
    the engine's own."""
    given_values, plan, memory_bytes = inputs.given_values, inputs.plan, inputs.memory_bytes
    if plan is not None:
        all_on_device(plan, "memory")
        inputs, given_values = inputs.with_names_of(plan), given_values.filled_from(plan)
    if inputs.model is None:
        raise InputError("no model given", hint="name a MODEL, or a plan with --plan")
    spec = load_model(inputs.model)
    require_planned(spec)
    target = (
        load_device(inputs.device, hardware_dir=inputs.hardware_dir)
        if inputs.device is not None
        else None
    )
    given = {name: value for name, value in flags.items() if value is not None}
    check_names(given, engine=inputs.engine)
    engine = None if inputs.engine == ANY else parse_engine(inputs.engine)
    server = ANY if engine is None else engine.name
    work = workload(
        spec.max_context,
        context=given_values.context,
        isl=given_values.isl,
        osl=given_values.osl,
        named=given_values.workload,
        reserved=reserves_context(given_values.slots, server),
    )
    batch = 1 if given_values.batch is None else given_values.batch
    layout = _layout(
        *(
            1 if value is None else value
            for value in (given_values.tp, given_values.dp, given_values.pp, given_values.ep)
        ),
        batch=batch,
    )
    format_of, scheme_text, names = _formats(spec, inputs.scheme, plan)
    kv_of, kv_text = _caches(spec, inputs.kv, plan)
    chunk = COMMON if target is None else prefill_chunk(server, target).tokens
    beside = extra_models_of(spec, layout, parts, server, *extra)
    indexer = "fp8" if target is not None and reads_fp8_cache(target) else ""
    use = Use(work.context, batch, min(chunk, work.isl), parts, work.cached_tokens, beside, indexer)
    shared = None
    if target is not None and memory_bytes is None:
        flag = {"vllm": "gpu_memory_utilization", "sglang": "mem_fraction_static"}.get(server)
        shared = usable_memory(
            target,
            engine,
            chunk_tokens=given.get("chunked_prefill_size", chunk),
            share=given.get(flag) if flag is not None else None,
        )
    split = breakdown(
        spec, layout, use, format_of=format_of, kv=kv_of, device=target, usable=shared
    )
    capacity = memory_bytes or (0 if shared is None else shared.capacity_bytes)
    usable = memory_bytes or (0 if shared is None else shared.bytes)
    sized = _engine(
        engine,
        given,
        chunk,
        spec,
        layout,
        target,
        capacity,
        format_of,
        names,
        work.context,
        use,
        inputs.kv if plan is None else kv_text,
    )
    answer = MemoryAnswer(
        model=spec.id,
        device=target.id if target else "",
        scheme=scheme_text,
        kv=kv_text,
        parts=split,
        capacity_bytes=capacity,
        usable_bytes=usable,
        sequences=_sequences(spec, split, kv_of, usable, use.context),
        at_requests=_sequences(spec, split, kv_of, usable, use.tokens),
        engine=sized,
        on_disk=compare(spec, checkpoint) if checkpoint is not None else None,
        assumptions=in_english(
            (
                *spec.remarks,
                *structure_note(spec),
                *workload_notes(work, given_values.workload),
                *slot_note(work, given_values.slots, server),
                *draft_notes(beside, split),
                *_assumptions(work.assumed, use, target, layout),
                *_images(spec, use),
            )
        ),
    )
    return (
        answer
        if answer.fits
        else replace(
            answer,
            way_out=_way_out(
                MemoryQuestion(spec, target, usable), split, plan, (format_of, kv_of), inputs.engine
            ),
        )
    )


memory = memory_use
"""Its name inside the package."""


LEAST_BITS = 4.0
"""Weights of fewer bits are no way out: what they lose nobody serves."""


def _way_out(
    given_values: MemoryQuestion,
    split: Breakdown,
    plan: Plan | None,
    chosen: tuple[FormatOf, str | KvOf],
    engine: str,
) -> str:
    """What would help: a plan keeps its formats, an engine its caches; else the device's are
    tried."""
    if not given_values.usable:
        return "name a device with more memory, or a shorter context"
    if plan is not None:
        return memory_way_out(given_values, split, {"plan": chosen[0]}, {"plan": chosen[1]})
    device, spec = given_values.device, given_values.spec
    schemes = scheme_ids() if device is None else legal_schemes(device, scheme_ids())[0]
    formats = {
        name: _formats(spec, name, None)[0]
        for name in schemes
        if bits_per_element(scheme_by_id(name).weight) >= LEAST_BITS
    }
    caches: dict[str, str | KvOf] = (
        {"as asked": chosen[1]}
        if engine != "any"
        else {
            name: name
            for name, layout in KV_LAYOUTS.items()
            if (device is None or not kv_refusal(device, layout))
            and any(stores(unit, name) for unit in cache_units(spec))
        }
    )
    return memory_way_out(given_values, split, formats, caches or {"bf16": "bf16"})


def _layout(tp: int, dp: int, pp: int, ep: int, *, batch: int) -> Layout:
    for name, value in (("tp", tp), ("dp", dp), ("pp", pp), ("ep", ep), ("batch", batch)):
        if not 1 <= value <= 1 << 20:
            raise InputError(
                f"{name} = {value} is out of range",
                hint=f"{name} is a whole number from 1 to {1 << 20}",
            )
    return Layout(tp, dp, pp, ep)


def _formats(
    spec: ModelSpec,
    scheme: str | None,
    plan: Plan | None,
) -> tuple[FormatOf, str, frozenset[str]]:
    """The format of every matrix, what to call it, and the schemes in it: as released, a scheme,
    or a plan's units."""
    if scheme is not None and plan is not None:
        raise InputError("scheme and plan exclude each other", hint="leave one out")
    if plan is not None:
        table: dict[tuple[str, int], TensorFormat] = {}
        units = [u for u in plan.units if u.kv_layout is None and u.weight_format is not None]
        for unit in units:
            for layer in unit.layers:
                table[unit.matrix, layer] = scheme_by_id(unit.scheme).weight
        return (PartFormats(table), "of the plan", frozenset(unit.scheme for unit in units))
    released = frozenset(row.scheme for row in spec.rows if row.scheme and row.part == "main")
    if scheme is None:
        return as_released, f"{spec.quantization} as released", released
    record = scheme_by_id(scheme)
    other = {
        (row.kind, layer)
        for row in spec.rows
        if row.part == "main"
        and row.is_matrix
        and row.kind in PLANNED_KINDS
        and (row.scheme or row.dtype) != record.id
        for layer in row.layers or (-1,)
    }
    if record.id == spec.quantization and not other:
        return as_released, f"{record.id} as released", released
    return (
        lambda kind, layer: record.weight if (kind, layer) in other else None,
        record.id,
        frozenset({record.id}),
    )


def _caches(spec: ModelSpec, kv: str, plan: Plan | None) -> tuple[str | KvOf, str]:
    """The layout of every cache: given, the release's own, or a plan's units."""
    if plan is not None:
        if kv != "auto":
            raise InputError(
                f"kv {kv!r} and plan exclude each other: the plan has its own caches",
                hint="leave one out",
            )
        table = {
            (u.kind, layer): u.kv_layout
            for u in plan.units
            if u.kv_layout is not None
            for layer in u.layers
        }
        names = sorted(set(table.values()))

        def chosen(kind: str, layer: int) -> str:
            layer = min(layer, spec.layers - 1)  # prediction layers as the last one
            if (kind, layer) not in table:
                raise InputError(
                    f"plan file: {kind} of layer {layer} has no unit",
                    hint=f"the plan must cover every cache of {spec.id}",
                )
            return table[kind, layer]

        return chosen, ", ".join(names)
    name = spec.kv_scheme or "bf16" if kv == "auto" else kv_layout(kv).id
    return name, name


def _sequences(spec: ModelSpec, split: Breakdown, kv: str | KvOf, usable: int, tokens: int) -> int:
    """Sequences of ``tokens`` that one replica holds beside everything else, if one of the context
    fits; 0 without a limit."""
    if not usable:
        return 0
    use = replace(split.use, held=tokens)
    return replica_sequences(
        spec,
        split.layout,
        [
            StageRoom(
                max(usable - stage.weights_bytes - stage.runtime_bytes, 0),
                partial(kept_bytes, stage_caches(spec, split.layout, use, kv, stage.stage), use),
                total(stage.encode),
                of_kind(stage.prefill, "encoder-cache"),
            )
            for stage in split.stages
        ],
        chunk_tokens=use.chunk,
    )


def _engine(
    engine: Engine | None,
    flags: Mapping[str, Any],
    chunk: int,
    spec: ModelSpec,
    layout: Layout,
    device: DeviceProfile | None,
    capacity: int,
    format_of: FormatOf,
    names: frozenset[str],
    context: int,
    use: Use,
    kv: str,
) -> EngineResult | None:
    """What the engine makes of it, with its ``flags`` and else prefill chunks of ``chunk`` tokens;
    ``names`` are the schemes of the weights."""
    if engine is None:
        return None
    if not capacity:
        raise InputError(
            f"engine {engine.name} needs the memory of a device",
            hint="name a DEVICE, or give --memory-bytes",
        )
    cuda = device is None or device.kind != "cpu"
    if device is not None and not cuda and engine.name not in _CPU_ENGINES:
        raise UnsupportedError(
            f"{engine.name} is modelled on GPUs, and {device.id} is a CPU",
            hint="--engine " + " or ".join(_CPU_ENGINES),
        )
    if engine.name == "llama.cpp":
        _check_llama(names, kv, use.parts)
    settings = settings_of_flags(engine, flags, context=context, kv=kv)
    if engine.name == "sglang" and settings.batched_tokens is None and device is not None:
        settings = replace(settings, batched_tokens=chunk)  # what its commands set
    case = Case(
        spec=spec,
        layout=layout,
        total_bytes=capacity,
        format_of=format_of,
        large=is_large(device.id if device is not None else "", capacity),
        parts=use.parts,
        cuda=cuda,
        capability=_capability(device),
        beside=use.beside,
    )
    return engine_size(case, engine, settings)


def _capability(device: DeviceProfile | None) -> int:
    """The major number of the compute capability, 0 where the device has none."""
    text = device.compute_capability if device is not None else None
    return int(text.split(".")[0]) if text else 0


def _check_llama(names: frozenset[str], kv: str, parts: tuple[str, ...]) -> None:
    """Raises where llama.cpp has no such weights, caches or layers."""
    foreign = sorted(n for n in names if n not in _GGUF_FORMATS and not n.startswith("ggml-"))
    if foreign:
        raise UnsupportedError(
            f"llama.cpp has no {foreign[0]} weights",
            hint="--scheme ggml-q4_k or bf16, or a GGUF file as MODEL",
        )
    if kv != "auto":
        raise InputError(
            f"kv {kv!r}: llama.cpp has its own cache types",
            hint="use --cache-type-k and --cache-type-v",
        )
    if "mtp" in parts:
        raise UnsupportedError(
            "llama.cpp does not run prediction layers", hint="leave out --with-mtp"
        )


def _images(spec: ModelSpec, use: Use) -> tuple[Note, ...]:
    """What is assumed of images, where their encoder is asked for."""
    if "vision" not in use.parts:
        return ()
    if spec.encoder is None:
        return (
            Note(
                "images",
                message("memory.encoder_weights_only"),
                message("memory.encoder_passes_not_modelled"),
            ),
        )
    return (
        Note(
            "images",
            message("memory.image_tokens_at_most", tokens=spec.encoder.tokens),
            spec.encoder.limit,
        ),
    )


def _assumptions(
    note: str,
    use: Use,
    device: DeviceProfile | None,
    layout: Layout,
) -> tuple[Note, ...]:
    from planner.memory.breakdown import runtime_basis

    found = [
        Note("context", message("assumptions.tokens", context=use.context), note or "given"),
        Note(
            "batch",
            f"{use.batch}",
            message("memory.sequences_over_ranks", ranks=layout.dp)
            if layout.dp > 1
            else message("memory.sequences_over_rank", ranks=layout.dp),
        ),
        Note(
            "prefill chunk",
            message("assumptions.tokens", context=use.chunk),
            message("memory.default_chunk_within_prompt"),
        ),
        Note(
            "pages", message("memory.tokens_of_pages"), message("memory.pages_of_keys_and_latents")
        ),
    ]
    if device is not None and device.unified_memory:
        found.append(
            Note(
                "unified memory",
                message("memory.share_usable", share=f"{float(device.usable_fraction.value):.0%}"),
                message("memory.engine_counts_system_use"),
            )
        )
    if device is not None:
        found.append(Note("runtime", message("memory.runtime_parts"), runtime_basis(device)))
    else:
        found.append(Note("runtime", "0", message("memory.no_device_named")))
    return tuple(found)
