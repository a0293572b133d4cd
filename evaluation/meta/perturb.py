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
_WINDOWS = ("sliding_window", "attention_chunk_size")
_HEADS = (("num_attention_heads", "num_key_value_heads"), ("n_head", ""))


def drawn(config: dict[str, Any], number: int) -> dict[str, Any]:
    """``config`` with the sizes of draw ``number``; other configurations inside it but the text
    model's stay."""
    found = copy.deepcopy(config)
    found.pop("quantization_config", None)
    text = found.get("text_config") if isinstance(found.get("text_config"), dict) else found
    text.pop("quantization_config", None)
    rng = random.Random(f"{config.get('model_type')} {number}")
    _layers(text, rng)
    _attention(text, rng)
    _feed_forward(text, rng)
    _ends(found, text, rng)
    return found


def _layers(text: dict[str, Any], rng: random.Random) -> None:
    name = "n_layer" if "n_layer" in text else "num_hidden_layers"
    old = text.get(name)
    if not isinstance(old, int):
        return
    new = rng.randint(2, min(MOST_LAYERS, max(old, 2)))
    text[name] = new
    after = text.get("num_nextn_predict_layers") or 0
    for key, value in list(text.items()):
        if isinstance(value, list) and len(value) in (old, old + after):
            text[key] = [value[layer % old] for layer in range(new)] + value[old:]
    for key in ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"):
        if isinstance(text.get(key), int) and "mlp_layer_types" not in text:
            text[key] = rng.randint(0, 2)
    for key in ("decoder_sparse_step", "interleave_moe_layer_step"):
        if isinstance(text.get(key), int) and text[key] > 1:
            text[key] = rng.choice((1, 2, 3))
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
    for key, low in (("q_lora_rank", 3), ("kv_lora_rank", 2), ("v_head_dim", 1),
                     ("qk_nope_head_dim", 1)):
        if isinstance(text.get(key), int):
            text[key] = 32 * rng.randint(low, low + 3)
    if isinstance(text.get("qk_nope_head_dim"), int) and "qk_head_dim" in text:
        text["qk_head_dim"] = text["qk_nope_head_dim"] + text["qk_rope_head_dim"]
    for key in _WINDOWS:
        if isinstance(text.get(key), int):
            text[key] = 64 * rng.randint(1, 8)
    if isinstance(text.get("linear_num_key_heads"), int):
        text["linear_num_key_heads"] = rng.choice((1, 2))
        text["linear_num_value_heads"] = text["linear_num_key_heads"] * rng.choice((1, 2, 4))


def _fixed_head(text: dict[str, Any]) -> bool:
    """Whether the key only repeats another width."""
    return "qk_rope_head_dim" in text or "kv_lora_rank" in text


def _feed_forward(text: dict[str, Any], rng: random.Random) -> None:
    for key in _WIDTHS:
        if isinstance(text.get(key), int) and text[key] > 0:
            text[key] = 32 * rng.randint(1, 12)
    count = rng.choice((4, 8, 12))
    for key in _EXPERTS:
        if isinstance(text.get(key), int) and text[key] > 1:
            text[key] = count
    for key in _CHOSEN:
        if isinstance(text.get(key), int) and text[key] > 0:
            text[key] = min(rng.choice((1, 2, 4)), count)
    if isinstance(text.get("n_group"), int):
        text["n_group"], text["topk_group"] = rng.choice(((1, 1), (2, 1), (2, 2)))
    if isinstance(text.get("n_shared_experts"), int) and text["n_shared_experts"] > 0:
        text["n_shared_experts"] = rng.choice((1, 2))


def _ends(found: dict[str, Any], text: dict[str, Any], rng: random.Random) -> None:
    if isinstance(text.get("vocab_size"), int):
        text["vocab_size"] = rng.randint(300, 3000)
    tied = rng.random() < 0.5
    for place in (found, text):
        for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if key in place:
                place[key] = 0
        if "tie_word_embeddings" in place:
            place["tie_word_embeddings"] = tied


def draws(config: dict[str, Any], count: int = COUNT) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, configuration) of every draw."""
    for number in range(count):
        yield number, drawn(config, number)
