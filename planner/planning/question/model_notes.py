"""What is told of the checkpoint that was named as a question's model.

A bundled model stands for every checkpoint of its structure. One that was named by its repository
is told, since what is served is not always what was named; the engine's command has it where the
plan serves it unchanged (:func:`planner.planning.engines.checkpoints.named_checkpoint`).
"""

from __future__ import annotations

import os
from pathlib import Path

from planner.messages.message import Note, message
from planner.models.catalog import named_id, named_repository
from planner.models.spec import ModelSpec
from planner.planning.engines.published import PublishedWeights

KEY = "model"
"""Key of the assumption."""


def checkpoint_notes(
    model: str | Path | ModelSpec, release: PublishedWeights | None, spec: ModelSpec
) -> tuple[Note, ...]:
    """That ``model``, the user's word for ``spec``, is a ``release`` of it in other formats, or
    another checkpoint of its structure, or short for it; nothing of its own name, of a file and of
    a model that was read already."""
    if release is not None:
        reason = message(
            "assumptions.release_in_formats",
            release=release.repository,
            formats=release.by_kind(spec),
        )
        return (Note(KEY, spec.id, reason),)
    if not isinstance(model, str) or os.path.exists(model):
        return ()
    repository = named_repository(model)
    if repository is None and named_id(model) is None:
        from planner.models.common_names import common_name

        common = common_name(model)
        if common is not None and "/" not in common.name:
            reason = message("assumptions.commonest_variant_of", name=model)
            return (Note(KEY, spec.id, reason),)
        repository = None if common is None else common.name
    if repository is None:
        return ()
    return (Note(KEY, spec.id, message("assumptions.another_checkpoint", name=repository)),)
