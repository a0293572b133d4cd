"""Metadata of GGUF files of models with state-space or convolution layers, in the keys of their
configurations.

Sources: ggml-org/llama.cpp src/models/*.cpp and conversion/*.py. A layer without key and value
heads is none of attention. llama.cpp keeps states in F32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner.base.errors import DataError
from planner.models.gguf_header import DAMAGED, Config, Metadata, heads, sizes

_NO_HEADS = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 1}
"""What is asked for, and nothing reads, where no layer attends."""
_STATE = {"mamba_ssm_cache_dtype": "float32"}


def _attending(meta: Metadata) -> tuple[bool, ...]:
    return tuple(count > 0 for count in meta.each("attention.head_count_kv", meta.layers))


def _mamba2(meta: Metadata) -> Config:
    """A Mamba-2 mixer in the keys of Granite and Falcon-H1."""
    count, inner = meta.integer("ssm.time_step_rank"), meta.integer("ssm.inner_size")
    return {
        "mamba_n_heads": count, "mamba_d_head": inner // max(1, count),
        "mamba_n_groups": meta.integer("ssm.group_count", 1),
        "mamba_d_state": meta.integer("ssm.state_size"),
        "mamba_d_conv": meta.integer("ssm.conv_kernel"),
        "mamba_conv_bias": meta.holds("ssm_conv1d.bias"),
        "mamba_proj_bias": meta.holds("ssm_in.bias"), **_STATE,
    }  # fmt: skip


def _granite_hybrid(meta: Metadata) -> Config:
    """Without experts the shared MLP is the only one, and is named as a dense one."""
    experts = meta.integer("expert_count", 0)
    width = meta.integer("feed_forward_length")
    hidden = max(1, meta.integer("embedding_length"))
    return sizes(meta) | heads(meta) | _mamba2(meta) | {
        "model_type": "granitemoehybrid", "num_local_experts": experts,
        "num_experts_per_tok": meta.integer("expert_used_count", 0), "intermediate_size": width,
        "shared_intermediate_size": meta.integer("expert_shared_feed_forward_length",
                                               0 if experts else width),
        "mamba_expand": meta.integer("ssm.inner_size") // hidden,
        "layer_types": ["attention" if own else "mamba" for own in _attending(meta)],
    }  # fmt: skip


def _block(meta: Metadata, layer: int) -> str:
    """The letter of a layer of one block, by the tensors that it has."""
    for letter, stem in (("M", "ssm_in"), ("*", "attn_q"), ("E", "ffn_up_exps"), ("-", "ffn_up")):
        if f"blk.{layer}.{stem}.weight" in meta.shapes:
            return letter
    raise DataError(f"{meta.place}: layer {layer} has no block that is understood", hint=DAMAGED)


def _nemotron_h(meta: Metadata) -> Config:
    """Blocks one after the other; Mamba-2 is such a model with one kind of block."""
    blocks = "".join(_block(meta, layer) for layer in range(meta.layers))
    count, inner = meta.integer("ssm.time_step_rank"), meta.integer("ssm.inner_size")
    dense = blocks.find("-")
    config = sizes(meta) | (heads(meta) if "*" in blocks else _NO_HEADS) | {
        "model_type": "nemotron_h", "hybrid_override_pattern": blocks,
        "intermediate_size": meta.width(f"blk.{dense}.ffn_up.weight")
        or meta.integer("expert_feed_forward_length", 1),
        "mamba_num_heads": count, "mamba_head_dim": inner // max(1, count),
        "n_groups": meta.integer("ssm.group_count"),
        "ssm_state_size": meta.integer("ssm.state_size"),
        "conv_kernel": meta.integer("ssm.conv_kernel"), "use_bias": meta.holds("ssm_in.bias"),
        "use_conv_bias": meta.holds("ssm_conv1d.bias"), "mlp_bias": meta.holds("ffn_up.bias"),
        "attention_bias": meta.holds("attn_q.bias"), **_STATE,
    }  # fmt: skip
    if "E" in blocks:
        config |= {
            "n_routed_experts": meta.integer("expert_count"),
            "num_experts_per_tok": meta.integer("expert_used_count"),
            "moe_intermediate_size": meta.integer("expert_feed_forward_length"),
            "n_shared_experts": meta.integer("expert_shared_count", 0),
            "moe_shared_expert_intermediate_size":
                meta.integer("expert_shared_feed_forward_length", 0),
            "n_group": meta.integer("expert_group_count", 1),
            "topk_group": meta.integer("expert_group_used_count", 1),
        }  # fmt: skip
        if meta.has("moe_latent_size"):
            config["moe_latent_size"] = meta.integer("moe_latent_size")
    return config


def _falcon_h1(meta: Metadata) -> Config:
    biases = meta.holds("ssm_in.bias")
    return sizes(meta) | heads(meta) | _mamba2(meta) | {
        "model_type": "falcon_h1", "intermediate_size": meta.integer("feed_forward_length"),
        "mamba_d_ssm": meta.integer("ssm.inner_size"), "projectors_bias": biases,
        "mamba_rms_norm": meta.holds("ssm_norm.weight"), "mlp_bias": meta.holds("ffn_up.bias"),
        "attention_bias": meta.holds("attn_q.bias"),
    }  # fmt: skip


def _spaced(meta: Metadata, name: str, marked: tuple[bool, ...]) -> Config:
    """Marked layers as a period and an offset.

    Raises:
        DataError: they do not repeat.
    """
    own = [layer for layer, is_marked in enumerate(marked) if is_marked]
    if not own:  # an offset that no layer has
        return {f"{name}_period": 2 * len(marked), f"{name}_offset": 2 * len(marked) - 1}
    period = own[1] - own[0] if len(own) > 1 else len(marked)
    if [n for n in range(len(marked)) if n % period == own[0] % period] != own:
        raise DataError(f"{meta.place}: the layers of {name} do not repeat", hint=DAMAGED)
    return {f"{name}_period": period, f"{name}_offset": own[0] % period}


def _jamba(meta: Metadata) -> Config:
    hidden = max(1, meta.integer("embedding_length"))
    routed = tuple(f"blk.{n}.ffn_gate_inp.weight" in meta.shapes for n in range(meta.layers))
    return sizes(meta) | heads(meta) | {
        "model_type": "jamba", "intermediate_size": meta.integer("feed_forward_length"),
        "num_experts": meta.integer("expert_count", 1) if any(routed) else 1,
        "num_experts_per_tok": meta.integer("expert_used_count", 1),
        "mamba_d_state": meta.integer("ssm.state_size"),
        "mamba_d_conv": meta.integer("ssm.conv_kernel"),
        "mamba_dt_rank": meta.integer("ssm.time_step_rank"),
        "mamba_expand": meta.integer("ssm.inner_size") // hidden,
        "mamba_conv_bias": meta.holds("ssm_conv1d.bias"),
        "mamba_proj_bias": meta.holds("ssm_in.bias"),
        **_spaced(meta, "attn_layer", _attending(meta)), **_spaced(meta, "expert_layer", routed),
    }  # fmt: skip


def _lfm2(meta: Metadata) -> Config:
    config = sizes(meta) | heads(meta) | {
        "model_type": "lfm2", "intermediate_size": meta.integer("feed_forward_length"),
        "conv_L_cache": meta.integer("shortconv.l_cache"),
        "conv_bias": meta.holds("shortconv.conv.bias"),
        "layer_types": ["full_attention" if own else "conv" for own in _attending(meta)],
    }  # fmt: skip
    if not meta.has("expert_count"):
        return config | {"block_auto_adjust_ff_dim": False}
    return config | {
        "model_type": "lfm2_moe", "num_experts": meta.integer("expert_count"),
        "num_experts_per_tok": meta.integer("expert_used_count"),
        "moe_intermediate_size": meta.integer("expert_feed_forward_length"),
        "num_dense_layers": meta.integer("leading_dense_block_count", 0),
        "use_expert_bias": meta.holds("exp_probs_b.bias"),
    }  # fmt: skip


HYBRIDS: Mapping[str, Callable[[Metadata], Config]] = {
    "falcon-h1": _falcon_h1, "granitehybrid": _granite_hybrid, "jamba": _jamba, "lfm2": _lfm2,
    "lfm2moe": _lfm2, "mamba2": _nemotron_h, "nemotron_h": _nemotron_h,
    "nemotron_h_moe": _nemotron_h,
}  # fmt: skip
