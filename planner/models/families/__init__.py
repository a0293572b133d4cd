"""Model families: plain decoders are rows of ``plain.KINDS``, any other is a file with a ``build``.

Adding one: list its types here.

Types that generate nothing token by token, or attend to an encoder, are refused with what they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from planner.base.errors import UnknownNameError, UnsupportedError
from planner.base.strict_json import short_repr
from planner.models.fields import GENERIC, Fields, listed
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec

Builder = Callable[[Fields, str, Provenance], ModelSpec]

# Only the family that is asked for is imported; a test compares this with each family's own list.
FAMILY_OF: dict[str, str] = {
    **dict.fromkeys(("apertus", "arcee", "cwm", "flex_olmo", "granite_swa", "internlm3",
                     "iquestcoder", "jais2", "nemotron", "stablelm", "vaultgemma"), "plain"),
    **dict.fromkeys(("afmoe", "cohere2_moe", "ernie4_5_moe", "exaone_moe", "flint",
                     "hunyuan_v1_moe", "hy_v3", "kolibri1", "laguna", "mellum"), "routed"),
    **dict.fromkeys(("cohere2_vision", "glm_ocr", "idefics3", "internvl", "internvl_chat",
                     "lfm2_vl", "lighton_ocr", "llava", "llava_next", "llava_onevision",
                     "paligemma", "smolvlm"), "seeing"),
    **dict.fromkeys(("falcon_mamba", "mamba", "mamba2"), "mamba_alone"),
    **dict.fromkeys(("baichuan", "bloom", "chatglm", "exaone", "falcon", "gpt_bigcode", "gpt_neox",
                     "gptj", "hyperclovax", "internlm2", "minicpm", "opt", "persimmon", "qwen",
                     "starcoder2", "PanguEmbedded", "TeleFLM", "xverse"), "renamed"),
    "axk1": "deepseek", "sarvam_mla": "deepseek", "sarvam_moe": "bailing",
    "gemma4_unified": "gemma4", "granitemoe_swa": "granitemoehybrid",
    "minicpm3": "minicpm3", "bailing_hybrid": "bailing", "bailing_moe": "bailing",
    "cohere": "plain", "cohere2": "plain",
    "deepseek": "glm4_moe", "deepseek_ref": "deepseek_v4", "deepseek_v2": "deepseek",
    "deepseek_v3": "deepseek", "deepseek_v32": "deepseek", "deepseek_v4": "deepseek_v4",
    "dots1": "glm4_moe",
    "ernie4_5": "plain", "exaone4": "plain", "falcon_h1": "falcon_h1", "gemma": "plain",
    "gemma2": "plain", "gemma3": "seeing", "gemma3_text": "gemma3", "gemma3n": "gemma3n",
    "gemma3n_text": "gemma3n", "gemma4": "gemma4", "glm": "plain", "glm4": "plain",
    "glm4_moe": "glm4_moe", "glm4_moe_lite": "deepseek", "glm4v": "seeing", "glm4v_moe": "seeing",
    "glm5_next": "glm5_next", "glm5_next_text": "glm5_next", "glm_moe_dsa": "deepseek",
    "gpt2": "gpt2", "gpt_oss": "gpt_oss", "granite": "plain", "granitemoe": "granitemoehybrid",
    "granitemoehybrid": "granitemoehybrid", "granitemoeshared": "granitemoehybrid",
    "hunyuan_v1_dense": "plain", "jamba": "jamba", "kimi_k2": "deepseek", "kimi_k25": "deepseek",
    "kimi_k3": "kimi_linear", "kimi_linear": "kimi_linear", "lfm2": "lfm2", "lfm2_moe": "lfm2",
    "llama": "plain", "llama4": "llama4", "longcat_flash": "longcat_flash", "mimo": "mimo",
    "mimo_v2": "mimo_v2", "mimo_v2_flash": "mimo_v2",
    "minimax_m2": "minimax_m2", "minimax_m3": "minimax_m3",
    "minimax_m3_vl": "minimax_m3", "minimax_m3_vl_text": "minimax_m3", "ministral": "plain",
    "ministral3": "plain", "mistral": "plain", "mistral3": "seeing", "mistral4": "deepseek",
    "mixtral": "plain", "nemotron-nas": "nemotron_nas", "nemotron_h": "nemotron_h",
    "olmo": "plain", "olmo2": "plain", "olmo3": "plain", "olmoe": "plain", "phi": "phi",
    "phi3": "plain", "phimoe": "phimoe", "qwen2": "plain", "qwen2_5_omni": "omni",
    "qwen2_5_omni_thinker": "seeing", "qwen2_5_vl": "seeing", "qwen2_moe": "qwen2_moe",
    "qwen2_vl": "seeing", "qwen3": "plain", "qwen3_5": "qwen3_5", "qwen3_5_moe": "qwen3_5",
    "qwen3_moe": "qwen3_moe", "qwen3_next": "qwen3_next", "qwen3_omni_moe": "omni",
    "qwen3_omni_moe_thinker": "seeing", "qwen3_vl": "seeing", "qwen3_vl_moe": "seeing",
    "seed_oss": "plain", "smollm3": "plain", "step3p5": "step3p7", "step3p7": "step3p7",
    "whisper": "whisper",
    **dict.fromkeys(("gemma4_text", "llama4_text", "qwen2_5_vl_text", "qwen2_vl_text",
                     "qwen3_5_moe_text", "qwen3_5_text", "qwen3_vl_text"),
                    "text_alone"),
}  # fmt: skip


def model_types() -> tuple[str, ...]:
    """The ``model_type`` values that can be planned."""
    return tuple(sorted(FAMILY_OF))


def builder_of(
    model_type: object, place: str, values: Mapping[str, object], *, through: bool = True
) -> Builder:
    """The builder of the family of ``model_type``; ``place`` names the configuration.

    A type without a family goes ``through`` the installed transformers, if there is one.

    ``values`` is the configuration; the error names keys in it that no plain decoder has.

    Raises:
        UnknownNameError: no family understands it.
        UnsupportedError: it is an encoder, or has one that its decoder attends to.
    """
    if isinstance(model_type, str) and model_type in FAMILY_OF:
        family = importlib.import_module(f"planner.models.families.{FAMILY_OF[model_type]}")
        build: Builder = family.build
        return build
    if isinstance(model_type, str) and through:
        from planner.models.through_transformers.built import installed

        if installed():
            from planner.models.through_transformers.model import build as build_any

            return build_any
    name = model_type if isinstance(model_type, str) else short_repr(model_type)
    why = why_unplanned(name, values)
    if why:
        raise UnsupportedError(f"{place}: {name} cannot be planned: {why}", hint=COUNTED)
    understood = listed(list(model_types()), name)
    keys = _special_keys(values)
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    special = (
        f"; keys not understood: {', '.join(map(short_repr, keys[:_NAMED]))}{more}" if keys else ""
    )
    raise UnknownNameError(
        "model_type", name[:60], FAMILY_OF,
        note=f"{place} has it; understood: {understood}{special}",
        own=f"What transformers can build is planned too: {INSTALL}",
    )  # fmt: skip


INSTALL = "pip install 'precision-planner[hf]'"
_NAMED = 24
_PLAIN_DECODER = GENERIC | {
    "attention_bias", "dtype", "head_dim", "hidden_size", "intermediate_size",
    "max_position_embeddings", "mlp_bias", "model_type", "num_attention_heads", "num_hidden_layers",
    "num_key_value_heads", "quantization_config", "sliding_window", "text_config",
    "tie_word_embeddings", "torch_dtype", "vision_config", "vocab_size",
}  # fmt: skip


def _special_keys(values: Mapping[str, object]) -> list[str]:
    """Keys of a configuration and of its text model that a plain decoder does not have."""
    text = values.get("text_config")
    inner = set(text) if isinstance(text, dict) else set()
    return sorted(inner - _PLAIN_DECODER) + sorted(set(values) - _PLAIN_DECODER - inner)


_ENCODERS = frozenset({
    "albert", "bert", "bge", "camembert", "clip", "deberta", "deberta-v2", "distilbert", "electra",
    "ernie", "esm", "gte", "jina_bert", "longformer", "modernbert", "mpnet", "new", "nomic_bert",
    "roberta", "roberta-prelayernorm", "siglip", "siglip2", "vit", "wav2vec2", "xlm-roberta",
    "xlm-roberta-xl",
})  # fmt: skip
_BOTH = frozenset({
    "bart", "blenderbot", "led", "m2m_100", "marian", "mbart", "moonshine", "mt5", "nllb-moe",
    "pegasus", "prophetnet", "seamless_m4t_v2", "speech_to_text", "switch_transformers", "t5",
    "t5gemma", "umt5", "whisper",
})  # fmt: skip
COUNTED = (
    "its tensors are counted by `plan inventory` once transformers is installed: "
    "pip install 'precision-planner[hf]'; for embeddings from a decoder, plan one whose "
    "architectures name a …Model or …ForSequenceClassification"
)


def why_unplanned(model_type: str, values: Mapping[str, object]) -> str:
    """Why a plan of ``model_type`` is not asked for in this form, "" where it is no encoder."""
    if model_type in _BOTH or values.get("is_encoder_decoder") is True:
        return (
            "it is an encoder with a decoder: every decoder layer keeps keys and "
            "values of the encoder's outputs beside its own, which is not modelled"
        )
    if model_type in _ENCODERS:
        return (
            "it is an encoder: it reads a whole input at once, keeps no cache and "
            "has no decode steps, so there are no tokens a second to plan"
        )
    return ""
