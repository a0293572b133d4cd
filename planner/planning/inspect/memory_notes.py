"""What the answer of ``plan memory`` takes for granted, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from planner.hardware.profile import DeviceProfile
from planner.memory.breakdown import Breakdown, Use, runtime_basis
from planner.messages.message import Note, message
from planner.models.planned import structure_note
from planner.models.spec import ModelSpec
from planner.planning.inspect.extra_models import draft_notes
from planner.planning.question.caches import common_cache_notes
from planner.planning.question.given_values import GivenValues
from planner.planning.question.workload import Workload, slot_note, workload_notes


def memory_notes(
    spec: ModelSpec,
    work: Workload,
    use: Use,
    split: Breakdown,
    *,
    device: DeviceProfile | None,
    given_values: GivenValues,
    server: str,
) -> tuple[Note, ...]:
    """The model's own notes and those on the workload, then every default; ``server`` is the
    engine's name, or ``any``."""
    return (
        *spec.remarks,
        *common_cache_notes(given_values.kv or ""),
        *structure_note(spec),
        *workload_notes(work, given_values.workload),
        *slot_note(work, given_values.slots, server),
        *draft_notes(use.beside, split),
        *_defaults(work, use, split, device),
        *_images(spec, use),
    )


def _defaults(
    work: Workload, use: Use, split: Breakdown, device: DeviceProfile | None
) -> Iterator[Note]:
    """Context, batch, prefill chunk, pages and runtime."""
    ranks = split.layout.dp
    yield Note(
        "context",
        message("assumptions.tokens", context=use.context),
        work.assumed or message("assumptions.given"),
    )
    yield Note(
        "batch",
        str(use.batch),
        message("memory.sequences_over_ranks", ranks=ranks)
        if ranks > 1
        else message("memory.sequences_over_rank", ranks=ranks),
    )
    yield Note(
        "prefill chunk",
        message("assumptions.tokens", context=use.chunk),
        message("memory.default_chunk_within_prompt"),
    )
    yield Note(
        "pages", message("memory.tokens_of_pages"), message("memory.pages_of_keys_and_latents")
    )
    if device is None:
        yield Note("runtime", "0", message("memory.no_device_named"))
        return
    if device.unified_memory:
        share = f"{float(device.usable_fraction.value):.0%}"
        yield Note(
            "unified memory",
            message("memory.share_usable", share=share),
            message("memory.engine_counts_system_use"),
        )
    yield Note("runtime", message("memory.runtime_parts"), runtime_basis(device))


def _images(spec: ModelSpec, use: Use) -> Iterator[Note]:
    """What is assumed of images, where their encoder is asked for."""
    if "vision" not in use.parts:
        return
    if spec.encoder is None:
        yield Note(
            "images",
            message("memory.encoder_weights_only"),
            message("memory.encoder_passes_not_modelled"),
        )
    else:
        tokens = spec.encoder.tokens
        yield Note(
            "images", message("memory.image_tokens_at_most", tokens=tokens), spec.encoder.limit
        )
