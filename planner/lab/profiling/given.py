"""Files that a user may bring: shares of tokens by expert, real inputs, keys and values."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from planner.base.errors import DataError
from planner.base.files import decode_text
from planner.base.strict_json import read_config_bytes
from planner.lab.profiling.assemble import CacheMeasured
from planner.models.spec import Attention, ModelSpec
from planner.numerics.tiles import FloatArray
from planner.quality.cache_error import CacheErrors, head_errors, latent_errors
from planner.quality.routing import shares

MOST_ROUTING_BYTES = 64 << 20
_GQA = {"q", "k", "v"}
_MLA = {"q_latent", "q_rope", "latent", "rope"}


def read_routing(path: Path, spec: ModelSpec) -> dict[tuple[int, int], float]:
    """Shares by (layer, expert) from a CSV of layer,expert,tokens; 1.0 is an even share.

    Raises:
        DataError: the model has no experts, other columns, or an expert that it does not have.
    """
    experts = spec.experts
    if experts is None:
        raise DataError(f"{path}: {spec.id} has no routed experts", hint="leave --routing out")
    counts = {layer: np.zeros(experts.count) for layer in experts.layers}
    try:
        text = decode_text(read_config_bytes(path, limit=MOST_ROUTING_BYTES))
        rows = list(csv.DictReader(text.splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read: {error}", hint="check the path and its permissions"
        ) from None
    if not rows or set(rows[0]) != {"layer", "expert", "tokens"}:
        raise DataError(
            f"{path}: columns are layer,expert,tokens",
            hint="make the first line layer,expert,tokens",
        )
    for number, row in enumerate(rows, start=2):
        try:
            layer, expert, tokens = (int(row[k]) for k in ("layer", "expert", "tokens"))
        except (TypeError, ValueError):
            raise DataError(
                f"{path}: line {number} is not three whole numbers",
                hint="a line is a layer, an expert and a count, for example 3,17,1024",
            ) from None
        if layer not in counts or not 0 <= expert < experts.count or not 0 <= tokens < 1 << 53:
            raise DataError(
                f"{path}: line {number}: {spec.id} has no expert {expert} in layer "
                f"{layer}, or tokens are not from 0 to 2^53",
                hint="layers and experts are counted from 0",
            )
        counts[layer][expert] += tokens
    empty = [layer for layer, counted in counts.items() if not counted.sum()]
    if empty:
        raise DataError(
            f"{path}: no tokens in layer {empty[0]}",
            hint="count the tokens of every expert layer, or leave --routing out",
        )
    return {
        (layer, expert): float(f"{share:.5e}")
        for layer, counted in counts.items()
        for expert, share in enumerate(shares(counted).tolist())
    }


def read_caches(folder: Path, spec: ModelSpec) -> CacheMeasured:
    """Cache errors of the layers whose ``attention.<layer>.npz`` is in ``folder``.

    Arrays (float32): q (heads, tokens, width), k and v (kv heads, tokens, width), all after RoPE;
    for MLA q_latent, q_rope (heads, tokens, …), latent and rope (tokens, …).

    Raises:
        DataError: other arrays than these, or a layer that the model does not have.
    """
    error: dict[tuple[str, int], Mapping[str, float]] = {}
    parts: dict[tuple[str, int], Mapping[str, Mapping[str, float]]] = {}
    for path in sorted(folder.glob("attention.*.npz")):
        number = path.name.split(".")[1]
        attention = next(
            (a for a in spec.attention if number.isdigit() and int(number) in a.layers), None
        )
        if attention is None:
            raise DataError(
                f"{path}: {spec.id} has no attention in layer {number}",
                hint="name the file after a layer with attention: attention.LAYER.npz",
            )
        read = _errors(path, attention)
        for kind, values in read.error.items():
            error[kind, int(number)] = values
        for kind, values_by_part in read.parts.items():
            parts[kind, int(number)] = values_by_part
    return CacheMeasured(error, parts)


def _errors(path: Path, attention: Attention) -> CacheErrors:
    arrays: dict[str, FloatArray] = {}
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: np.asarray(data[name], np.float32) for name in data.files}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not an archive of arrays: {error}",
            hint="write it with numpy.savez: q, k and v in float32",
        ) from None
    if any(not np.isfinite(a).all() for a in arrays.values()):
        raise DataError(
            f"{path}: holds NaN or infinities",
            hint="write it again from a forward pass without NaN",
        )
    if attention.kind == "mla" and set(arrays) == _MLA:
        width = attention.nope_dim + attention.rope_dim
        return latent_errors(
            arrays["q_latent"],
            arrays["q_rope"],
            arrays["latent"],
            arrays["rope"],
            scale=width**-0.5,
        )
    if attention.kind == "gqa" and set(arrays) == _GQA:
        return head_errors(arrays["q"], arrays["k"], arrays["v"], scale=attention.head_dim**-0.5)
    raise DataError(
        f"{path}: arrays {', '.join(sorted(arrays))}",
        hint="q, k, v; for MLA q_latent, q_rope, latent, rope",
    )
