"""Model families: one file each. Adding one: write its ``build`` and list its types here."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from planner.errors import UnknownNameError
from planner.models.fields import Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec
from planner.models.strict_json import shown

Builder = Callable[[Fields, str, Provenance], ModelSpec]

# Only the family that is asked for is imported; a test compares this with each family's own list.
FAMILY_OF: dict[str, str] = {
    "deepseek_ref": "deepseek_v4", "deepseek_v2": "deepseek", "deepseek_v3": "deepseek",
    "deepseek_v32": "deepseek", "deepseek_v4": "deepseek_v4", "gemma3_text": "gemma3",
    "gemma4": "gemma4", "glm4_moe": "glm4_moe", "glm_moe_dsa": "deepseek", "gpt2": "gpt2",
    "gpt_oss": "gpt_oss", "kimi_k2": "deepseek", "kimi_k25": "deepseek", "llama": "llama",
    "llama4": "llama4", "mimo_v2_flash": "mimo_v2", "minimax_m2": "minimax_m2",
    "mistral": "llama", "mixtral": "mixtral", "olmoe": "olmoe", "phi3": "phi3",
    "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_5": "qwen3_5", "qwen3_5_moe": "qwen3_5",
    "qwen3_moe": "qwen3_moe", "qwen3_next": "qwen3_next",
}  # fmt: skip


def model_types() -> tuple[str, ...]:
    """The ``model_type`` values that can be planned."""
    return tuple(sorted(FAMILY_OF))


def builder_of(model_type: object, place: str) -> Builder:
    """The builder of the family of ``model_type``; ``place`` names the configuration.

    Raises:
        UnknownNameError: no family understands it.
    """
    if isinstance(model_type, str) and model_type in FAMILY_OF:
        family = importlib.import_module(f"planner.models.families.{FAMILY_OF[model_type]}")
        build: Builder = family.build
        return build
    name = model_type if isinstance(model_type, str) else shown(model_type)
    raise UnknownNameError(
        "model_type", name[:60], FAMILY_OF,
        note=f"{place} has it; understood: {', '.join(model_types())}",
    )  # fmt: skip
