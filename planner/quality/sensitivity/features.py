"""What the logarithm of a matrix's sensitivity depends on: kind of matrix, size, place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from planner.quality.sensitivity.records import OUTSIDE, Matrix, Structure

KNOTS = 7
"""Places of the depth functions, from the first layer to the last."""
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
    found = {f"role:{role}": 1.0}
    block = "ffn" if group in _FFN else "attention"
    side = "out" if role in ("out", "down") else "in"
    found |= {
        f"block:{block}": 1.0,
        f"class:{group}": 1.0,
        f"matrix:{group}/{role}": 1.0,
        f"side:{side}": 1.0,
        f"side:{block}/{side}": 1.0,
    }
    if matrix.narrow:
        found["narrow:"] = matrix.narrow
    if group == "routed":
        found["chosen:"] = math.log(structure.experts[1] / structure.experts[0])
    places = {"depth0": "", "depth1": block, "depth2": group, "depth3": f"{group}/{role}"}
    for name, height in _depth(matrix.layer, structure.layers):
        found |= {f"{level}:{of}@{name}": height for level, of in places.items()}
    for end in _ends(matrix.layer, structure):
        found |= {
            f"{level.replace('depth', 'end')}:{of}@{end}": 1.0 for level, of in places.items()
        }
    return found


def _class_in(matrix: Matrix, structure: Structure) -> str:
    group = class_of(matrix)
    latent = group == "attention" and any(a[0] == "mla" for a in structure.attention)
    return "latent attention" if latent else group


def _depth(layer: int, layers: int) -> list[tuple[str, float]]:
    """Hat functions over relative depth that are not zero."""
    at = layer / max(1, layers - 1) * (KNOTS - 1)
    return [(str(k), 1 - abs(at - k)) for k in range(KNOTS) if abs(at - k) < 1]


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
