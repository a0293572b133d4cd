"""Every generative type of the installed transformers through ``[hf]``, by its class's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evaluation.meta.own import STATED, answer_of
from planner.base.errors import PlannerError
from planner.models.families import FAMILY_OF
from planner.models.inventory import Inventory
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.through_transformers.built import read_answer
from planner.models.through_transformers.model import spec_from

MAPPINGS = ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SEQ_TO_SEQ_CAUSAL_LM")
"""Kinds of heads that make a type generative; of most languages and of text beside images."""

LAYERS = 12
"""Layers that are built: enough to see every kind of them."""


@dataclass(frozen=True, slots=True)
class Covered:
    """``state``: planned, counted (caches are not known), unclassified (a tensor is not), unbuilt
    (its default sizes do not make a model); ``reason`` of all but the first. ``own``: this program
    has a family for it."""

    kind: str
    state: str
    reason: str
    own: bool
    class_name: str
    parameters: int


def generative() -> tuple[str, ...]:
    """The types that have a generative head."""
    from transformers.models.auto import modeling_auto

    return tuple(
        sorted(
            {
                kind
                for name in MAPPINGS
                for kind in getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES")
            }
        )
    )


def covered(kind: str, torch: Any, transformers: Any) -> Covered:
    """What is known of a type."""
    return _one(kind, _answer(kind, torch, transformers), transformers)


def _answer(kind: str, torch: Any, transformers: Any) -> dict[str, Any]:
    """The worker's answer for a model of a few layers, or, where that is none, of all; where the
    class's defaults leave out heads' sizes, with those of plain attention."""
    for stated in _stated(kind, transformers):
        answer = answer_of({"model_type": kind, **stated}, torch, transformers)
        short = stated and "num_hidden_layers" in str(stated)
        if "tensors" in answer and (not short or answer.get("layers") == LAYERS):
            return answer
    return answer


def _stated(kind: str, transformers: Any) -> Iterator[dict[str, Any]]:
    """What to state beside the type, one attempt after the other, the last of them whole."""
    sizes: dict[str, int] = {}
    text, nested, many = None, False, False
    try:
        config = transformers.AutoConfig.for_model(kind)
        text = config.get_text_config(decoder=True)
        nested = text is not config and getattr(config, "text_config", None) is not None
        many = text.num_hidden_layers > LAYERS
        heads = text.num_attention_heads
        for name, size in (("head_dim", text.hidden_size // heads), ("num_key_value_heads", heads)):
            if getattr(text, name, size) is None:
                sizes[name] = size
    except Exception:  # a class's own code: what it does not say is not stated
        sizes = {}
    for keys in [{}, sizes] if sizes else [{}]:
        short = {"num_hidden_layers": LAYERS, **keys}
        for own in ([short] if many else []) + [keys]:
            own = {**STATED.get(kind, {}), **own} if not nested else own
            yield {"text_config": {"model_type": text.model_type, **own}} if nested and own else own


def _one(kind: str, answer: dict[str, Any], transformers: Any) -> Covered:
    own = kind in FAMILY_OF
    if "tensors" not in answer:
        return Covered(kind, "unbuilt", str(answer.get("error")), own, "", 0)
    name = str(answer["class"])
    try:
        spec = through(kind, {**answer, "transformers": transformers.__version__})
    except PlannerError as error:
        return Covered(kind, "unclassified", error.message.partition(": ")[2], own, name, 0)
    count = Inventory(spec).parameters_total + Inventory(spec).parameters_vision
    state = "counted" if spec.unplanned else "planned"
    return Covered(kind, state, spec.unplanned, own, name, count)


def through(kind: str, answer: dict[str, Any]) -> ModelSpec:
    """The ModelSpec of a worker's answer."""
    origin = Provenance(
        id=kind, public_name=kind, source=kind, source_kind="file", config_sha256=""
    )
    return spec_from(read_answer(answer), "bf16", origin, kind, kind)
