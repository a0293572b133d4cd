"""What llama-server is started with where ``plan memory`` names it: cache types, slots, cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.base.errors import InputError, UnsupportedError
from planner.formats.kv import GGML_CACHE_TYPES, kv_layout
from planner.memory.caches import KvOf
from planner.memory.engines.records import Settings
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units

OWN = "fp16"
"""-ctk and -ctv unless they are given (ggml-org/llama.cpp common/common.h)."""
_FLAGS = {"cache_type_k": ("kv-k", "kv-latent"), "cache_type_v": ("kv-v",)}


def layouts_of_flags(kv: str, flags: Mapping[str, Any]) -> str:
    """The layouts that --cache-type-k and --cache-type-v name, as ``keys/values``; ``kv`` where
    there is neither.

    Raises:
        InputError: ``kv`` names some too.
        UnknownNameError: there is no such type.
    """
    given = [flags.get(name) for name in _FLAGS]
    if given == [None, None]:
        return kv
    if kv != "auto":
        raise InputError(
            "--kv and --cache-type-k or -v are one setting of llama.cpp", hint="leave one out"
        )
    keys, values = (OWN if name is None else kv_layout(name).id for name in given)
    return keys if keys == values else f"{keys}/{values}"


def llama_settings(
    settings: Settings,
    flags: Mapping[str, Any],
    spec: ModelSpec,
    kv: str | KvOf,
    batch: int,
) -> Settings:
    """``settings`` with the types of the caches ``kv``, a slot for each of ``batch`` sequences, and
    cells for as many contexts, where ``flags`` do not say otherwise.

    Raises:
        UnsupportedError: a cache that is none of ggml's types, or several of keys or values.
    """
    settings = replace(
        settings,
        type_k=_one_type(spec, kv, _FLAGS["cache_type_k"], settings.type_k),
        type_v=_one_type(spec, kv, _FLAGS["cache_type_v"], settings.type_v),
    )
    if "parallel" not in flags:
        settings = replace(settings, max_seqs=batch)
    if "ctx_size" not in flags and settings.context is not None:
        settings = replace(settings, context=settings.context * (settings.max_seqs or 1))
    return settings


def _one_type(spec: ModelSpec, kv: str | KvOf, kinds: tuple[str, ...], default: str) -> str:
    """The ggml type of the caches of these kinds, ``default`` where the model has none."""
    used = {
        kv if isinstance(kv, str) else kv(unit.kind, layer)
        for unit in cache_units(spec)
        if unit.kind in kinds
        for layer in unit.layers
    }
    foreign = sorted(used - set(GGML_CACHE_TYPES))
    if foreign:
        raise UnsupportedError(
            f"llama.cpp has no cache type {foreign[0]}",
            hint="--kv " + ", ".join(GGML_CACHE_TYPES) + "; keys and values apart: q8_0/q4_0",
        )
    if len(used) > 1:
        raise UnsupportedError(
            f"llama.cpp has one cache type for all layers, the plan {', '.join(sorted(used))}",
            hint="leave out --engine to price the plan's caches",
        )
    return GGML_CACHE_TYPES[used.pop()] if used else default
