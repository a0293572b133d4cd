"""What tells the dense decoders that are nearly Llama from it, one record a model type.

Source: the model code of Hugging Face Transformers 5.24; names are those of the releases. What a
configuration leaves out is in ``data/class_defaults.toml``.
"""

from __future__ import annotations

from planner.records import record

_BOTH = ("input_layernorm", "post_attention_layernorm")
_AFTER = ("post_attention_layernorm", "post_feedforward_layernorm")
_SANDWICH = (*_BOTH, "pre_feedforward_layernorm", "post_feedforward_layernorm")


@record
class DenseKind:
    """Differences of one model type from Llama.

    ``norms`` are those of a layer over the hidden size, ``final_norm`` whether there is one behind
    the last. ``head_norms`` are the norms of queries and of keys; ``over`` is what one weight of
    them covers: one head, all heads in a row, or a matrix of heads × width; ``head_norms_key`` is
    the key that turns them off. ``biases_key`` is the key of the biases of query, key and value;
    the output has one with them, never, or by a key of its own; ``mlp_bias`` is the key of the
    MLP's. ``fused_mlp``: gate and up are one matrix. Without ``layer_types``, each ``every``-th
    layer has full attention and the others a window; ``pattern`` is the key of another interval.
    ``all_windowed``: they all have the window that is stated. ``only`` are keys that change the
    structure, each with the value that is understood.
    """

    norms: tuple[str, ...] = _BOTH
    final_norm: bool = True
    head_norms: tuple[str, str] | None = None
    over: str = "head"
    head_norms_key: str = ""
    biases_key: str = "attention_bias"
    out_bias: bool | str = True
    mlp_bias: str = ""
    fused_mlp: bool = False
    every: int = 0
    pattern: str = ""
    all_windowed: bool = False
    only: tuple[tuple[str, object], ...] = ()


_QK = ("q_norm", "k_norm")
KINDS: dict[str, DenseKind] = {
    "cohere": DenseKind(norms=("input_layernorm",), head_norms=_QK, over="heads",
                        head_norms_key="use_qk_norm"),
    "cohere2": DenseKind(norms=("input_layernorm",), every=4, pattern="sliding_window_pattern",
                         only=(("use_qk_norm", False),)),
    "ernie4_5": DenseKind(biases_key="use_bias", mlp_bias="use_bias"),
    "exaone4": DenseKind(norms=_AFTER, head_norms=_QK, biases_key="", every=4,
                         pattern="sliding_window_pattern"),
    "gemma": DenseKind(),
    "gemma2": DenseKind(norms=_SANDWICH, every=2),
    "glm": DenseKind(out_bias=False, fused_mlp=True),
    "glm4": DenseKind(norms=(*_BOTH, "post_self_attn_layernorm", "post_mlp_layernorm"),
                      out_bias=False, fused_mlp=True),
    "granite": DenseKind(mlp_bias="mlp_bias"),
    "hunyuan_v1_dense": DenseKind(
        head_norms=("query_layernorm", "key_layernorm"), head_norms_key="use_qk_norm",
        only=(("use_cla", False), ("mlp_bias", False), ("add_classification_head", False))),
    "ministral": DenseKind(biases_key="", all_windowed=True),
    "ministral3": DenseKind(biases_key="", all_windowed=True),
    "olmo": DenseKind(norms=(), final_norm=False),
    "olmo2": DenseKind(norms=_AFTER, head_norms=_QK, over="all"),
    "olmo3": DenseKind(norms=_AFTER, head_norms=_QK, over="all", every=4),
    "seed_oss": DenseKind(out_bias="attention_out_bias", mlp_bias="mlp_bias"),
    "smollm3": DenseKind(mlp_bias="mlp_bias"),
}  # fmt: skip
