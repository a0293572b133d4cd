"""``plan memory`` and ``plan validate``: names and defaults resolved to exact records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from planner.base.errors import InputError
from planner.base.records import record
from planner.base.typed import typed
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
from planner.memory.engines.flags import check_names
from planner.memory.engines.records import Case, of_kind
from planner.memory.on_disk import compare
from planner.memory.overheads import overheads
from planner.memory.resident import FormatOf, total
from planner.memory.usable import UsableMemory, is_large, usable_memory
from planner.memory.windows import window_rule
from planner.models.planned import require_planned
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import reads_fp8_cache
from planner.placement.layout import Layout
from planner.planning.engines.prefill_chunks import COMMON, prefill_chunk
from planner.planning.infeasible.memory_relief import MemoryQuestion
from planner.planning.inspect.engine_memory import engine_memory, major_capability
from planner.planning.inspect.extra_models import extra_models_of
from planner.planning.inspect.llama_cpp_settings import OWN, layouts_of_flags
from planner.planning.inspect.memory_notes import memory_notes
from planner.planning.inspect.memory_ways_out import ways_out
from planner.planning.inspect.stored_formats import cache_layouts, weight_formats
from planner.planning.plan.checkpoint_units import all_on_device
from planner.planning.plan.record import Plan
from planner.planning.question.caches import PLAIN_KV
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import ANY, AUTO, QuestionInput
from planner.planning.question.workload import (
    Workload,
    reserves_context,
    workload,
)
from planner.workloads import NamedWorkload


@typed
def memory_use(
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    *,
    devices: int | None = None,
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

    ``devices`` are of all replicas: without ``tp``, ``dp`` and ``pp`` tensor parallelism spans
    them. ``flags`` are the engine's own (``planner.memory.engines.flags``). ``memory_bytes``
    replaces what one device holds; without ``device`` it is the only limit. A ``plan`` brings its
    model, device, layout, batch and workload where they are not given (else 1 of each, and the
    default workload). ``lora`` is room for adapters while serving, ``8x16`` for 8 of rank 16;
    ``draft`` what drafts tokens: ``mtp``, ``eagle`` (the known head), a model, or the folder of
    either.

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


@record
class _Case:
    """What is counted, names and defaults resolved."""

    spec: ModelSpec
    device: DeviceProfile | None
    engine: Engine | None
    flags: Mapping[str, Any]
    work: Workload
    layout: Layout
    use: Use
    chunk: int
    """Tokens of a prefill pass by default."""


def _memory(
    inputs: QuestionInput,
    parts: tuple[str, ...],
    flags: Mapping[str, Any],
    checkpoint: Path | None,
    extra: tuple[str | None, str | ModelSpec | None],
) -> MemoryAnswer:
    """The bytes of these ``parts`` of a model and of ``extra`` (adapters, a draft); ``flags`` are
    the engine's own."""
    given_values, plan = inputs.given_values, inputs.plan
    if plan is not None:
        all_on_device(plan, "memory")
        inputs, given_values = inputs.with_names_of(plan), given_values.filled_from(plan)
        if given_values.concurrency is not None:  # every place has bytes, taken or not
            given_values = replace(given_values, batch=plan.workload.batch, concurrency=None)
    case = _resolved(inputs, given_values, parts, flags, extra)
    spec, device, use = case.spec, case.device, case.use
    format_of, scheme_text, schemes = weight_formats(spec, inputs.scheme, plan)
    llama = case.engine is not None and case.engine.name == "llama.cpp"
    kv = layouts_of_flags(inputs.kv, case.flags) if llama else inputs.kv
    kv_of, kv_text = cache_layouts(spec, kv, plan, OWN if llama else PLAIN_KV)

    given_bytes = inputs.memory_bytes
    shared = None if given_bytes is not None else _usable(case)
    capacity = given_bytes or (0 if shared is None else shared.capacity_bytes)
    usable = given_bytes or (0 if shared is None else shared.bytes)
    split = breakdown(
        spec, case.layout, use, format_of=format_of, kv=kv_of, device=device, usable=shared
    )

    answer = MemoryAnswer(
        model=spec.id,
        device=device.id if device else "",
        scheme=scheme_text,
        kv=kv_text,
        parts=split,
        capacity_bytes=capacity,
        usable_bytes=usable,
        sequences=_sequences(spec, split, kv_of, usable, use.context, device=device, shared=shared),
        at_requests=_sequences(
            spec, split, kv_of, usable, use.tokens, device=device, shared=shared
        ),
        engine=engine_memory(
            case.engine,
            case.flags,
            _engine_case(case, capacity, format_of),
            device=device,
            chunk=case.chunk,
            schemes=schemes,
            context=case.work.context,
            batch=use.batch,
            kv=inputs.kv if plan is None else kv_text,
            kv_of=kv_of,
        ),
        on_disk=compare(spec, checkpoint) if checkpoint is not None else None,
        assumptions=memory_notes(
            spec,
            case.work,
            use,
            split,
            device=device,
            given_values=given_values,
            server=ANY if case.engine is None else case.engine.name,
        ),
    )
    longest = _longest_context(case, split, kv_of, usable, shared=shared)
    answer = replace(answer, longest_context=longest)
    if answer.fits:
        return answer
    limit = MemoryQuestion(spec, device, usable)
    proposals, way_out = ways_out(limit, split, plan, (format_of, kv_of), case.engine)
    return replace(answer, way_out=way_out, proposals=proposals)


def _resolved(
    inputs: QuestionInput,
    given_values: GivenValues,
    parts: tuple[str, ...],
    flags: Mapping[str, Any],
    extra: tuple[str | None, str | ModelSpec | None],
) -> _Case:
    """The records behind the names, and 1 for what of the layout is not given."""
    if inputs.model is None:
        raise InputError("no model given", hint="name a MODEL, or a plan with --plan")
    spec = load_model(inputs.model)
    require_planned(spec)
    device = (
        load_device(inputs.device, hardware_dir=inputs.hardware_dir)
        if inputs.device is not None
        else None
    )
    given_flags = {name: value for name, value in flags.items() if value is not None}
    check_names(given_flags, engine=inputs.engine)
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
    layout = _layout(given_values, inputs.devices)
    batch = 1 if given_values.batch is None else given_values.batch
    chunk = COMMON if device is None else prefill_chunk(server, device).tokens
    use = Use(
        work.context,
        batch,
        min(chunk, work.isl),
        parts,
        work.cached_tokens,
        extra_models_of(spec, layout, parts, server, *extra),
        "fp8" if device is not None and reads_fp8_cache(device) else "",
        window_rule(spec, engine),
    )
    return _Case(spec, device, engine, given_flags, work, layout, use, chunk)


def _usable(case: _Case) -> UsableMemory | None:
    """What the engine may use of the device, by its flags; None without a device."""
    if case.device is None:
        return None
    server = None if case.engine is None else case.engine.name
    share_flag = {"vllm": "gpu_memory_utilization", "sglang": "mem_fraction_static"}.get(
        server or ANY, ""
    )
    return usable_memory(
        case.device,
        case.engine,
        case.spec,
        chunk_tokens=case.flags.get("chunked_prefill_size", case.chunk),
        share=case.flags.get(share_flag),
    )


def _engine_case(case: _Case, capacity: int, format_of: FormatOf) -> Case:
    """The case as models of engines take it."""
    device = case.device
    return Case(
        spec=case.spec,
        layout=case.layout,
        total_bytes=capacity,
        format_of=format_of,
        large=is_large(device.id if device is not None else "", capacity),
        parts=case.use.parts,
        cuda=device is None or device.kind != "cpu",
        capability=major_capability(device),
        beside=case.use.beside,
        own_memory=device is not None and device.has_own_memory,
    )


memory = memory_use
"""Its name inside the package."""


def _layout(given_values: GivenValues, devices: int | None) -> Layout:
    """The layout that is given; tensor parallelism over all ``devices`` where its share is not.

    Raises:
        InputError: a value out of range, or devices that are no whole number of replicas.
    """
    names = ("dp", "pp", "ep", "batch")
    given = {name: getattr(given_values, name) for name in ("tp", *names)}
    for name, value in (("devices", devices), *given.items()):
        if value is not None and not 1 <= value <= 1 << 20:
            raise InputError(
                f"{name} = {value} is out of range",
                hint=f"{name} is a whole number from 1 to {1 << 20}",
            )
    dp, pp, ep, _ = (1 if given[name] is None else given[name] for name in names)
    tp = given["tp"]
    if tp is None:
        tp = 1 if devices is None else devices // (dp * pp)
    if devices is not None and (not tp or devices % (tp * dp * pp)):
        raise InputError(
            f"{devices} devices are no whole number of replicas of {max(tp, 1) * dp * pp}",
            hint="tp × dp × pp divides --devices",
        )
    replicas = 1 if devices is None else devices // (tp * dp * pp)
    return Layout(tp, dp, pp, ep, replicas)


def _sequences(
    spec: ModelSpec,
    split: Breakdown,
    kv: str | KvOf,
    usable: int,
    tokens: int,
    *,
    device: DeviceProfile | None,
    shared: UsableMemory | None,
) -> int:
    """Sequences of ``tokens`` that one replica holds beside everything else, if one of the context
    fits; 0 without a limit."""
    if not usable:
        return 0
    use = replace(split.use, held=tokens)
    return replica_sequences(
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
        overheads(spec, split.layout, device, shared, use.context),
        chunk_tokens=use.chunk,
    )


def _longest_context(
    case: _Case, split: Breakdown, kv: str | KvOf, usable: int, *, shared: UsableMemory | None
) -> int:
    """Tokens of the longest request that the replica holds alone, at most the model's; 0 without a
    limit of bytes, and where none fits."""
    spec, device = case.spec, case.device

    def fits(tokens: int) -> bool:
        use = replace(split.use, context=tokens, held=0, chunk=min(case.chunk, tokens))
        alone = replace(split, use=use)
        return _sequences(spec, alone, kv, usable, tokens, device=device, shared=shared) > 0

    low, high = 0, spec.max_context
    if not usable or fits(high):
        return high if usable else 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
