"""What ``plan memory`` counts beside a model: room for adapters, and what drafts tokens."""

from __future__ import annotations

from pathlib import Path

from planner.base.errors import InputError, UnsupportedError
from planner.base.strict_json import parse_object, read_config_bytes
from planner.lookup import load_model
from planner.memory.breakdown import Breakdown
from planner.memory.extra_models import NOTHING, ExtraModels, LoadedDraft, read_lora
from planner.messages.message import Note, message
from planner.models.drafting import (
    EagleHead,
    eagle_spec,
    head_of,
    head_of_config,
    prediction_spec,
)
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.planning.engines.speculation import VOCABULARY_SLACK
from planner.planning.question.input import ANY
from planner.planning.space.drafting import draft_layout

_SHARED = {"mtp": ("embedding", "head"), "eagle": ("embedding",), "model": ()}


def extra_models_of(
    spec: ModelSpec,
    layout: Layout,
    parts: tuple[str, ...],
    server: str,
    lora: str | None,
    draft: str | ModelSpec | None,
) -> ExtraModels:
    """The adapters and the draft that are asked for.

    Raises:
        InputError: a value that is neither, or prediction layers asked for twice.
        UnsupportedError: a draft of another vocabulary, or an engine that it is not modelled for.
    """
    if lora is None and draft is None:
        return NOTHING
    return ExtraModels(
        None if lora is None else read_lora(lora, server),
        None if draft is None else _draft(spec, layout, parts, server, draft),
    )


def _draft(
    spec: ModelSpec, layout: Layout, parts: tuple[str, ...], server: str, draft: str | ModelSpec
) -> LoadedDraft:
    kind, own = _named(spec, draft)
    if server == "llama.cpp":
        _check_llama(kind, own, layout)
    if kind == "mtp" and "mtp" in parts:
        raise InputError(
            "the prediction layers are asked for twice",
            hint="leave out --with-mtp: --draft mtp loads them",
        )
    slack = VOCABULARY_SLACK.get(server, max(VOCABULARY_SLACK.values()) if server == ANY else 0)
    if kind == "model" and abs(own.vocab_size - spec.vocab_size) > slack:
        raise UnsupportedError(
            f"{own.id} has {own.vocab_size:,} tokens, {spec.id} "
            f"{spec.vocab_size:,}: it drafts in another vocabulary",
            hint="name a draft of the same family",
        )
    return LoadedDraft(own, draft_layout(own, layout), _SHARED[kind])


def _check_llama(kind: str, draft: ModelSpec, layout: Layout) -> None:
    """Raises where llama.cpp's memory with a draft is not known: only ``--model-draft`` is, on one
    device."""
    if kind != "model":
        what = "prediction layers" if kind == "mtp" else "EAGLE heads"
        raise UnsupportedError(
            f"llama.cpp with {what} as the draft is not modelled",
            hint="--draft with the name of a smaller model",
        )
    if layout.pp > 1:
        raise UnsupportedError(
            "llama.cpp spreads the layers of a draft over its devices too, which is not modelled",
            hint="leave out --pp, or plan memory of the draft by itself",
        )
    foreign = sorted(
        {
            row.scheme
            for row in draft.rows
            if row.scheme is not None and not row.scheme.startswith(("ggml-", "mxfp4"))
        }
    )
    if foreign:
        raise UnsupportedError(
            f"llama.cpp has no {foreign[0]} weights, and {draft.id} is released in them",
            hint="name a GGUF file of the draft",
        )


def draft_notes(extra: ExtraModels, split: Breakdown) -> tuple[Note, ...]:
    """What drafts, and its bytes on the fullest rank; nothing without a draft."""
    if extra.draft is None:
        return ()
    last = split.stages[-1]
    weights = sum(weight.bytes for weight in last.weights if weight.name == "draft-weights")
    caches = sum(cache.bytes for cache in last.caches if cache.name.startswith("cache-draft"))
    shared = " and ".join(extra.draft.shared)
    where = (
        message("memory.draft_shares_tensors", shared=shared)
        if shared
        else message("memory.draft_on_last_stage")
    )
    return (
        Note(
            "draft",
            message(
                "memory.draft_bytes",
                model=extra.draft.spec.id,
                weights=f"{weights:,}",
                caches=f"{caches:,}",
            ),
            where,
        ),
    )


def _named(spec: ModelSpec, draft: str | ModelSpec) -> tuple[str, ModelSpec]:
    if isinstance(draft, ModelSpec):
        return "model", draft
    if draft == "mtp":
        if not spec.mtp_layers:
            raise InputError(
                message("refusals.has_no_prediction_layers_mtp", m=spec.id),
                hint="--draft with the name of a smaller model, or leave it out",
            )
        return "mtp", prediction_spec(spec)
    head = head_of(spec) if draft == "eagle" else _head_in(draft)
    if head is not None:
        return "eagle", eagle_spec(spec, head)
    if draft == "eagle":
        raise InputError(
            message("assumptions.no_eagle_head_of_is", m=spec.id),
            hint="--draft DIR: the folder of the head's config.json",
        )
    return "model", load_model(draft)


def _head_in(text: str) -> EagleHead | None:
    """The EAGLE-3 head of a folder or configuration file; None where it is a model."""
    if "/" not in text or "\0" in text:
        return None
    path = Path(text) / "config.json" if Path(text).is_dir() else Path(text)
    if path.suffix != ".json" or not path.is_file():
        return None
    return head_of_config(parse_object(read_config_bytes(path), str(path)), str(path))
