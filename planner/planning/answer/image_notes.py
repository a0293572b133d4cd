"""What a plan of a model that sees leaves to the question: tokens of images, and their encoder."""

from __future__ import annotations

from planner.base.units import format_bytes
from planner.messages.message import Note, message
from planner.models.inventory import row_bytes
from planner.models.spec import ModelSpec


def image_notes(spec: ModelSpec) -> list[Note]:
    """That images are prompt tokens and their encoder is not in memory; nothing for text models."""
    parts = [row for row in spec.rows if row.part in ("vision", "audio")]
    if not parts:
        return []
    size = sum(row_bytes(row) * max(1, len(row.layers)) for row in parts)
    encoder = spec.encoder
    most = f"; the largest image has {encoder.tokens}" if encoder else ""
    return [
        Note(
            "images",
            message("assumptions.encoder_of_not_loaded", size=format_bytes(size)),
            f"tokens of images are prompt tokens, in --isl{most}; `plan memory --with-vision` "
            "adds the encoder, its activations and its outputs",
        )
    ]
