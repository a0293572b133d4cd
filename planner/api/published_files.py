"""``planner.published_files``: the files that somebody publishes of a model."""

from __future__ import annotations

from planner.base.typed import typed
from planner.lookup import load_model
from planner.models.catalog import named_id
from planner.models.common_names import common_name
from planner.planning.files.catalogue import PublishedFile, files_of


@typed
def published_files(model: str) -> tuple[PublishedFile, ...]:
    """The published files of a model: GGUF, MLX and releases for servers, with bytes and commands.

    Sizes of bundled models are counted where no source states them to the byte; those of others are
    as stated.

    Args:
        model: a bundled id, a public name or an alias, or the repository of another model that
            files are known to be made of.

    Raises:
        UnknownNameError: no file of such a model is known.
    """
    common = common_name(model)
    known = named_id(model) if common is None else common.id
    return files_of(model, None if known is None else load_model(known))
