"""Models that see: a text model of a known family inside a configuration with an encoder.

The text model is read by its own family, from ``text_config`` or, in older configurations, from the
keys around ``vision_config``; its tensors are renamed as the release has them, and the encoder's
come beside them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.models import rows
from planner.models.families import audio, vision_joined, vision_qwen
from planner.models.families.common import NO_AUDIO, NO_VISION
from planner.models.families.towers import Seen
from planner.models.fields import Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage

Reader = Callable[[Fields, Fields, Storage, int], Seen]
Listener = Callable[[Fields, Storage, int, str], list[TensorRow]]


def _visual(read: Callable[[Fields, Storage, int, str], Seen], base: str) -> Reader:
    return lambda outer, fields, storage, hidden: read(fields, storage, hidden, base)


@record
class Seeing:
    """``texts``: the text model's ``model_type`` → the family's. ``inside``: what stands before
    ``model.`` names, and instead of it; ``head``: what stands before the head. ``flat``: keys of
    the text model may be around it. ``tied_inside``: embeddings are tied as the text model says.
    ``transposed``: experts are stacked, inputs first. ``hear``: the reader of an audio encoder.
    ``sees``, ``hears``: the types of the encoders' configurations. ``forwards``: a text model that
    ties its embeddings makes the whole model tie them. ``always``: keys of the text model that its
    class has no room for, and what it builds. ``inner``: the key of the text model;
    ``passed``: keys of it that change neither tensors nor caches here."""

    texts: dict[str, str]
    read: Reader
    inside: str = "model.language_model."
    head: str = ""
    flat: bool = False
    tied_inside: bool = False
    sees: str = ""
    forwards: bool = False
    transposed: bool = False
    hear: Listener | None = None
    hears: str = ""
    always: tuple[tuple[str, object], ...] = ()
    inner: str = "text_config"
    passed: tuple[str, ...] = ()


_LLAVA = ("language_model.model.", "language_model.")
_TEXTS = {"llama": "llama", "mistral": "mistral", "qwen2": "qwen2", "granite": "granite"}
_SEEING: dict[str, Seeing] = {
    "qwen2_vl": Seeing(
        {"qwen2_vl_text": "qwen2", "qwen2": "qwen2", "qwen2_vl": "qwen2"},
        _visual(vision_qwen.qwen2, "visual."), "model.", flat=True, sees="qwen2_vl_vision",
        forwards=True),
    "qwen2_5_vl": Seeing(
        {"qwen2_5_vl_text": "qwen2", "qwen2": "qwen2", "qwen2_5_vl": "qwen2"},
        _visual(vision_qwen.qwen25, "visual."), "model.", flat=True, sees="qwen2_5_vl_vision",
        forwards=True),
    "qwen3_vl": Seeing(
        {"qwen3_vl_text": "qwen3", "qwen3": "qwen3"}, _visual(vision_qwen.qwen3, "model.visual."),
        sees="qwen3_vl_vision"),
    "qwen3_vl_moe": Seeing(
        {"qwen3_vl_moe_text": "qwen3_moe", "qwen3_moe": "qwen3_moe"},
        _visual(vision_qwen.qwen3, "model.visual."), sees="qwen3_vl_moe_vision", transposed=True),
    "gemma3": Seeing({"gemma3_text": "gemma3_text"}, vision_qwen.gemma3, *_LLAVA,
                     sees="siglip_vision_model"),
    "mistral3": Seeing(
        {"mistral": "mistral", "llama": "llama", "ministral": "ministral",
         "ministral3": "ministral3", "mistral4": "mistral4"},
        vision_qwen.pixtral, *_LLAVA, sees="pixtral", tied_inside=True),
    "llava": Seeing(_TEXTS, vision_joined.llava, *_LLAVA, sees="clip_vision_model"),
    "llava_next": Seeing(_TEXTS, vision_joined.llava_next, *_LLAVA, sees="clip_vision_model"),
    "paligemma": Seeing({"gemma": "gemma", "gemma2": "gemma2"}, vision_joined.paligemma, *_LLAVA,
                        sees="siglip_vision_model",
                        passed=("num_image_tokens", "use_bidirectional_attention")),
    "idefics3": Seeing({"llama": "llama"}, vision_joined.idefics3, "model.text_model.",
                       sees="idefics3_vision"),
    "smolvlm": Seeing({"llama": "llama"}, vision_joined.idefics3, "model.text_model.",
                      sees="smolvlm_vision"),
    "cohere2_vision": Seeing({"cohere2": "cohere2"}, vision_joined.cohere2,
                             sees="siglip_vision_model"),
    "internvl": Seeing({"qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3_moe",
                        "llama": "llama", "gpt_oss": "gpt_oss"}, vision_joined.internvl,
                       sees="internvl_vision"),
    "internvl_chat": Seeing(
        {"qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3_moe", "llama": "llama",
         "internlm2": "internlm2"}, vision_joined.internvl_chat, *_LLAVA, inner="llm_config",
        sees="intern_vit_6b"),
    "glm_ocr": Seeing({"glm_ocr_text": "glm4"}, vision_joined.glm_ocr, sees="glm_ocr_vision",
                      always=(("attention_bias", False),), passed=("num_nextn_predict_layers",)),
    "llava_onevision": Seeing(_TEXTS, vision_joined.llava_next, *_LLAVA,
                              sees="siglip_vision_model"),
    "lfm2_vl": Seeing({"lfm2": "lfm2", "lfm2_moe": "lfm2_moe"}, vision_joined.lfm2,
                      sees="siglip2_vision_model"),
    "lighton_ocr": Seeing({"qwen3": "qwen3", "mistral": "mistral"}, vision_joined.lighton,
                          sees="pixtral"),
    "glm4v": Seeing({"glm4v_text": "glm4", "glm4": "glm4"},
                    _visual(vision_qwen.glm4v, "model.visual."), flat=True, sees="glm4v_vision",
                    forwards=True, always=(("attention_bias", True),)),
    "glm4v_moe": Seeing({"glm4v_moe_text": "glm4_moe", "glm4_moe": "glm4_moe"},
                        _visual(vision_qwen.glm4v, "model.visual."), sees="glm4v_moe_vision",
                        forwards=True),
    "qwen2_5_omni_thinker": Seeing(
        {"qwen2_5_omni_text": "qwen2"}, _visual(vision_qwen.qwen25_omni, "visual."), "model.",
        sees="qwen2_5_omni_vision_encoder", hear=audio.qwen25,
        hears="qwen2_5_omni_audio_encoder"),
    "qwen3_omni_moe_thinker": Seeing(
        {"qwen3_omni_moe_text": "qwen3_moe"}, _visual(vision_qwen.qwen3_omni, "visual."), "model.",
        sees="qwen3_omni_moe_vision_encoder", hear=audio.qwen3,
        hears="qwen3_omni_moe_audio_encoder"),
}  # fmt: skip
MODEL_TYPES = tuple(_SEEING)
_AROUND = frozenset({
    "audio_end_token_id", "audio_start_token_id", "audio_token_id", "audio_token_index",
    "boi_token_index", "eoi_token_index", "ignore_index", "image_end_token_id",
    "image_seq_length", "image_start_token_id", "image_token_id", "image_token_index", "init_std",
    "position_id_per_seconds", "projector_hidden_act", "seconds_per_chunk", "user_token_id",
    "video_end_token_id", "video_start_token_id", "video_token_id", "video_token_index",
    "vision_end_token_id", "vision_start_token_id", "vision_token_id",
})  # fmt: skip
"""Where images and sounds stand among the tokens, and what the projector applies."""
_OF_PROJECTORS = (
    "mm_tokens_per_image",
    "multimodal_projector_bias",
    "spatial_merge_size",
    "vision_feature_layer",
)
_SHARED = ("dtype", "torch_dtype")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a model that sees: text model, encoder and projector.

    Raises:
        DataError: a key is missing, malformed or not understood, in any of them.
    """
    from planner.models.families import FAMILY_OF

    kind = _SEEING[model_type]
    text, family = _text(fields, kind)
    module = importlib.import_module(f"planner.models.families.{FAMILY_OF[family]}")
    spec: ModelSpec = module.build(text, family, origin)
    storage, hidden = Storage(spec.quantization), spec.hidden_size
    seen, heard, left = Seen(()), [], list(spec.not_counted)
    seeing = _inside(fields, "vision_config", kind.sees)
    if seeing is None:
        left.append(NO_VISION)
        for key in _OF_PROJECTORS:
            fields.take(key)
    else:
        seen = kind.read(fields, seeing, storage, hidden)
    if kind.hear is not None:
        hearing = _inside(fields, "audio_config", kind.hears)
        if hearing is None:
            left.append(NO_AUDIO)
        else:
            heard = kind.hear(hearing, storage, hidden, "audio_tower.")
    fields.finish(_AROUND)
    return replace(
        spec,
        model_type=model_type,
        rows=(*_renamed(spec.rows, kind), *seen.rows, *heard),
        encoder=seen.encoder,
        not_counted=tuple(left),
    )


def _inside(fields: Fields, key: str, model_type: str) -> Fields | None:
    """The configuration of an encoder, of the class that the whole model's class makes of it."""
    values = fields.take(key)
    if values is None:
        return None
    if not isinstance(values, dict):
        raise fields.error(key, f"is {short_repr(values)}; an object is needed")
    return fields.part(values, key, model_type)


def _text(fields: Fields, kind: Seeing) -> tuple[Fields, str]:
    """The text model's keys, and its family's type."""
    from planner.models.families import FAMILY_OF

    inner = fields.nested(kind.inner)
    if inner is None and not kind.flat:
        raise fields.error(kind.inner, "is missing")
    usual = next(iter(kind.texts))
    if inner is None:
        around = _AROUND | {"vision_config", "quantization_config", "model_type"}
        own = {
            **dict(kind.always),
            **{name: fields.take(name) for name in fields.names() if name not in around},
        }
        text = fields.part(own, "", usual)
    else:
        own = {
            **dict(kind.always),
            **{
                name: inner.take(name)
                for name in inner.names()
                if name not in ("quantization_config", "init_std", *kind.passed)
            },
        }
        usual = str(own.get("model_type") or usual)
        text = fields.part(_tied(fields, own, kind), kind.inner, usual)
    known = {model_type: family for model_type, family in kind.texts.items() if family in FAMILY_OF}
    if usual not in known:
        text.choice("model_type", known, default=None)
    for key in _SHARED:
        text.inherit(fields, key)
    return text, known[usual]


def _tied(fields: Fields, own: dict[str, object], kind: Seeing) -> dict[str, object]:
    """The whole model's word on tied embeddings counts, stated or its class's, wherever its class
    reads it; else the text model's."""
    outer = (
        fields.take("tie_word_embeddings")
        if kind.tied_inside
        else fields.take_default("tie_word_embeddings")
    )
    inner = own.get("tie_word_embeddings")
    if kind.tied_inside:
        first = inner if inner is not None else outer
    elif kind.forwards and inner is True:
        first = True
    else:
        first = outer if outer is not None else inner
    return own if first is None else {**own, "tie_word_embeddings": first}


def _renamed(tensors: tuple[TensorRow, ...], kind: Seeing) -> list[TensorRow]:
    lying = rows.stacked_experts(tensors, transposed=True) if kind.transposed else list(tensors)
    moved = rows.renamed(lying, "model.", kind.inside)
    return rows.renamed(moved, "lm_head.", kind.head + "lm_head.")
