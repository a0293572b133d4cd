"""``planner.sensitivity``: what an error in each matrix of a model costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.base.typed import typed
from planner.lookup import load_model
from planner.models.spec import ModelSpec
from planner.quality.sensitivity.alpha_table import AlphaTable, alpha_table

if TYPE_CHECKING:
    import pandas as pd


@typed
def sensitivity(
    model: str | ModelSpec, *, exclude_models: Sequence[str] = (), names: str = "module"
) -> pd.DataFrame:
    """What an error in each matrix costs: α in nats of mean KL divergence per unit of relative
    output error power.

    Learned from KL divergences that Thireus, GGUF Tool Suite and its contributors measured tensor
    by tensor. A measured model, or one of its structure, has its own; relatives have it by relative
    depth; others have what the measured models share.

    Args:
        model: an id, a path or a ModelSpec.
        exclude_models: measured models that may not contribute; a family's name takes all of it. A
            bundled model that was not measured takes nothing.
        names: ``module``: a row a module kind and layer, α summed over its matrices; ``gguf``: a
            row a tensor of llama.cpp's files, prediction layers left out. A tied embedding has the
            α of the head with its own.
    Returns:
        Columns layer (Int64, NA for embedding and head), kind, tensor (empty in rows of kinds),
        alpha, low and high (80 %), source, tier (``T0 family(NAME)`` or ``T0 learned``). Routers
        and indexers were not measured: their α is derived, as ``source`` says. ``attrs`` have
        ``rests_on`` (the measured models in a sentence), ``bands`` (factors by class of matrix)
        and ``credit``.
    Raises:
        UnknownNameError: no such model, no measured model of a name, other ``names``.
        InputError: so many are excluded that nothing is left to learn from.
        UnsupportedError: GGUF names of a model that llama.cpp does not know.
    """
    return sensitivity_table(model, exclude_models=exclude_models, names=names).to_frame()


@typed
def sensitivity_table(
    model: str | ModelSpec, *, exclude_models: Sequence[str] = (), names: str = "module"
) -> AlphaTable:
    """As :func:`sensitivity`, with what the rows rest on."""
    return alpha_table(load_model(model), exclude_models, names)
