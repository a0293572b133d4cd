"""Model types that generate nothing token by token, or attend to an encoder: what they are."""

from __future__ import annotations

from collections.abc import Mapping

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
