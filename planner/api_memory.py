"""``plan memory`` and ``plan validate``: names and defaults resolved to exact records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from planner.errors import InputError, UnsupportedError
from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.spec import TensorFormat
from planner.hardware.profile import DeviceProfile
from planner.memory.answer import MemoryAnswer
from planner.memory.breakdown import Breakdown, Use, breakdown, slot_bytes
from planner.memory.caches import KvOf, cache_classes
from planner.memory.engines.catalog import Engine, parse_engine
from planner.memory.engines.records import LARGE_DEVICE_BYTES, Case, EngineResult, Settings
from planner.memory.engines.run import engine_size
from planner.memory.footprint import usable_bytes
from planner.memory.on_disk import compare
from planner.memory.resident import FormatOf, as_released
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.planning.plan import Plan
from planner.planning.question import PREFILL_CHUNK, workload

# Flag of an engine → (its field in Settings, the engines that have it).
ENGINE_FLAGS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gpu_memory_utilization": ("utilisation", ("vllm",)),
    "mem_fraction_static": ("utilisation", ("sglang",)),
    "kv_cache_free_gpu_mem_fraction": ("utilisation", ("tensorrt-llm",)),
    "max_model_len": ("context", ("vllm", "sglang", "tensorrt-llm", "pytorch")),
    "max_num_batched_tokens": ("batched_tokens", ("vllm", "sglang", "tensorrt-llm", "pytorch")),
    "max_num_seqs": ("max_seqs", ("vllm", "sglang", "tensorrt-llm", "pytorch")),
    "block_size": ("block_tokens", ("vllm", "sglang", "tensorrt-llm")),
    "kv_cache_dtype": ("kv", ("vllm", "sglang", "tensorrt-llm", "pytorch")),
    "kv_cache_memory_bytes": ("kv_bytes", ("vllm",)),
    "max_total_tokens": ("total_tokens", ("sglang",)),
    "ctx_size": ("context", ("llama.cpp",)),
    "ubatch_size": ("batched_tokens", ("llama.cpp",)),
    "parallel": ("max_seqs", ("llama.cpp",)),
    "cache_type_k": ("type_k", ("llama.cpp",)),
    "cache_type_v": ("type_v", ("llama.cpp",)),
    "mla": ("mla", ("llama.cpp",)),
}


def memory(model: str | ModelSpec, device: str | DeviceProfile | None = None, *, tp: int = 1,
           dp: int = 1, pp: int = 1, ep: int = 1, context: int | None = None,
           isl: int | None = None, osl: int | None = None, batch: int = 1,
           scheme: str | None = None, plan: Plan | None = None, kv: str = "auto",
           engine: str = "any", checkpoint: str | os.PathLike[str] | None = None,
           memory_bytes: int | None = None, with_mtp: bool = False, with_vision: bool = False,
           hardware_dir: str | os.PathLike[str] | None = None, **flags: Any) -> MemoryAnswer:
    """Bytes of every device of one replica by part, and what an engine makes of them.

    ``flags`` are the engine's own (:data:`ENGINE_FLAGS`). ``memory_bytes`` replaces what one
    device holds; without ``device`` it is the only limit.

    Raises:
        InputError: a value out of range, an unknown name, a flag of another engine.
        UnsupportedError: a format or cache layout that the model cannot have.
    """
    from planner.api import load_device, load_model

    spec = load_model(model)
    target = load_device(device, hardware_dir=hardware_dir) if device is not None else None
    work = workload(spec.max_context, context=context, isl=isl, osl=osl)
    layout = _layout(tp, dp, pp, ep, batch)
    format_of, scheme_text = _formats(spec, scheme, plan)
    kv_of, kv_text = _caches(spec, kv, plan)
    parts = ("main", "lookup") + ("mtp",) * with_mtp + ("vision",) * with_vision
    use = Use(work.context, batch, min(PREFILL_CHUNK, work.isl), parts)
    split = breakdown(spec, layout, use, format_of=format_of, kv=kv_of, device=target)
    capacity = memory_bytes or (int(target.capacity_bytes.value) if target else 0)
    usable = memory_bytes or (usable_bytes(target) if target else 0)
    sized = _engine(engine, flags, spec, layout, target, capacity, format_of, work.context, parts,
                    kv if plan is None else kv_text)
    return MemoryAnswer(
        model=spec.id, device=target.id if target else "", scheme=scheme_text, kv=kv_text,
        parts=split, capacity_bytes=capacity, usable_bytes=usable,
        sequences=_sequences(spec, split, kv_of, usable), engine=sized,
        on_disk=compare(spec, Path(checkpoint)) if checkpoint is not None else None,
        assumptions=_assumptions(work.assumed, use, target, layout))


def _layout(tp: int, dp: int, pp: int, ep: int, batch: int) -> Layout:
    for name, value in (("tp", tp), ("dp", dp), ("pp", pp), ("ep", ep), ("batch", batch)):
        if not 1 <= value <= 1 << 20:
            raise InputError(f"{name} = {value} is out of range",
                             hint=f"{name} is a whole number from 1 to {1 << 20}")
    return Layout(tp, dp, pp, ep)


def _formats(spec: ModelSpec, scheme: str | None, plan: Plan | None) -> tuple[FormatOf, str]:
    """The format of every matrix, and its name: as released, a scheme, or a plan's units."""
    if scheme is not None and plan is not None:
        raise InputError("scheme and plan exclude each other", hint="leave one out")
    if plan is not None:
        if plan.model.id != spec.id:
            raise InputError(f"the plan is for {plan.model.id}, not {spec.id}",
                             hint=f"name {plan.model.id}")
        table: dict[tuple[str, int], TensorFormat] = {}
        for unit in plan.units:
            if unit.kv_layout is None and unit.weight_format is not None:
                for layer in unit.layers:
                    table[unit.kind, layer] = scheme_by_id(unit.scheme).weight
        return lambda kind, layer: table.get((kind, layer)), "of the plan"
    if scheme is None:
        return as_released, f"{spec.quantization} as released"
    record = scheme_by_id(scheme)
    if record.id == spec.quantization:
        return as_released, f"{record.id} as released"
    return lambda kind, layer: record.weight, record.id


def _caches(spec: ModelSpec, kv: str, plan: Plan | None) -> tuple[str | KvOf, str]:
    """The layout of every cache: given, the release's own, or a plan's units."""
    if plan is not None:
        if kv != "auto":
            raise InputError(f"kv {kv!r} and plan exclude each other: the plan has its own caches",
                             hint="leave one out")
        table = {(u.kind, layer): u.kv_layout for u in plan.units if u.kv_layout is not None
                 for layer in u.layers}
        names = sorted(set(table.values()))

        def chosen(kind: str, layer: int) -> str:
            if (kind, layer) not in table:
                raise InputError(f"plan file: {kind} of layer {layer} has no unit",
                                 hint=f"the plan must cover every cache of {spec.id}")
            return table[kind, layer]

        return chosen, ", ".join(names)
    name = spec.kv_scheme or "bf16" if kv == "auto" else kv_layout(kv).id
    return name, name


def _sequences(spec: ModelSpec, split: Breakdown, kv: str | KvOf, usable: int) -> int:
    """Sequences of the context that one replica holds beside everything else; 0 without a limit."""
    if not usable:
        return 0
    found = []
    for stage in split.stages:
        left = usable - stage.weights_bytes - stage.activation_bytes - stage.runtime_bytes
        held = cache_classes(spec, split.layout, kv, layers=_range(spec, split.layout, stage.stage))
        need = slot_bytes(held, split.use.context)
        found.append(max(0, left) // need if need else 0)
    return min(found) * split.layout.dp


def _range(spec: ModelSpec, layout: Layout, stage: int) -> range:
    from planner.memory.resident import stage_ranges

    return stage_ranges(spec.layers, layout.pp, tail_first=False)[stage]


def _engine(text: str, flags: Mapping[str, Any], spec: ModelSpec, layout: Layout,
            device: DeviceProfile | None, capacity: int, format_of: FormatOf, context: int,
            parts: tuple[str, ...], kv: str) -> EngineResult | None:
    given = {name: value for name, value in flags.items() if value is not None}
    for name in given:
        if name not in ENGINE_FLAGS:
            raise InputError(f"{name} is no flag of an engine",
                             hint="understood: " + ", ".join(ENGINE_FLAGS))
    if text == "any":
        if given:
            flag = "--" + next(iter(given)).replace("_", "-")
            raise InputError(f"{flag} belongs to an engine",
                             hint="add --engine " + ENGINE_FLAGS[next(iter(given))][1][0])
        return None
    engine = parse_engine(text)
    if not capacity:
        raise InputError(f"engine {engine.name} needs the memory of a device",
                         hint="name a DEVICE, or give --memory-bytes")
    if engine.name == "llama.cpp" and kv != "auto":
        raise InputError(f"kv {kv!r}: llama.cpp has its own cache types",
                         hint="use --cache-type-k and --cache-type-v")
    settings = _settings(engine, given, context, kv)
    large = capacity >= LARGE_DEVICE_BYTES and not (device and "a100" in device.id)
    case = Case(spec=spec, layout=layout, total_bytes=capacity, format_of=format_of, large=large,
                parts=parts)
    return engine_size(case, engine, settings)


def _settings(engine: Engine, given: Mapping[str, Any], context: int, kv: str) -> Settings:
    settings = Settings(context=context) if engine.name == "llama.cpp" else Settings(
        context=context, kv=kv)
    for name, value in given.items():
        field, engines = ENGINE_FLAGS[name]
        flag = "--" + name.replace("_", "-")
        if engine.name not in engines:
            own = next((f for f, (same, names) in ENGINE_FLAGS.items()
                        if same == field and engine.name in names), None)
            raise InputError(f"{flag} is a flag of {', '.join(engines)}, not of {engine.name}",
                             hint=f"use --{own.replace('_', '-')}" if own else "leave it out")
        settings = replace(settings, **{field: value})
    if engine.name != "llama.cpp" and not settings.kv.startswith(("auto", "fp8")):
        if "," in settings.kv:
            raise UnsupportedError(f"{engine.name} has one cache type, the plan {settings.kv}",
                                   hint="leave out --engine to price the plan's caches")
        kv_layout(settings.kv)
    return settings


def _assumptions(note: str, use: Use, device: DeviceProfile | None, layout: Layout,
                 ) -> tuple[tuple[str, str, str], ...]:
    from planner.memory.breakdown import runtime_basis

    found = [("context", f"{use.context} tokens", note or "given"),
             ("batch", f"{use.batch}", f"sequences over {layout.dp} attention-DP ranks"),
             ("prefill chunk", f"{use.chunk} tokens", "common engine default, at most the prompt"),
             ("pages", "16 and 64 tokens", "of keys and values, of latents")]
    if device is not None:
        found.append(("runtime", "context, libraries, collectives", runtime_basis(device)))
    else:
        found.append(("runtime", "0", "no device named"))
    return tuple(found)
