"""K and V caches as a layout stores them: keys after RoPE, values as projected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from planner.formats.kv import kv_layout, require_kind
from planner.formats.spec import KvLayout, TensorFormat
from planner.lab.probe.model import CacheHook, Floats
from planner.numerics import round_trip


def quantised_cache(keys: Mapping[int, str], values: Mapping[int, str]) -> CacheHook:
    """A hook that stores keys and values of the layers given in the layouts given.

    Raises UnknownNameError and UnsupportedError for layouts that do not exist or do not hold
    that kind.
    """
    layouts = {
        (kind, layer): kv_layout(name)
        for kind, part in (("kv-k", keys), ("kv-v", values))
        for layer, name in part.items()
    }
    for (kind, _), layout in layouts.items():
        require_kind(layout, kind)

    def hook(layer: int, k: Any, v: Any) -> tuple[Any, Any]:
        k_layout, v_layout = layouts.get(("kv-k", layer)), layouts.get(("kv-v", layer))
        return (
            k if k_layout is None else stored(k, k_layout),
            v if v_layout is None else stored(v, v_layout),
        )

    return hook


def stored(x: Floats, layout: KvLayout) -> Floats:
    """(chunks, heads, tokens, width) as a cache returns it.

    Scales per token span one head; those per channel span groups of tokens of one sequence and
    head; one scale for the whole tensor spans the batch. BF16 counts as exact, as the released
    model's own cache.
    """
    if layout.id in ("bf16", "fp32"):
        return x
    fmt = TensorFormat(layout.element, layout.scale)
    if layout.scale is None or layout.scale.block_rows == 0:
        return round_trip(x, fmt)
    heads = np.ascontiguousarray(x).reshape(-1, *x.shape[-2:])
    if layout.scale.tensor_scale or layout.scale.block_rows == 1:
        return round_trip(heads.reshape(-1, x.shape[-1]), fmt).reshape(x.shape)
    return np.stack([round_trip(head, fmt) for head in heads]).reshape(x.shape)
