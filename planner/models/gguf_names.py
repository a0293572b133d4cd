"""The tensors that a GGUF file of a model has, by llama.cpp's names, and the rows they come from.

Sources: ggml-org/llama.cpp gguf-py/gguf/constants.py (names, and the tensors of each architecture),
its converters (what is split and what is joined), and the tensors of published GGUF files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.models.spec import ModelSpec, TensorRow

ARCHITECTURES = {
    "cohere": "command-r", "cohere2": "cohere2", "deepseek_ref": "deepseek4",
    "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "deepseek_v32": "deepseek32",
    "deepseek_v4": "deepseek4", "dots1": "dots1", "ernie4_5": "ernie4_5", "exaone4": "exaone4",
    "falcon_h1": "falcon-h1", "gemma": "gemma",
    "gemma2": "gemma2", "gemma3": "gemma3", "gemma3_text": "gemma3", "gemma3n": "gemma3n",
    "gemma3n_text": "gemma3n", "gemma4": "gemma4", "glm": "chatglm", "glm4": "glm4",
    "glm4_moe": "glm4moe", "glm4v": "glm4", "glm4v_moe": "glm4moe", "glm_moe_dsa": "glm-dsa",
    "gpt2": "gpt2", "gpt_oss": "gpt-oss", "granite": "granite", "granitemoe": "granitemoe",
    "granitemoehybrid": "granitehybrid", "granitemoeshared": "granitemoe",
    "hunyuan_v1_dense": "hunyuan-dense", "jamba": "jamba", "lfm2": "lfm2", "lfm2_moe": "lfm2moe",
    "kimi_k2": "deepseek2", "kimi_k25": "deepseek2", "llama": "llama", "llama4": "llama4",
    "mimo_v2_flash": "mimo2", "minimax_m2": "minimax-m2", "ministral3": "mistral3",
    "mistral": "llama", "mistral3": "llama", "mixtral": "llama", "nemotron-nas": "deci",
    "nemotron_h": "nemotron_h",
    "olmo": "olmo", "olmo2": "olmo2", "olmo3": "olmo2", "olmoe": "olmoe", "phi": "phi2",
    "phi3": "phi3", "qwen2": "qwen2", "qwen2_moe": "qwen2moe",
    "qwen2_5_omni": "qwen2vl", "qwen2_5_omni_thinker": "qwen2vl",
    "qwen2_5_vl": "qwen2vl", "qwen2_5_vl_text": "qwen2vl", "qwen2_vl": "qwen2vl",
    "qwen2_vl_text": "qwen2vl", "qwen3": "qwen3", "qwen3_5": "qwen35",
    "qwen3_5_moe": "qwen35moe", "qwen3_moe": "qwen3moe", "qwen3_next": "qwen3next",
    "qwen3_omni_moe": "qwen3vlmoe", "qwen3_omni_moe_thinker": "qwen3vlmoe", "qwen3_vl": "qwen3vl",
    "qwen3_vl_text": "qwen3vl", "qwen3_vl_moe": "qwen3vlmoe", "seed_oss": "seed_oss",
    "smollm3": "smollm3", "whisper": "whisper",
}  # fmt: skip
"""``model_type`` of a configuration → ``general.architecture`` of its GGUF file."""

# What follows model.layers.N. or stands alone, in Hugging Face's names and in llama.cpp's.
# The norms are those of the LLaMA form; other families give post_attention_layernorm elsewhere.
GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp", "mlp.experts.{expert}.gate_proj": "ffn_gate_exps",
    "mlp.experts.{expert}.up_proj": "ffn_up_exps", "mlp.experts.{expert}.down_proj":
    "ffn_down_exps", "block_sparse_moe.experts.{expert}.w1": "ffn_gate_exps",
    "block_sparse_moe.experts.{expert}.w3": "ffn_up_exps",
    "block_sparse_moe.experts.{expert}.w2": "ffn_down_exps",
    # latent attention and its indexer
    "self_attn.q_a_proj": "attn_q_a", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.indexer.wq_b": "indexer.attn_q_b",
    "self_attn.indexer.wk": "indexer.attn_k", "self_attn.indexer.weights_proj": "indexer.proj",
    # shared experts
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj":
    "ffn_up_shexp", "mlp.shared_experts.down_proj": "ffn_down_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp", "mlp.shared_expert.up_proj":
    "ffn_up_shexp", "mlp.shared_expert.down_proj": "ffn_down_shexp",
    # a prediction layer lies behind the stack
    "eh_proj": "nextn.eh_proj", "embed_tokens": "nextn.embed_tokens",
    "shared_head.head": "nextn.shared_head_head", "mtp.fc": "nextn.eh_proj",
    # gated delta nets
    "linear_attn.in_proj_qkv": "attn_qkv", "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_b": "ssm_beta", "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.in_proj_ba": "ssm_ba", "linear_attn.out_proj": "ssm_out",
    # experts of a layer in one tensor, and what was fused before the release
    "mlp.experts.down_proj": "ffn_down_exps", "experts.down_proj": "ffn_down_exps",
    "experts.gate_up_proj": "ffn_gate_up_exps", "router.proj": "ffn_gate_inp",
    "mlp.router": "ffn_gate_inp", "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up",
    # Llama 4
    "feed_forward.gate_proj": "ffn_gate", "feed_forward.up_proj": "ffn_up",
    "feed_forward.down_proj": "ffn_down", "feed_forward.router": "ffn_gate_inp",
    "feed_forward.experts.down_proj": "ffn_down_exps",
    "feed_forward.shared_expert.gate_proj": "ffn_gate_shexp",
    "feed_forward.shared_expert.up_proj": "ffn_up_shexp",
    "feed_forward.shared_expert.down_proj": "ffn_down_shexp",
    # Phi-2, Nemotron-NAS, Gemma 3n
    "self_attn.dense": "attn_output", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
    "self_attn.linear_attn": "attn_output", "per_layer_input_gate": "inp_gate",
    "per_layer_projection": "proj", "model.embed_tokens_per_layer": "per_layer_token_embd",
    # Granite's experts, Jamba, LFM2
    "block_sparse_moe.router.layer": "ffn_gate_inp",
    "block_sparse_moe.output_linear": "ffn_down_exps", "feed_forward.w1": "ffn_gate",
    "feed_forward.w3": "ffn_up", "feed_forward.w2": "ffn_down",
    "feed_forward.experts.{expert}.gate_proj": "ffn_gate_exps",
    "feed_forward.experts.{expert}.up_proj": "ffn_up_exps",
    "feed_forward.experts.{expert}.down_proj": "ffn_down_exps",
    "feed_forward.gate": "ffn_gate_inp", "feed_forward.experts.{expert}.w1": "ffn_gate_exps",
    "feed_forward.experts.{expert}.w3": "ffn_up_exps",
    "feed_forward.experts.{expert}.w2": "ffn_down_exps", "conv.in_proj": "shortconv.in_proj",
    "conv.out_proj": "shortconv.out_proj", "self_attn.out_proj": "attn_output",
    # Mamba, and Nemotron-H, whose layers are one block
    "mamba.in_proj": "ssm_in", "mamba.x_proj": "ssm_x", "mamba.dt_proj": "ssm_dt",
    "mamba.out_proj": "ssm_out", "backbone.embeddings": "token_embd", "mixer.in_proj": "ssm_in",
    "mixer.x_proj": "ssm_x", "mixer.dt_proj": "ssm_dt", "mixer.out_proj": "ssm_out",
    "mixer.q_proj": "attn_q", "mixer.k_proj": "attn_k", "mixer.v_proj": "attn_v",
    "mixer.o_proj": "attn_output", "mixer.gate": "ffn_gate_inp", "mixer.up_proj": "ffn_up",
    "mixer.down_proj": "ffn_down", "mixer.experts.{expert}.up_proj": "ffn_up_exps",
    "mixer.experts.{expert}.down_proj": "ffn_down_exps",
    "mixer.shared_experts.up_proj": "ffn_up_shexp",
    "mixer.shared_experts.down_proj": "ffn_down_shexp",
    "mixer.fc1_latent_proj": "ffn_latent_down", "mixer.fc2_latent_proj": "ffn_latent_up",
    # GPT-2
    "wte": "token_embd", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
    # DeepSeek-V4
    "embed": "token_embd", "head": "output", "attn.wq_a": "attn_q_a", "attn.wq_b": "attn_q_b",
    "attn.wkv": "attn_kv", "attn.wo_a": "attn_output_a", "attn.wo_b": "attn_output_b",
    "attn.compressor.wkv": "attn_compressor_kv", "attn.compressor.wgate": "attn_compressor_gate",
    "attn.indexer.wq_b": "indexer.attn_q_b", "attn.indexer.weights_proj": "indexer.proj",
    "attn.indexer.compressor.wkv": "indexer_compressor_kv",
    "attn.indexer.compressor.wgate": "indexer_compressor_gate", "ffn.gate": "ffn_gate_inp",
    "ffn.experts.{expert}.w1": "ffn_gate_exps", "ffn.experts.{expert}.w3": "ffn_up_exps",
    "ffn.experts.{expert}.w2": "ffn_down_exps", "ffn.shared_experts.w1": "ffn_gate_shexp",
    "ffn.shared_experts.w3": "ffn_up_shexp", "ffn.shared_experts.w2": "ffn_down_shexp",
}  # fmt: skip
# One tensor of a checkpoint that the converter cuts into several.
SPLIT_NAMES = {
    "self_attn.kv_b_proj": ("attn_k_b", "attn_v_b"),
    "linear_attn.in_proj_qkvz": ("attn_qkv", "attn_gate"),
    "mlp.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"),
    "feed_forward.experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"),
    "block_sparse_moe.input_linear": ("ffn_gate_exps", "ffn_up_exps"),
}
# Granite's MLP that every token passes: beside experts it is the shared one, else the only one.
_SHARED_OR_ONLY = {
    "shared_mlp.input_linear": (("ffn_gate_shexp", "ffn_up_shexp"), ("ffn_gate", "ffn_up")),
    "shared_mlp.output_linear": (("ffn_down_shexp",), ("ffn_down",)),
}
# Other names for the same weights: older files, or files with gate and up of the experts joined.
_ALIASES = {
    "attn_kv_b": ("attn_k_b", "attn_v_b"), "ssm_in": ("attn_qkv", "attn_gate"),
    "ffn_gate_up_exps": ("ffn_gate_exps", "ffn_up_exps"), "ffn_gate_exps": ("ffn_gate_up_exps",),
    "ffn_up_exps": ("ffn_gate_up_exps",),
}  # fmt: skip
# Matrices by shape that no GGUF file quantises: position tables, and a gate that is a vector.
_PLAIN_THERE = frozenset({
    "wpe", "mlp.shared_expert_gate", "attn.compressor.ape", "attn.indexer.compressor.ape",
    "laurel.linear_left", "laurel.linear_right", "model.per_layer_model_projection",
    "ffn_gate_inp_shexp", "laurel_l", "laurel_r", "per_layer_model_proj",
})  # fmt: skip
_NOT_THERE = ("vision", "audio", "lookup", "unused")
_NEVER_NARROWED = ("altup_", "altup.")
"""In names of Gemma 3n: not too big, so llama.cpp keeps them as they are (llama-quant.cpp)."""
# DeepSeek-V4's prediction layer has two input projections, which llama.cpp has one name for.
_WITHOUT_PREDICTION = frozenset({"deepseek_v4", "deepseek_ref"})
# Published files have a prediction layer even where the configuration at hand names none.
_ALWAYS_PREDICTS = frozenset({"glm4_moe"})
_PREDICTION = ("nextn.eh_proj", "nextn.embed_tokens", "nextn.shared_head_head")
_IN_LAYER = re.compile(r"(?:model\.|mtp\.|backbone\.)?(?:layers|h|blk)\.(?:\{layer\}|\d+)\.(.+)")


_OWN_NAMES = frozenset(GGUF_NAMES.values()) | {n for names in SPLIT_NAMES.values() for n in names}


@record
class GgufMatrix:
    """A matrix, or a stack of experts' matrices, of a GGUF file.

    ``name`` is whole ("blk.3.attn_q.weight"), ``kind`` the module kind of its rows, ``layer`` None
    outside the stack (a prediction layer counts on behind it). ``rows`` are the names of the
    checkpoint rows (templates, as in the ModelSpec) that its weights are from; () for a prediction
    layer that published files have and the configuration does not name.
    """

    name: str
    kind: str
    layer: int | None
    rows: tuple[str, ...]


def gguf_matrices(spec: ModelSpec) -> tuple[GgufMatrix, ...]:
    """The matrices that quantise in the GGUF file of ``spec``, routers with them; each name once.

    Norms, biases, convolutions and position tables are left out, and the vision tower, which is a
    file of its own. A tied head has no tensor: ``token_embd.weight`` is it. Prediction layers are
    there though older files lack them.

    Raises:
        UnsupportedError: an architecture or a tensor that llama.cpp has no name for.
    """
    if spec.model_type not in ARCHITECTURES:
        raise UnsupportedError(
            f"{spec.id}: llama.cpp has no architecture for model type {spec.model_type}",
            hint="GGUF names are known for " + ", ".join(sorted(ARCHITECTURES)),
        )
    matrices = [matrix for row in spec.rows if _is_there(row, spec) for matrix in _of(row, spec)]
    if spec.model_type in _ALWAYS_PREDICTS and not spec.mtp_layers:
        matrices += _unnamed_prediction(matrices, spec.layers)
    return tuple(matrices)


def gguf_alias(spec: ModelSpec) -> Mapping[str, tuple[str, ...]]:
    """Further names for matrices of ``spec``: older or joined tensor → names in gguf_matrices.

    "blk.0.attn_kv_b.weight" → k_b and v_b of layer 0. A name that gguf_matrices has is no key.

    Raises:
        UnsupportedError: as gguf_matrices.
    """
    names = {matrix.name for matrix in gguf_matrices(spec)}
    stems_by_name: dict[str, tuple[str, ...]] = {}
    for layer in sorted(
        {matrix.layer for matrix in gguf_matrices(spec) if matrix.layer is not None}
    ):
        for alias, stems in _ALIASES.items():
            name = _tensor_name(alias, layer)
            parts = tuple(_tensor_name(stem, layer) for stem in stems)
            if name not in names and names.issuperset(parts):
                stems_by_name[name] = parts
    return stems_by_name


def _unnamed_prediction(matrices: Iterable[GgufMatrix], layer: int) -> list[GgufMatrix]:
    """The matrices of a prediction layer ``layer``, which is built as the layer before it."""
    last = f"blk.{layer - 1}."
    names = [matrix.name.removeprefix(last) for matrix in matrices if matrix.name.startswith(last)]
    names += [f"{stem}.weight" for stem in _PREDICTION]
    return [GgufMatrix(f"blk.{layer}.{name}", "mtp", layer, ()) for name in names]


def _tensor_name(stem: str, layer: int | None) -> str:
    return f"{stem}.weight" if layer is None else f"blk.{layer}.{stem}.weight"


def _stem(row: TensorRow) -> tuple[str, bool]:
    """What ``row`` is called after its layer's prefix, and whether it has one."""
    return _stem_of(row.name)


def _stem_of(name: str) -> tuple[str, bool]:
    name = name.removesuffix(".weight").removeprefix("language_model.")
    name = name.replace("model.language_model.", "model.", 1)
    inside = _IN_LAYER.fullmatch(name)
    return (inside[1], True) if inside else (name, False)


def _names(stem: str, kind: str = "") -> tuple[str, ...]:
    """The GGUF names of a stem; rows that were read from a GGUF file have them already."""
    if stem in _SHARED_OR_ONLY:
        shared, only = _SHARED_OR_ONLY[stem]
        return only if kind.startswith("mlp-") else shared if kind else (*shared, *only)
    if stem in SPLIT_NAMES:
        return SPLIT_NAMES[stem]
    if stem in GGUF_NAMES:
        return (GGUF_NAMES[stem],)
    return (stem,) if stem in _OWN_NAMES else ()


def _is_there(row: TensorRow, spec: ModelSpec) -> bool:
    if not row.is_matrix or row.kind == "norm" or row.part in _NOT_THERE:
        return False
    if row.part == "mtp" and spec.model_type in _WITHOUT_PREDICTION:
        return False
    stem = _stem(row)[0]
    return stem not in _PLAIN_THERE and not any(part in stem for part in _NEVER_NARROWED)


def gguf_stems(row_name: str) -> tuple[str, ...]:
    """What follows ``blk.N.`` in the GGUF names of the matrices that come of a row in a layer
    (``model.layers.{layer}.mlp.down_proj`` → ffn_down), older and joined tensors with them; none
    where the name is not known, or stands outside the stack."""
    stem, inside = _stem_of(row_name)
    if not inside:
        return ()
    names = _names(stem)
    return (
        *names,
        *(alias for alias, parts in _ALIASES.items() if names == parts and alias not in names),
    )


def _of(row: TensorRow, spec: ModelSpec) -> Iterator[GgufMatrix]:
    stem, inside = _stem(row)
    names = _names(stem, row.kind)
    if not names:
        raise UnsupportedError(
            f"{spec.id}: {row.name} has no name in GGUF files that is known",
            hint="name the module as the checkpoint does",
        )
    # What joins a prediction layer's inputs is outside its stack in some checkpoints.
    joins = (spec.layers,) if row.part == "mtp" else (None,)
    for layer in row.layers if inside else joins:
        for name in names:
            yield GgufMatrix(_tensor_name(name, layer), row.kind, layer, (row.name,))
