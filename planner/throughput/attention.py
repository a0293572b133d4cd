"""Attention cores and the cache they read, by cache layout. Arrays [C, K]: candidates × layouts.

Decode reads the cache once; MLA runs absorbed (latent 576 wide for DeepSeek: 2·(576 + 512) FLOP a
head and token). Prefill is causal: half of S² pairs. Windows and sparse indexers bound the tokens
attended (placement.cache_entries).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.formats.kv import kv_layout
from planner.formats.spec import KvLayout
from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention
from planner.placement.cache_entries import (
    head_entry_bytes,
)
from planner.throughput.attended import decode_entries, prompt_pairs
from planner.throughput.attention_fitted import Core, certainties, fitted
from planner.throughput.calibration import Certainty
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, operator

Array = NDArray[np.float64]

NARROW_CACHE_FRACTION = 0.8
"""Bandwidth that decode kernels keep when they convert an 8- or 4-bit cache, relative to a BF16
cache: medians .46–.75 against .73–.83 of peak on Hopper and B200 (aiconfigurator-core 0.12.0)."""
HEADS_PER_PASS = 64
"""Query heads that share one conversion of a latent cache row (one m64 matrix instruction)."""


def local_kv_heads(attention: Attention, tp: Array) -> Array:
    """Key/value heads on one rank [C]: divided over tp, copied where tp exceeds them; of records
    that are key and value of all heads, 1."""
    if attention.kind != "gqa":
        return np.ones_like(tp)
    return np.maximum(attention.kv_heads / tp, 1.0)


def _value_width(attention: Attention) -> int:
    return attention.value_dim or attention.head_dim


def _conversion(device: DeviceProfile, layouts: Sequence[KvLayout]) -> tuple[Array, Array]:
    """(elements/s or inf, bandwidth factor) by layout."""
    rate, factor = [], []
    for layout in layouts:
        narrow = layout.compute != ""
        known = device.conversion.get(layout.compute) if narrow else None
        rate.append(known.value if known is not None else np.inf)
        factor.append(NARROW_CACHE_FRACTION if narrow else 1.0)
    return np.array(rate), np.array(factor)


def core_of(
    attention: Attention, kind: str, device: DeviceProfile, pts: Points, stacks: Sequence[str]
) -> Core:
    """One cache unit on the ranks of ``pts``."""
    return Core(
        attention,
        kind,
        device,
        tuple(stacks),
        attention.heads / pts.tp,
        local_kv_heads(attention, pts.tp),
    )


def layout_certainty(
    attention: Attention,
    kind: str,
    layout: str,
    device: DeviceProfile,
    stacks: Sequence[str],
    *,
    decode: bool,
) -> Certainty:
    """How the time of one layout is found, on one rank."""
    single = np.ones(1)
    core = Core(
        attention,
        kind,
        device,
        tuple(stacks),
        attention.heads * single,
        local_kv_heads(attention, single),
    )
    return certainties(core, [layout], decode=decode)[0]


def decode_parts(
    attention: Attention,
    kind: str,
    layouts: Sequence[str],
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
    stacks: Sequence[str] = (),
) -> Parts:
    """One layer of one cache unit in a decode step, Parts [C, K].

    The calibrated kernel of the first of ``stacks`` that has one, else the achieved fractions.
    Keys and values of one layer run in one kernel: each of kv-k and kv-v carries half its floor.
    """
    return fitted(
        core_of(attention, kind, device, pts, stacks),
        layouts,
        phase,
        lambda: _plain_decode(attention, kind, layouts, device, pts, phase),
    )


def _plain_decode(
    attention: Attention,
    kind: str,
    layouts: Sequence[str],
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
) -> Parts:
    records = [kv_layout(name) for name in layouts]
    reached = device.achieved["attention-decode"]
    heavy = device.achieved["attention-prefill"]
    rate = device.rate("bf16")
    assert rate is not None
    heads = attention.heads / pts.tp
    entries = phase.sequences * decode_entries(attention, phase.kv_len)
    size = np.array([head_entry_bytes(attention, r, kind) for r in records], dtype=np.float64)
    local = local_kv_heads(attention, pts.tp)
    width = {"kv-k": attention.head_dim, "kv-v": _value_width(attention)}.get(
        kind, attention.kv_lora_rank or attention.nope_dim
    )
    per_head = _flop_per_head(attention, kind)
    conversion, factor = _conversion(device, records)
    passes = np.ceil(heads / HEADS_PER_PASS) if kind == "kv-latent" else np.ones_like(heads)
    return operator(
        flop=(entries * heads * per_head)[:, None],
        moved_bytes=(entries * local)[:, None] * size,
        converted=(entries * local * width * passes)[:, None] * np.ones(len(records)),
        launch=np.asarray(reached.floor_seconds.value * (1.0 if kind == "kv-latent" else 0.5)),
        peak=np.asarray(rate.dense.value),
        compute_fraction=np.asarray(heavy.compute_fraction.value),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=reached.bandwidth_fraction.value * factor,
        conversion_rate=conversion,
    )


def _flop_per_head(attention: Attention, kind: str) -> float:
    """FLOP of one query head against one cached token, for one cache unit."""
    if kind == "kv-v":
        return 2.0 * _value_width(attention)
    if kind == "kv-k":
        return 2.0 * attention.head_dim
    if attention.kind == "mla":
        return 2.0 * (2 * attention.kv_lora_rank + attention.rope_dim)
    return 4.0 * attention.head_dim


def prefill_parts(
    attention: Attention,
    kind: str,
    layouts: Sequence[str],
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
    stacks: Sequence[str] = (),
) -> Parts:
    """One layer of one cache unit while a prompt is read, Parts [C, K].

    The calibrated kernel of the first of ``stacks`` that has one, else the achieved fractions. MLA
    expands the latent to heads (dense prefill), or runs absorbed where an indexer selects tokens.
    The cache is written once.
    """
    return fitted(
        core_of(attention, kind, device, pts, stacks),
        layouts,
        phase,
        lambda: _plain_prefill(attention, kind, layouts, device, pts, phase),
    )


def _plain_prefill(
    attention: Attention,
    kind: str,
    layouts: Sequence[str],
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
) -> Parts:
    reached = device.achieved["attention-prefill"]
    rate = device.rate("bf16")
    assert rate is not None
    heads = attention.heads / pts.tp
    size = np.array(
        [head_entry_bytes(attention, kv_layout(n), kind) for n in layouts], dtype=np.float64
    )
    local = local_kv_heads(attention, pts.tp)
    flop = heads * prompt_pairs(attention, phase.kv_len) * _prefill_flop(attention, kind)
    share = 1.0 if kind == "kv-latent" else 0.5
    return operator(
        flop=flop[:, None],
        moved_bytes=(phase.kv_len * local)[:, None] * size,
        converted=np.zeros(1),
        launch=np.asarray(reached.floor_seconds.value * share * column(phase.passes)),
        peak=np.asarray(rate.dense.value),
        compute_fraction=np.asarray(reached.compute_fraction.value),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(reached.bandwidth_fraction.value),
        conversion_rate=np.asarray(np.inf),
    )


def _prefill_flop(attention: Attention, kind: str) -> float:
    if attention.kind != "mla" or attention.indexer_topk:
        return _flop_per_head(attention, kind)
    return 2.0 * (attention.nope_dim + attention.rope_dim + attention.value_dim)
