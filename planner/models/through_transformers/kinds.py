"""The module kind of a tensor, from its name, its shape and the classes of the modules above it."""

from __future__ import annotations

import re

from planner.base.records import record
from planner.models.spec import ShardAxis

_RECURRENT = re.compile(
    r"mamba|ssm|delta|linearatt|lightningatt|shortconv|recurrent|rwkv|kda|"
    r"xlstm|mlstm|ttt|hyena|mixer2d|minimaxlinear",
    re.I,
)
_ATTENTION = re.compile(r"attention|attn|selfatt", re.I)
_CROSS = re.compile(r"cross_?att|encoder_attn|encdecatt|cross_?attn", re.I)
_INDEXER = re.compile(r"indexer", re.I)
_NORM = re.compile(r"norm|(^|_)ln(_|$)|^ln\w?_?\d?$", re.I)
_SHARED = re.compile(r"shared_?(expert|mlp)", re.I)
_EXPERTS = re.compile(r"experts|block_sparse_moe|(^|_)moe", re.I)
_ROUTER = re.compile(r"gate$|router|gating|switch_gate|classifier$|e_score_correction_bias")
_MLP = re.compile(r"mlp|feed_?forward|ffn|dense_?relu|^ff$|intermediate|^output$|^fc\d", re.I)
_OUT = re.compile(
    r"^(o|wo|out|proj|dense|output|o_proj|out_proj|c_proj|linear_out|attn_out|fc_out|"
    r"attention_out|dense_out|final_linear|to_out|output_proj|wo_b|"
    r"attn_output|out_lin|output_linear)$",
    re.I,
)
_QKV = re.compile(
    r"^(w?_?(q|k|v|qk|kv|qkv)(_?\d|_?proj\w*|_?linear|_?weight)?|qkv_\w+|\w*_?qkv\w*|"
    r"query\w*|key\w*|value\w*|c_attn|w_pack|in_proj\w*|linear_[qkv]|(q|k|v)_lin|"
    r"(g|gate|gate_proj|g_proj|attn_gate\w*)|(to|project)_[qkv]|q_attn|"
    r"input_linear|r)$",
    re.I,
)
_MLA_Q = re.compile(r"^(q_(a|b|down|up)_?\w*|wq_[ab])$", re.I)
_MLA_KV = re.compile(r"^(kv_(a|b|down|up)_?\w*|kv_a_proj_with_mqa|wkv_[ab]|[kv]_b_proj)$", re.I)
_LATENT = re.compile(r"^((q|kv)_[ab]_proj\w*|w(q|kv)_[ab])$", re.I)
"""Names that only latent attention has, whatever the configuration says of its layers."""
_STREAMS = re.compile(r"^hc_")
_UP = re.compile(
    r"^(gate_proj|up_proj|gate_up_proj|w1|w3|v1|fc1|fc_in|c_fc|c_fc_0|c_fc_1|wi|wi_\d|"
    r"lin1|dense_h_to_4h|dense|gate|up|input_linear|(\w+_)?w13_weight|linear_fc1|"
    r"fc_gate|linear_1|w12|intermediate\w*|xielu_up|dense_1|w_in|gate_and_up_proj|"
    r"linear_v)$",
    re.I,
)
_DOWN = re.compile(
    r"^(down_proj|w2|fc2|fc_out|c_proj|wo|lin2|dense_4h_to_h|down|output_linear|"
    r"linear_fc2|linear_2|out|output|dense|w_out|proj|dense_2|"
    r"(\w+_)?w2_weight)$",
    re.I,
)


_GENERIC = ("weight", "bias", "linear", "layer")


@record
class TensorPlace:
    """Where a tensor stands in a layer: its module kind, and how ranks share it."""

    kind: str
    shard: ShardAxis


@record
class Sizes:
    """What shapes are compared with: ``hidden`` elements a token, ``experts`` of a layer, 0 for
    none; ``latent``: keys and values are compressed."""

    hidden: int
    experts: int
    latent: bool


def place_of(
    name: str,
    shape: tuple[int, ...],
    blocks: tuple[str, ...],
    sizes: Sizes,
) -> TensorPlace | None:
    """The place of a tensor of a layer, ``name`` without its layer, ``shape`` of one expert's
    (outputs, inputs) for matrices; None where neither name nor shape tells."""
    parts = name.split(".")
    while len(parts) > 1 and parts[-1] in _GENERIC:
        parts.pop()
    leaf, above = parts[-1], parts[:-1]
    inside = _block(above, leaf, blocks)
    if shape[:1] == (sizes.experts,) and any(map(_ROUTER.search, (leaf, *above[-1:]))):
        inside = "router"
    if any(map(_STREAMS.search, parts)):  # hyper-connections mix residual streams: never narrowed
        return TensorPlace("norm", "replicated")
    if any("router" in part for part in parts):
        inside = "router"
    if inside == "norm" or (len(shape) < 2 and inside == ""):
        return TensorPlace("norm", "replicated")
    if inside == "router":
        return TensorPlace("router", "replicated")
    if inside == "indexer":
        return TensorPlace("indexer", "replicated")
    if inside == "recurrent":
        return _recurrent(leaf, shape, sizes)
    if inside == "attention":
        return _attention(leaf, shape, sizes)
    if inside in ("experts", "shared", "mlp"):
        return _mlp(inside, leaf, shape, sizes)
    return None


def _block(above: list[str], leaf: str, blocks: tuple[str, ...]) -> str:
    """norm, router, indexer, recurrent, attention, experts, shared, mlp, or "" for none of them."""
    own = blocks[-1] if blocks else ""
    if _NORM.search(leaf) or (above and _NORM.search(above[-1])):
        return "norm"
    if any(map(_INDEXER.search, (*above, *blocks))):
        return "indexer"
    if any(map(_RECURRENT.search, (*above, *blocks))) or "conv" in above:
        return "recurrent"
    if any(map(_SHARED.search, (*above, leaf))):
        return "shared"
    moe = any(map(_EXPERTS.search, (*above, *blocks)))
    if moe and (_ROUTER.search(leaf) or any(map(_ROUTER.search, above))):
        return "router"
    if any(map(_ATTENTION.search, (*above, *blocks))):
        return "attention"
    if "experts" in above or leaf == "experts" or (moe and re.search("expert", own, re.I)):
        return "experts"
    if moe and "granite" in own.lower():
        return "experts"
    if any(map(_MLP.search, (*above, leaf, *blocks))) or moe:
        return "mlp"
    return "mlp" if _UP.match(leaf) or _DOWN.match(leaf) else ""


def cross(name: str, blocks: tuple[str, ...]) -> bool:
    """Whether the tensor belongs to attention over an encoder's outputs."""
    return any(map(_CROSS.search, (*name.split("."), *blocks)))


def _recurrent(leaf: str, shape: tuple[int, ...], sizes: Sizes) -> TensorPlace:
    if len(shape) != 2:
        return TensorPlace("linear-attention", "column" if len(shape) < 2 else "replicated")
    out = shape[0] == sizes.hidden and (shape[1] != sizes.hidden or _OUT.match(leaf) is not None)
    return TensorPlace("linear-attention", "row" if out else "column")


def _attention(leaf: str, shape: tuple[int, ...], sizes: Sizes) -> TensorPlace | None:
    if len(shape) < 2:
        out = _OUT.match(leaf) is not None
        return TensorPlace(
            "attention-out" if out else "attention-qkv", "replicated" if out else "column"
        )
    if len(shape) != 2:
        return None
    latent = sizes.latent or _LATENT.match(leaf) is not None
    if latent and (_MLA_Q.match(leaf) or leaf == "q_proj"):
        return TensorPlace(
            "mla-q", "column" if shape[1] != sizes.hidden or leaf == "q_proj" else "replicated"
        )
    if latent and _MLA_KV.match(leaf):
        return TensorPlace("mla-kv", "replicated" if shape[1] == sizes.hidden else "column")
    if _QKV.match(leaf):
        return TensorPlace("attention-qkv", "column")
    if _OUT.match(leaf):
        return TensorPlace("attention-out", "row")
    if sizes.hidden in shape and shape[0] != shape[1]:
        out = shape[0] == sizes.hidden
        kind: tuple[str, ShardAxis] = (
            ("attention-out", "row") if out else ("attention-qkv", "column")
        )
        return TensorPlace(*kind)
    return None


def _mlp(inside: str, leaf: str, shape: tuple[int, ...], sizes: Sizes) -> TensorPlace | None:
    up, down = _UP.match(leaf) is not None, _DOWN.match(leaf) is not None
    if len(shape) < 2:
        return (
            TensorPlace(f"{inside}-down", "replicated")
            if down and not up
            else TensorPlace(f"{inside}-gate-up", "column")
        )
    if len(shape) != 2:
        return None
    if up == down and sizes.hidden in shape and shape[0] != shape[1]:
        up, down = shape[1] == sizes.hidden, shape[0] == sizes.hidden
    if up == down:
        return None
    if up:
        return TensorPlace(f"{inside}-gate-up", "column")
    return TensorPlace(f"{inside}-down", "row")
