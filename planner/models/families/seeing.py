"""Models that see: a text model of a known family inside a configuration with an encoder.

The text model is read by its own family, from ``text_config`` or, in older configurations, from the
keys around ``vision_config``; its tensors are renamed as the release has them, and the encoder's
come beside them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

from planner.models import rows
from planner.models.families import audio, vision_qwen, vision_siglip
from planner.models.families.towers import Seen
from planner.models.families.vision import NO_VISION
from planner.models.fields import GENERIC, HARMLESS, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage
from planner.records import record

Reader = Callable[[Fields, Fields, Storage, int], Seen]
Listener = Callable[[Fields, Storage, int, str], list[TensorRow]]


def _visual(read: Callable[[Fields, Storage, int, str], Seen], base: str) -> Reader:
    return lambda outer, fields, storage, hidden: read(fields, storage, hidden, base)


@record
class Seeing:
    """``texts``: the text model's ``model_type`` → the family's. ``inside``: what stands before
    ``model.`` names, and instead of it; ``head``: what stands before the head. ``flat``: keys of
    the text model may be around it. ``tied_inside``: embeddings are tied as the text model says.
    ``transposed``: experts are stacked, inputs first. ``hear``: the reader of an audio encoder."""

    texts: dict[str, str]
    read: Reader
    inside: str = "model.language_model."
    head: str = ""
    flat: bool = False
    tied_inside: bool = False
    transposed: bool = False
    hear: Listener | None = None


_LLAVA = ("language_model.model.", "language_model.")
_QWEN2 = {"qwen2": "qwen2", "qwen2_vl": "qwen2", "qwen2_vl_text": "qwen2", "qwen2_5_vl": "qwen2",
          "qwen2_5_vl_text": "qwen2"}  # fmt: skip
_SEEING: dict[str, Seeing] = {
    "qwen2_vl": Seeing(_QWEN2, _visual(vision_qwen.qwen2, "visual."), "model.", flat=True),
    "qwen2_5_vl": Seeing(_QWEN2, _visual(vision_qwen.qwen25, "visual."), "model.", flat=True),
    "qwen3_vl": Seeing({"qwen3_vl_text": "qwen3", "qwen3": "qwen3"},
                       _visual(vision_qwen.qwen3, "model.visual.")),
    "qwen3_vl_moe": Seeing({"qwen3_vl_moe_text": "qwen3_moe", "qwen3_moe": "qwen3_moe"},
                           _visual(vision_qwen.qwen3, "model.visual."), transposed=True),
    "gemma3": Seeing({"gemma3_text": "gemma3_text"}, vision_siglip.gemma3, *_LLAVA),
    "mistral3": Seeing({"mistral": "mistral", "llama": "llama", "ministral3": "ministral3",
                        "mistral4": "mistral4"},
                       vision_siglip.pixtral, *_LLAVA, tied_inside=True),
    "glm4v": Seeing({"glm4v_text": "glm4", "glm4": "glm4"},
                    _visual(vision_qwen.glm4v, "model.visual."), flat=True),
    "glm4v_moe": Seeing({"glm4v_moe_text": "glm4_moe", "glm4_moe": "glm4_moe"},
                        _visual(vision_qwen.glm4v, "model.visual.")),
    "qwen2_5_omni_thinker": Seeing(
        _QWEN2 | {"qwen2_5_omni_text": "qwen2"}, _visual(vision_qwen.qwen25_omni, "visual."),
        "model.", hear=audio.qwen25),
    "qwen3_omni_moe_thinker": Seeing(
        {"qwen3_omni_moe_text": "qwen3_moe"}, _visual(vision_qwen.qwen3_omni, "visual."),
        "model.", hear=audio.qwen3),
}  # fmt: skip
MODEL_TYPES = tuple(_SEEING)
_AROUND = GENERIC | {
    "audio_end_token_id", "audio_start_token_id", "audio_token_id", "audio_token_index",
    "boi_token_index", "dtype", "eoi_token_index", "ignore_index", "image_end_token_id",
    "image_seq_length", "image_start_token_id", "image_token_id", "image_token_index",
    "init_std", "position_id_per_seconds",
    "projector_hidden_act", "seconds_per_chunk", "torch_dtype", "user_token_id",
    "video_token_index", "video_end_token_id", "video_start_token_id",
    "video_token_id", "vision_end_token_id", "vision_start_token_id", "vision_token_id",
}  # fmt: skip
_SHARED = ("dtype", "torch_dtype")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a model that sees: text model, encoder and projector.

    Raises:
        DataError: a key is missing, malformed or not understood, in either of them.
    """
    from planner.models.families import FAMILY_OF

    kind = _SEEING[model_type]
    seeing = fields.nested("vision_config")
    text = _text(fields, kind)
    stated = text.take("model_type") or next(iter(kind.texts))
    known = {name: family for name, family in kind.texts.items() if family in FAMILY_OF}
    if stated not in known:
        text.choice("model_type", known, default=None)
    family = known[str(stated)]
    module = importlib.import_module(f"planner.models.families.{FAMILY_OF[family]}")
    spec: ModelSpec = module.build(text, family, origin)
    seen = Seen(()) if seeing is None else \
        kind.read(fields, seeing, Storage(spec.quantization), spec.hidden_size)
    heard = fields.nested("audio_config") if kind.hear else None
    sound = kind.hear(heard, Storage(spec.quantization), spec.hidden_size, "audio_tower.") \
        if kind.hear and heard else []
    fields.finish(_AROUND)
    return replace(
        spec, model_type=model_type, rows=(*_renamed(spec.rows, kind), *seen.rows, *sound),
        encoder=seen.encoder,
        not_counted=(*spec.not_counted, *(() if seeing is not None else (NO_VISION,))))


def _text(fields: Fields, kind: Seeing) -> Fields:
    """The text model's keys, without settings of generation that change no tensor."""
    inner = fields.nested("text_config")
    if inner is None and not kind.flat:
        raise fields.error("text_config", "is missing")
    if inner is None:
        own = {name: fields.take(name) for name in fields.names()
               if name not in _AROUND - {*_SHARED, "model_type"} | {"vision_config"}}
        text = Fields(own, fields.place)
    else:
        if inner.take("pruned_heads"):
            raise inner.error("pruned_heads", "is not empty; pruned models are not understood")
        left = (GENERIC - HARMLESS - {"model_type"}) | {"init_std", "pruned_heads",
                                                         "quantization_config"}
        own = {name: inner.take(name) for name in inner.names() if name not in left}
        text = Fields(_tied(fields, own, kind), inner.place)
    for key in _SHARED:
        text.inherit(fields, key)
    return text


def _tied(fields: Fields, own: dict[str, object], kind: Seeing) -> dict[str, object]:
    """The whole model's word on tied embeddings counts, wherever its class reads it."""
    outer, inner = fields.take("tie_word_embeddings"), own.get("tie_word_embeddings")
    first = inner if kind.tied_inside else outer
    stated = first if first is not None else inner if inner is not None else outer
    return own if stated is None else {**own, "tie_word_embeddings": stated}


def _renamed(found: tuple[TensorRow, ...], kind: Seeing) -> list[TensorRow]:
    lying = _together(found) if kind.transposed else list(found)
    moved = rows.renamed(lying, "model.", kind.inside)
    return rows.renamed(moved, "lm_head.", kind.head + "lm_head.")


def _together(found: tuple[TensorRow, ...]) -> list[TensorRow]:
    """The experts of a layer in one tensor (experts, inputs, outputs), gate and up side by side."""
    made: list[TensorRow] = []
    for row in found:
        name = row.name.replace(".{expert}", "").removesuffix(".weight")
        if row.kind == "experts-gate-up" and name.endswith("up_proj"):
            continue
        if row.experts > 1:
            double = 2 if row.kind == "experts-gate-up" else 1
            row = rows.stack(
                Storage(row.dtype), name.replace("gate_proj", "gate_up_proj"), row.kind,
                (double * row.shape[0], row.shape[1]), row.layers, fused=row.fused,
                shard=row.shard, experts=row.experts, transposed=True)  # fmt: skip
        made.append(row)
    return made
