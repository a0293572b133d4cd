"""What an engine makes of a device's memory, where ``plan memory`` names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.profile import DeviceProfile
from planner.memory.caches import KvOf
from planner.memory.engines.catalog import Engine
from planner.memory.engines.flags import settings_of_flags
from planner.memory.engines.records import Case, EngineResult
from planner.memory.engines.run import engine_size
from planner.memory.usable import shared_memory_utilization, usable_memory
from planner.messages.message import with_name
from planner.placement.cache_entries import cache_units
from planner.planning.engines.cache_rules import WINDOWED, mixing_refusal, mixing_word
from planner.planning.inspect.llama_cpp_settings import llama_settings

_CPU_ENGINES = ("llama.cpp", "pytorch", "vllm")
_GGUF_FORMATS = frozenset({"fp32", "bf16", "fp16", "mxfp4-w4a16"})


def engine_memory(
    engine: Engine | None,
    flags: Mapping[str, Any],
    case: Case,
    *,
    device: DeviceProfile | None,
    chunk: int,
    schemes: frozenset[str],
    context: int,
    batch: int,
    kv: str,
    kv_of: str | KvOf,
) -> EngineResult | None:
    """What the engine makes of ``case``, with its ``flags`` and else prefill chunks of ``chunk``
    tokens; ``schemes`` are those of the weights, ``context`` the longest sequence [tokens], ``kv``
    what is asked of the caches and ``kv_of`` what each is; llama.cpp has a slot for each of
    ``batch`` sequences. None without an engine.

    Raises:
        InputError: no memory is known, or caches that the engine has not.
        UnsupportedError: the engine does not run on the device, or has no such weights or layers.
    """
    if engine is None:
        return None
    if not case.total_bytes:
        raise InputError(
            f"engine {engine.name} needs the memory of a device",
            hint="name a DEVICE, or give --memory-bytes",
        )
    if device is not None and not case.cuda and engine.name not in _CPU_ENGINES:
        raise UnsupportedError(
            f"{engine.name} is modelled on GPUs, and {device.id} is a CPU",
            hint="--engine " + " or ".join(_CPU_ENGINES),
        )
    if engine.name == "llama.cpp":
        _check_llama(schemes, case.parts)
    by_layer = _layers_apart(engine, device, case, kv_of)
    settings = settings_of_flags(engine, flags, context=context, kv="auto" if by_layer else kv)
    if by_layer and settings.kv != "auto":
        raise InputError(
            f"--kv-cache-dtype and caches by layer are one setting of {engine.name}",
            hint="leave one out",
        )
    settings = replace(settings, kv_of=by_layer)
    if engine.name == "llama.cpp":
        settings = llama_settings(settings, flags, case.spec, kv_of, batch)
    if engine.name == "sglang" and settings.batched_tokens is None and device is not None:
        settings = replace(settings, batched_tokens=chunk)  # what its commands set
    if (
        engine.name == "vllm"
        and settings.utilisation is None
        and device is not None
        and device.unified_memory
        and case.total_bytes == int(device.capacity_bytes.value)
    ):
        usable = usable_memory(device, engine, capacity_bytes=case.total_bytes).bytes
        share = shared_memory_utilization(usable, case.total_bytes)
        settings = replace(settings, utilisation=share)
    return engine_size(case, engine, settings)


def _layers_apart(
    engine: Engine, device: DeviceProfile | None, case: Case, kv_of: str | KvOf
) -> KvOf | None:
    """``kv_of`` where its caches differ by layer and vLLM keeps them so; None where one layout is
    in all, and for other engines.

    Raises:
        UnsupportedError: this version does not keep them, or in pages that are not modelled.
    """
    if isinstance(kv_of, str) or engine.name != "vllm" or device is None:
        return None
    units = cache_units(case.spec)
    caches = [(unit.kind, n, kv_of(unit.kind, n)) for unit in units for n in unit.layers]
    layouts = {layout for _, _, layout in caches}
    if len(layouts) < 2:
        return None
    why = mixing_refusal(engine, device, case.spec, caches)
    if not why and mixing_word(case.spec) == WINDOWED and "nvfp4" in layouts:
        why = "its pages of windows beside NVFP4 are not modelled"
    if why:
        raise UnsupportedError(
            with_name(engine.label, why), hint="leave out --engine to price the plan's caches"
        )
    return kv_of


def major_capability(device: DeviceProfile | None) -> int:
    """The major number of the compute capability, 0 where the device has none."""
    text = device.compute_capability if device is not None else None
    return int(text.split(".")[0]) if text else 0


def _check_llama(names: frozenset[str], parts: tuple[str, ...]) -> None:
    """Raises where llama.cpp has no such weights or layers."""
    foreign = sorted(n for n in names if n not in _GGUF_FORMATS and not n.startswith("ggml-"))
    if foreign:
        raise UnsupportedError(
            f"llama.cpp has no {foreign[0]} weights",
            hint="--scheme ggml-q4_k or bf16, or a GGUF file as MODEL",
        )
    if "mtp" in parts:
        raise UnsupportedError(
            "llama.cpp does not run prediction layers", hint="leave out --with-mtp"
        )
