"""What the logarithm of a matrix's sensitivity depends on: kind of matrix, size, place.

The matrices of a model under llama.cpp's names, and the structure that it is matched by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from planner.base.errors import UnsupportedError
from planner.models.gguf_names import gguf_matrices
from planner.models.spec import ModelSpec
from planner.quality.sensitivity.records import OUTSIDE, Matrix, Structure

WAVES = 6
"""Depth functions cos(kπ·depth) over the layers of a model, k from 1: slope, curvature, detail."""
USUAL_SIZE = 2e5
"""Layers × hidden size where the feature of size is 0."""
CLASSES = (
    "attention",
    "latent attention",
    "linear attention",
    "dense",
    "routed",
    "shared",
    "head",
    "embedding",
)
_FFN = ("dense", "routed", "shared")
# Matrices that do the same in different kinds of networks.
_ROLES: Mapping[str, str] = MappingProxyType({
    "attn_q": "query", "attn_q_b": "query", "attn_q_a": "query-down", "attn_k": "key",
    "attn_k_b": "key", "attn_v": "value", "attn_v_b": "value", "attn_kv_a_mqa": "latent",
    "attn_kv": "latent", "attn_output": "out", "attn_output_a": "out", "attn_output_b": "out",
    "attn_qkv": "joined", "attn_gate": "gating", "ssm_out": "out", "ssm_alpha": "small",
    "ssm_beta": "small", "ssm_ba": "small", "output": "head", "token_embd": "embedding",
})  # fmt: skip
LEVELS = ("all", "block", "class", "path")
"""What shares a depth function: all matrices; attention or feed-forward; a class; routed experts or
what acts on every token."""
_ENDS = ("first", "second", "last but one", "last", "first with experts")


def class_of(matrix: Matrix) -> str:
    """The class of a matrix: bands are measured by it, depth functions shared in it."""
    if matrix.kind in ("head", "embedding"):
        return matrix.kind
    if matrix.kind.startswith("linear"):
        return "linear attention"
    if matrix.kind.startswith("mla"):
        return "latent attention"
    return {"experts": "routed", "shared": "shared", "mlp": "dense"}.get(
        matrix.kind.split("-")[0], "attention"
    )


def role_of(matrix: Matrix) -> str:
    """What a matrix does, whatever network it is in; an attention matrix of a name that no measured
    model has counts as a query, which is the commonest input projection."""
    if class_of(matrix) in _FFN:
        return matrix.stem.removeprefix("ffn_").split("_")[0]
    return _ROLES.get(matrix.stem, "query")


def features(matrix: Matrix, structure: Structure) -> dict[str, float]:
    """Named features; the part of a name before the colon is its group, which shares a prior.

    Latent attention's output projection counts with latent attention.
    """
    group, role = _class_in(matrix, structure), role_of(matrix)
    if matrix.layer == OUTSIDE:
        tied = matrix.kind == "embedding" and structure.tied
        return {f"outside:{role}": 1.0, **({"outside:tied": 1.0} if tied else {})}
    feature_values = {f"role:{role}": 1.0}
    block = "ffn" if group in _FFN else "attention"
    side = "out" if role in ("out", "down") else "in"
    feature_values |= {
        f"block:{block}": 1.0,
        f"class:{group}": 1.0,
        f"matrix:{group}/{role}": 1.0,
        f"side:{side}": 1.0,
        f"side:{block}/{side}": 1.0,
    }
    if matrix.narrow:
        feature_values["narrow:"] = matrix.narrow
    if group == "routed":
        feature_values["chosen:"] = math.log(structure.experts[1] / structure.experts[0])
    path = "routed" if group == "routed" else "always"
    size = math.log(structure.layers * structure.hidden_size / USUAL_SIZE)
    feature_values |= {f"path:{path}": 1.0, f"size:{path}": size, f"size:{block}": size}
    for level, of in zip(LEVELS, ("", block, group, path), strict=True):
        for k, height in enumerate(_waves(matrix.layer, structure.layers), 1):
            # the third and later are one group; the finer, the smaller
            feature_values[f"depth-{level}-{min(k, 3)}:{of}@{k}"] = height
            if k < 3:
                feature_values[f"size-{level}-{k}:{of}@{k}"] = size * height
        for end in _ends(matrix.layer, structure):
            feature_values[f"end-{level}:{of}@{end}"] = 1.0
    return feature_values


def kinds_of(structure: Structure) -> tuple[str, ...]:
    """What kinds of network a model is, each with deviations of its own in the prior: dense or with
    experts; with experts after leading dense layers. Kinds of attention are no kinds here: they
    share what their classes of matrices share, and told apart they predicted others worse."""
    if not structure.experts:
        return ("dense",)
    return ("experts", "dense layers lead") if structure.dense_layers else ("experts",)


def _class_in(matrix: Matrix, structure: Structure) -> str:
    group = class_of(matrix)
    latent = group == "attention" and any(a[0] == "mla" for a in structure.attention)
    return "latent attention" if latent else group


def _waves(layer: int, layers: int) -> list[float]:
    """Depth functions at relative depth; from the third on of height 2 / k."""
    at = math.pi * layer / max(1, layers - 1)
    return [math.cos(k * at) * min(1.0, 2.0 / k) for k in range(1, WAVES + 1)]


def _ends(layer: int, structure: Structure) -> list[str]:
    last = structure.layers - 1
    here = (
        layer == 0,
        layer == 1,
        layer == last - 1,
        layer == last,
        bool(structure.experts) and layer == structure.dense_layers and layer > 0,
    )
    return [name for name, at in zip(_ENDS, here, strict=True) if at]


MEASURED_KINDS = frozenset({
    "embedding", "attention-qkv", "mla-q", "mla-kv", "attention-out", "linear-attention",
    "mlp-gate-up", "mlp-down", "experts-gate-up", "experts-down", "shared-gate-up", "shared-down",
    "head"})  # fmt: skip
"""Kinds whose sensitivity was measured on some model; routers and indexers were not."""
NARROW_STEMS = frozenset({"attn_k", "attn_v", "attn_q_a", "attn_kv_a_mqa", "ssm_alpha", "ssm_beta",
                          "ssm_ba", "attn_kv"})  # fmt: skip
# Matrices of a kind where llama.cpp has no architecture, and so no names.
_STEMS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "attention-qkv": ("attn_q", "attn_k", "attn_v"), "mla-q": ("attn_q_a", "attn_q_b"),
    "mla-kv": ("attn_kv_a_mqa", "attn_k_b", "attn_v_b"), "attention-out": ("attn_output",),
    "linear-attention": ("attn_qkv", "attn_gate", "ssm_out"),
    "mlp-gate-up": ("ffn_gate", "ffn_up"), "mlp-down": ("ffn_down",),
    "experts-gate-up": ("ffn_gate_exps", "ffn_up_exps"), "experts-down": ("ffn_down_exps",),
    "shared-gate-up": ("ffn_gate_shexp", "ffn_up_shexp"), "shared-down": ("ffn_down_shexp",),
    "embedding": ("token_embd",), "head": ("output",),
})  # fmt: skip


@lru_cache(maxsize=64)
def structure_of(spec: ModelSpec) -> Structure:
    """The structure of ``spec``: what sister releases share. Indexers do not count."""
    experts = spec.experts
    attention = tuple(
        sorted(
            (a.kind, len(a.layers), a.heads, a.kv_heads if a.kind != "mla" else 0)
            for a in spec.attention
        )
    )
    return Structure(
        layers=spec.layers,
        hidden_size=spec.hidden_size,
        attention=attention,
        dense_width=spec.dense_width if experts is None or min(experts.layers) > 0 else 0,
        experts=()
        if experts is None
        else (experts.count, experts.per_token, experts.width, experts.shared_width),
        dense_layers=spec.layers if experts is None else min(experts.layers),
        tied=spec.tied_embeddings,
    )


@lru_cache(maxsize=64)
def matrices_of(spec: ModelSpec) -> tuple[Matrix, ...]:
    """Matrices of the main model whose kinds were measured somewhere, in reading order."""
    try:
        named = [(m.name, m.kind, m.layer, m.rows) for m in gguf_matrices(spec)]
    except UnsupportedError:
        return _by_kind(spec)
    outputs = {row.name: row.shape[0] for row in spec.rows}
    matrices = []
    for name, kind, layer, rows in named:
        if kind not in MEASURED_KINDS:
            continue
        stem = stem_of(name)
        matrices.append(
            Matrix(
                stem,
                kind,
                OUTSIDE if layer is None else layer,
                narrow(stem, sum(outputs[r] for r in rows), spec.hidden_size),
            )
        )
    if spec.tied_embeddings and not any(m.kind == "head" for m in matrices):
        matrices.append(Matrix("output", "head", OUTSIDE))
    return tuple(matrices)


def stem_of(name: str) -> str:
    """``blk.3.attn_q.weight`` → ``attn_q``."""
    parts = name.removesuffix(".weight").split(".")
    return ".".join(parts[2:] if parts[0] == "blk" else parts)


def narrow(stem: str, outputs: int, hidden: int) -> float:
    """ln(outputs / hidden) of a projection that is narrow by design, else 0."""
    return min(0.0, math.log(outputs / hidden)) if stem in NARROW_STEMS and outputs else 0.0


def _by_kind(spec: ModelSpec) -> tuple[Matrix, ...]:
    """The usual matrices of every kind that the model has, where names are unknown."""
    places = sorted(
        {
            (layer, row.kind)
            for row in spec.rows
            if row.part == "main" and row.is_matrix and row.kind in MEASURED_KINDS
            for layer in row.layers or (OUTSIDE,)
        }
    )
    return tuple(Matrix(stem, kind, layer) for layer, kind in places for stem in _STEMS[kind])
