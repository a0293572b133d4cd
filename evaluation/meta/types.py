"""Every generative type of the installed transformers through ``[hf]``, by its default sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evaluation.meta.own import answer_of
from planner.errors import PlannerError
from planner.models.families import FAMILY_OF
from planner.models.inventory import Inventory
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.through_transformers.built import read_answer
from planner.models.through_transformers.model import spec_from

MAPPINGS = ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SEQ_TO_SEQ_CAUSAL_LM")
"""Kinds of heads that make a type generative; of most languages and of text beside images."""


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

    return tuple(sorted({kind for name in MAPPINGS
                         for kind in getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES")}))


def covered(torch: Any, transformers: Any, only: frozenset[str] = frozenset()) -> Iterator[Covered]:
    """What is known of each type, one after the other."""
    for kind in generative():
        if not only or kind in only:
            yield _one(kind, answer_of({"model_type": kind}, torch, transformers), transformers)


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
    origin = Provenance(id=kind, public_name=kind, source=kind, source_kind="file",
                        config_sha256="")
    return spec_from(read_answer(answer), "bf16", origin, kind, kind)
