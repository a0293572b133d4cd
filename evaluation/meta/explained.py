"""Why a type's tensors differ between this program and transformers, where that is known."""

from __future__ import annotations

_UNTIED = "the class never ties embeddings, whatever the configuration says; no release ties them"
_BORROWED = "transformers leaves out projections of borrowed caches, which releases store"
_TALKER = "the part that speaks is named as not counted here"
_APART = "releases store experts one by one, and transformers does not say so: the same total"

EXPLAINED = {
    "bailing_hybrid": _UNTIED, "kimi_linear": _UNTIED, "nemotron_h": _UNTIED,
    "gemma3n": _BORROWED, "gemma3n_text": _BORROWED,
    "glm4v": "the class has biases of queries, keys and values even where attention_bias is false; "
             "releases say true",
    "glm5_next_text": "transformers has the model without its head alone",
    "longcat_flash": "the draw changes one of two names for the number of experts",
    "minimax_m3_vl_text": _APART, "mistral4": _APART,
    "mistral3": "the class ties where the whole configuration is silent; releases store the head",
    "qwen3_5_moe": "releases store a layer's experts in one tensor, transformers gives back each "
                   "by itself: the same total",
    "qwen3_vl_moe": "a layer's experts lie turned in one of the two: the same total, open",
    "step3p7": "the class builds an encoder that the drawn configuration does not state",
    "qwen2_5_omni": _TALKER, "qwen3_omni_moe": _TALKER,
}  # fmt: skip
