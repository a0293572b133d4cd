"""Bundled models by the name of their family, and those that a few words mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from planner.base.errors import LONGEST_NAME, InputError
from planner.base.strict_json import short_repr
from planner.models.catalog import CatalogEntry, catalog, model_ids, plain_letters

# What an id begins with, where that is not the family's own name in lower case.
_FAMILIES = {
    "command": "Cohere",
    "deepseek": "DeepSeek",
    "ernie": "ERNIE",
    "exaone": "EXAONE",
    "glm": "GLM",
    "gpt": "GPT",
    "mimo": "MiMo",
    "ministral": "Mistral",
    "minimax": "MiniMax",
    "mixtral": "Mistral",
    "olmo": "OLMo",
    "olmoe": "OLMo",
    "qwq": "Qwen",
    "smollm": "SmolLM",
    "tinyllama": "Llama",
}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")


def family_name(model_id: str) -> str:
    """The family that ``model_id`` belongs to by its name: deepseek-v3.2 → DeepSeek."""
    match = re.match(r"[a-z]+", model_id)
    first = match[0] if match else model_id
    return _FAMILIES.get(first, first.capitalize())


def grouped(ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Family → its models, families by name, models by name with numbers as numbers."""
    families: dict[str, list[str]] = {}
    for model_id in ids:
        families.setdefault(family_name(model_id), []).append(model_id)
    return {name: tuple(sorted(families[name], key=_natural))
            for name in sorted(families, key=str.lower)}  # fmt: skip


def _natural(name: str) -> tuple[tuple[float, str], ...]:
    parts = _NUMBER.split(name)
    return tuple(
        (float(part), "") if number % 2 else (-1.0, part) for number, part in enumerate(parts)
    )


def search(words: Sequence[str]) -> tuple[str, ...]:
    """The ids of the models one of whose names, or whose family, has every one of ``words``.

    Raises:
        InputError: there is none; the hint has the nearest ids.
    """
    wanted = [_pattern(word) for word in words if plain_letters(word)]
    matches = tuple(
        model_id
        for model_id, entry in catalog().items()
        if any(all(word.search(name) for word in wanted) for name in _names(entry))
    )
    if not matches:
        near = get_close_matches("-".join(words)[:LONGEST_NAME].lower(), model_ids(), n=3)
        raise InputError(
            f"no bundled model has {short_repr(' '.join(words))} in a name",
            hint="`plan list models` lists them all"
            + (f"; near: {', '.join(near)}" if near else ""),
        )
    return matches


def _names(entry: CatalogEntry) -> tuple[str, ...]:
    every = (entry.id, entry.public_name, *entry.aliases)
    return tuple(f"{family_name(entry.id)} {name}".lower() for name in every)


def _pattern(word: str) -> re.Pattern[str]:
    """``word`` with or without signs between its letters, its numbers whole: qwen3 is in Qwen3-8B
    and Qwen 3 8B, and not in Qwen-32B."""
    plain = plain_letters(word)
    before = r"(?<![\d.])" if plain[0].isdigit() else ""
    after = r"(?!\d)" if plain[-1].isdigit() else ""
    return re.compile(before + r"[^a-z0-9.]*".join(map(re.escape, plain)) + after)
