"""Other sizes of a configuration, the same for the same number every time.

Widths, heads, layers, experts, ties, windows and how often a layer has experts are drawn anew; what
must fit together is drawn together, and lists of layers are continued as they begin.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

COUNT = 10
"""Drawn configurations of a reference."""
MOST_LAYERS = 9
_WIDTHS = ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size",
           "intermediate_size_mlp", "moe_shared_expert_intermediate_size", "ffn_hidden_size",
           "dense_intermediate_size", "n_inner", "shared_intermediate_size", "moe_latent_size",
           "expert_intermediate_size", "dense_intermediate_size", "block_ff_dim")  # fmt: skip
_EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts",
            "num_experts_per_layer")  # fmt: skip
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts",
           "experts_per_token")  # fmt: skip
_WINDOWS = ("sliding_window", "sliding_window_size", "attention_chunk_size")
_ONE_SHARED = ("deepseek_v4", "deepseek_ref")
"""Types whose class builds one shared expert, whatever the key says."""
_LAYERS = ("n_layer", "num_hidden_layers", "num_layers")
_BY_LETTER = "hybrid_override_pattern"
"""The key that names the kind of every layer by one letter."""
_TO_TEXT = ("out_hidden_size", "text_hidden_size", "projector_output_dim")
"""Widths of an encoder that are the text model's."""
_SECTIONED = ("glm4v_text", "qwen2_vl_text", "qwen2_5_vl_text", "qwen2_5_omni_text")
"""Types whose classes share a head's width among time, height and width, by default 128 elements.
"""
_HEADS = (("num_attention_heads", "num_key_value_heads"), ("n_head", ""))


def drawn(config: dict[str, Any], number: int) -> dict[str, Any]:
    """``config`` with the sizes of draw ``number``; other configurations inside it but the text
    model's stay."""
    found = copy.deepcopy(config)
    found.pop("quantization_config", None)
    whole = found.get("thinker_config") if isinstance(found.get("thinker_config"), dict) else found
    text = whole.get("text_config") if isinstance(whole.get("text_config"), dict) else whole
    text.pop("quantization_config", None)
    rng = random.Random(f"{config.get('model_type')} {number}")
    _layers(text, rng)
    _attention(text, rng)
    _feed_forward(text, rng)
    _ends(whole, text, rng)
    _together(text, config_of_text(config))
    return found


def config_of_text(config: dict[str, Any]) -> dict[str, Any]:
    """The text model's part of ``config``."""
    for name in ("thinker_config", "text_config"):
        config = config[name] if isinstance(config.get(name), dict) else config
    return config


def _layers(text: dict[str, Any], rng: random.Random) -> None:
    name = next((key for key in _LAYERS if key in text), "num_hidden_layers")
    old = text.get(name)
    if not isinstance(old, int):
        return
    new = rng.randint(2, min(MOST_LAYERS, max(old, 2)))
    text[name] = new
    after = text.get("num_nextn_predict_layers") or 0
    for key, value in list(text.items()):
        if isinstance(value, list) and len(value) in (old, old + after):
            text[key] = [value[layer % old] for layer in range(new)] + value[old:]
        elif key == _BY_LETTER and isinstance(value, str):
            text[key] = "".join(value[layer % old] for layer in range(new))
    by_layer = text.get("per_layer_config")
    if isinstance(by_layer, dict) and by_layer:
        kept = {layer: values for layer, values in by_layer.items() if int(layer) < new - 1}
        text["per_layer_config"] = kept | {str(new - 1): next(iter(by_layer.values()))}
        text["layer_types"][-1] = "full_attention"  # as Gemma 4's class makes the last layer
    for key in ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"):
        if isinstance(text.get(key), int) and "mlp_layer_types" not in text:
            text[key] = rng.randint(0, 2)
    for key in ("decoder_sparse_step", "interleave_moe_layer_step"):
        if isinstance(text.get(key), int) and text[key] > 1:
            text[key] = rng.choice((1, 2, 3))
    if text.get("num_kv_shared_layers"):
        kinds = text.get("layer_types") or [""]
        text["num_kv_shared_layers"] = int(kinds[-1] in kinds[:-1])
    if "max_window_layers" in text:
        text["max_window_layers"] = new


def _attention(text: dict[str, Any], rng: random.Random) -> None:
    for heads, keys in _HEADS:
        if not isinstance(text.get(heads), int):
            continue
        same = keys in text and text[keys] == text[heads]
        shared, times = rng.choice((1, 2, 4)), rng.choice((1, 2, 4))
        text[heads] = shared * times
        if keys in text and text[keys] is not None:
            text[keys] = text[heads] if same else 1 if text[keys] == 1 else shared
        if isinstance(text.get("num_global_key_value_heads"), int):
            text["num_global_key_value_heads"] = 1
        width = "n_embd" if heads == "n_head" else "hidden_size"
        step = 32 * text[heads]
        if isinstance(text.get("head_dim"), int) and not _fixed_head(text):
            text["head_dim"] = rng.choice((32, 64, 96))
            step = 32
        if isinstance(text.get(width), int):
            text[width] = step * rng.randint(2, 6)
    if all(isinstance(text.get(key), int) for key in ("mamba_n_heads", "mamba_expand")):
        text["mamba_d_head"] = 32  # heads and their width make the expanded width
        text["mamba_n_heads"] = text["hidden_size"] * text["mamba_expand"] // 32
        if isinstance(text.get("mamba_d_ssm"), int):
            text["mamba_d_ssm"] = 32 * text["mamba_n_heads"]
    for key, low in (
        ("q_lora_rank", 3),
        ("kv_lora_rank", 2),
        ("v_head_dim", 1),
        ("qk_nope_head_dim", 1),
    ):
        if isinstance(text.get(key), int):
            text[key] = 32 * rng.randint(low, low + 3)
    if isinstance(text.get("qk_nope_head_dim"), int) and "qk_head_dim" in text:
        text["qk_head_dim"] = text["qk_nope_head_dim"] + text["qk_rope_head_dim"]
    windows = [key for key in _WINDOWS if isinstance(text.get(key), int)]
    if windows:
        text.update(dict.fromkeys(windows, 64 * rng.randint(1, 8)))
    if isinstance(text.get("linear_num_key_heads"), int):
        text["linear_num_key_heads"] = rng.choice((1, 2))
        text["linear_num_value_heads"] = text["linear_num_key_heads"] * rng.choice((1, 2, 4))


def _together(text: dict[str, Any], old: dict[str, Any]) -> None:
    """What follows from other sizes: windowed layers' heads where they are stated apart (twice the
    key heads, as in the release), sections of rotated widths, experts that do nothing."""
    if isinstance(text.get("swa_num_key_value_heads"), int):
        if text["num_attention_heads"] == text["num_key_value_heads"]:
            text["num_attention_heads"] *= 2
        text["swa_num_key_value_heads"] = 2 * text["num_key_value_heads"]
        for key in ("num_attention_heads", "head_dim", "v_head_dim"):
            text[f"swa_{key}"] = text[key]
    for key in ("rope_scaling", "rope_parameters"):
        place = text.get(key)
        if isinstance(place, dict) and isinstance(place.get("mrope_section"), list):
            total = sum(place["mrope_section"]) * _head_width(text) // _head_width(old)
            place["mrope_section"] = [total - 2 * (total // 3), total // 3, total // 3]
    place = text.get("rope_parameters")
    if text.get("model_type") in _SECTIONED and isinstance(place, dict):
        half = _head_width(text) // 2
        place.setdefault("mrope_section", [half - 2 * (half // 3), half // 3, half // 3])
    if text.get("zero_expert_num"):
        text["zero_expert_num"] = text["n_routed_experts"] // 2


def _head_width(text: dict[str, Any]) -> int:
    stated = text.get("head_dim")
    if isinstance(stated, int):
        return stated
    return int(text["hidden_size"]) // int(text["num_attention_heads"])


def _fixed_head(text: dict[str, Any]) -> bool:
    """Whether the key only repeats another width."""
    return "qk_rope_head_dim" in text or "kv_lora_rank" in text


def _feed_forward(text: dict[str, Any], rng: random.Random) -> None:
    for key in _WIDTHS:
        if isinstance(text.get(key), int) and text[key] > 0:
            text[key] = 32 * rng.randint(1, 12)
    count, groups = rng.choice((4, 8, 12)), rng.choice(((1, 1), (2, 1), (2, 2)))
    for key in _EXPERTS:
        if isinstance(text.get(key), int) and text[key] > 1:
            text[key] = count
    for key in _CHOSEN:
        if isinstance(text.get(key), int) and text[key] > 0:
            text[key] = min(rng.choice((1, 2, 4)), count // groups[0] * groups[1])
    for key in ("n_group", "num_expert_group"):
        if isinstance(text.get(key), int):
            text[key], text["topk_group"] = groups
    shared = text.get("n_shared_experts")
    if isinstance(shared, int) and shared and text.get("model_type") not in _ONE_SHARED:
        text["n_shared_experts"] = rng.choice((1, 2))


def _ends(found: dict[str, Any], text: dict[str, Any], rng: random.Random) -> None:
    if isinstance(text.get("vocab_size"), int):
        text["vocab_size"] = rng.randint(300, 3000)
    encoder, ear = found.get("vision_config"), found.get("audio_config")
    for key in _TO_TEXT if isinstance(encoder, dict) else ():
        if key in encoder:
            encoder[key] = text.get("hidden_size")
    if isinstance(encoder, dict) and "embed_dim" in encoder and "hidden_size" in encoder:
        encoder["hidden_size"] = text.get("hidden_size")  # Qwen2-VL: what the encoder gives out
    if isinstance(ear, dict) and "output_dim" in ear:
        ear["output_dim"] = text.get("hidden_size")
    tied = rng.random() < 0.5
    for place in (found, text):
        for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if key in place or (key == "pad_token_id" and place is text):
                place[key] = 0
        if "tie_word_embeddings" in place:
            place["tie_word_embeddings"] = tied


def draws(config: dict[str, Any], count: int = COUNT) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, configuration) of every draw."""
    for number in range(count):
        yield number, drawn(config, number)
