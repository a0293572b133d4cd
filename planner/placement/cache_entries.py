"""Bytes of a cache entry: what memory keeps is what a decode step reads."""

from __future__ import annotations

from planner.formats.kv import entry_bytes, indexer_bytes, latent_bytes
from planner.formats.spec import KvLayout
from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention


def cache_kinds(attention: Attention) -> tuple[str, ...]:
    """Cache units of a layer: kv-latent for MLA, kv-k and kv-v otherwise."""
    return ("kv-latent",) if attention.kind == "mla" else ("kv-k", "kv-v")


def head_entry_bytes(attention: Attention, layout: KvLayout, kind: str) -> int:
    """Bytes of one token, layer and KV head (MLA: of one token and layer)."""
    if kind == "kv-latent":
        return latent_bytes(layout, attention.kv_lora_rank, attention.rope_dim)
    return entry_bytes(layout, width=attention.head_dim, kind=kind)


def indexer_record_bytes(attention: Attention, *, fp8: bool) -> int:
    """Bytes a token and layer of the sparse-attention indexer's keys; 0 without an indexer."""
    return indexer_bytes(not fp8, attention.indexer_dim) if attention.indexer_topk else 0


def reads_fp8_cache(device: DeviceProfile) -> bool:
    """Whether the device reads FP8 cache entries: an FP8 unit, or conversion in software on a CPU.
    """
    return device.rate("fp8") is not None or (device.kind == "cpu" and "fp8" in device.conversion)
