"""Model families: one file each. Adding one: write its ``build`` and list it here."""

from __future__ import annotations

from collections.abc import Callable

from planner.errors import UnknownNameError
from planner.models.families import deepseek, llama, mixtral, qwen3, qwen3_moe
from planner.models.fields import Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.strict_json import shown

Builder = Callable[[Fields, str, Provenance], ModelSpec]

_BUILDERS: dict[str, Builder] = {
    model_type: family.build
    for family in (deepseek, llama, mixtral, qwen3, qwen3_moe)
    for model_type in family.MODEL_TYPES
}


def model_types() -> tuple[str, ...]:
    """The ``model_type`` values that can be planned."""
    return tuple(sorted(_BUILDERS))


def builder_of(model_type: object, place: str) -> Builder:
    """The builder of the family of ``model_type``; ``place`` names the configuration.

    Raises:
        UnknownNameError: no family understands it.
    """
    if isinstance(model_type, str) and model_type in _BUILDERS:
        return _BUILDERS[model_type]
    name = model_type if isinstance(model_type, str) else shown(model_type)
    raise UnknownNameError(
        "model_type", name[:60], _BUILDERS,
        note=f"{place} has it; understood: {', '.join(model_types())}",
    )  # fmt: skip
