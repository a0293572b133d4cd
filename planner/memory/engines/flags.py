"""The engines' own flags: which engine has which, and the settings they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.base.errors import InputError, UnsupportedError
from planner.formats.kv import kv_layout
from planner.memory.engines.catalog import Engine
from planner.memory.engines.records import Settings

_BATCHING = ("vllm", "sglang", "tensorrt-llm", "pytorch")
_SERVERS = ("vllm", "sglang", "tensorrt-llm")
_RESEARCH_CACHES = ("int8-token", "int4-token", "int4-channel")  # with scales a token or channel
# Flag of an engine → (its field in Settings, the engines that take it). The first of a field are
# understood by every engine that has the setting, the later ones are the engine's own word for it.
ENGINE_FLAGS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gpu_memory_utilization": ("utilisation", ("vllm",)),
    "mem_fraction_static": ("utilisation", ("sglang",)),
    "kv_cache_free_gpu_mem_fraction": ("utilisation", ("tensorrt-llm",)),
    "max_model_len": ("context", _BATCHING),
    "max_num_batched_tokens": ("batched_tokens", _BATCHING),
    "max_num_seqs": ("max_seqs", _BATCHING),
    "block_size": ("block_tokens", ("vllm", "sglang", "tensorrt-llm")),
    "kv_cache_dtype": ("kv", _BATCHING),
    "kv_cache_memory_bytes": ("kv_bytes", ("vllm",)),
    "max_total_tokens": ("total_tokens", ("sglang",)),
    "context_length": ("context", ("sglang",)),
    "chunked_prefill_size": ("batched_tokens", ("sglang",)),
    "max_running_requests": ("max_seqs", ("sglang",)),
    "page_size": ("block_tokens", ("sglang",)),
    "max_seq_len": ("context", ("tensorrt-llm",)),
    "max_num_tokens": ("batched_tokens", ("tensorrt-llm",)),
    "max_batch_size": ("max_seqs", ("tensorrt-llm",)),
    "tokens_per_block": ("block_tokens", ("tensorrt-llm",)),
    "ctx_size": ("context", ("llama.cpp",)),
    "ubatch_size": ("batched_tokens", ("llama.cpp",)),
    "parallel": ("max_seqs", ("llama.cpp",)),
    "cache_type_k": ("type_k", ("llama.cpp",)),
    "cache_type_v": ("type_v", ("llama.cpp",)),
    "mla": ("mla", ("llama.cpp",)),
    "swa_full": ("swa_full", ("llama.cpp",)),
    "moe_backend": ("moe_backend", ("vllm", "sglang")),
}


def check_names(given: Mapping[str, Any], *, engine: str) -> None:
    """Refuse what is no flag of any engine, and flags without an engine.

    Raises:
        InputError: naming the flag.
    """
    for name in given:
        if name not in ENGINE_FLAGS:
            raise InputError(
                f"{name} is no flag of an engine", hint="understood: " + ", ".join(ENGINE_FLAGS)
            )
    if engine == "any" and given:
        name = next(iter(given))
        raise InputError(
            f"{_dashed(name)} belongs to an engine", hint="add --engine " + ENGINE_FLAGS[name][1][0]
        )


def settings_of_flags(
    engine: Engine, given: Mapping[str, Any], *, context: int, kv: str
) -> Settings:
    """The settings that ``given`` flags make; ``context`` and ``kv`` hold where no flag says so.

    Raises:
        InputError: a flag of another engine, or two words for one setting.
        UnsupportedError: a plan whose caches have several types.
    """
    settings = (
        Settings(context=context)
        if engine.name == "llama.cpp"
        else Settings(context=context, kv=kv)
    )
    said = {"kv": "--kv"} if kv != "auto" else {}
    for name, value in given.items():
        field, engines = ENGINE_FLAGS[name]
        if engine.name not in engines:
            own = [
                _dashed(f)
                for f, (same, names) in ENGINE_FLAGS.items()
                if same == field and engine.name in names
            ]
            raise InputError(
                f"{_dashed(name)} is a flag of {', '.join(engines)}, not of {engine.name}",
                hint=f"use {own[-1]}" if own else "leave it out",
            )
        if field in said:
            raise InputError(
                f"{said[field]} and {_dashed(name)} are one setting of {engine.name}",
                hint="leave one out",
            )
        said[field] = _dashed(name)
        settings = replace(settings, **{field: value})
    if engine.name != "llama.cpp" and not settings.kv.startswith(("auto", "fp8")):
        if "," in settings.kv:
            raise UnsupportedError(
                f"{engine.name} has one cache type, the plan {settings.kv}",
                hint="leave out --engine to price the plan's caches",
            )
        layout = kv_layout(settings.kv).id
        if engine.name in _SERVERS and layout in _RESEARCH_CACHES:
            raise UnsupportedError(
                f"{engine.name} has no cache type {layout}",
                hint="leave out --engine to price it; engines have bf16 and fp8",
            )
    return settings


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")
