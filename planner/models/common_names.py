"""Models as people call them for short: a family's commonest variant, and names that are the
beginning of one model's.

Only what a user types is read so (:func:`planner.lookup.load_model`); names in tables of
measurements are not.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from planner.base.errors import UnknownNameError
from planner.base.records import record
from planner.models.catalog import catalog, named_id, plain_letters

_FILE = Path(__file__).resolve().parent / "data" / "common_names.toml"
_MOST_LISTED = 12
"""Models that a hint lists: more are a family, of which it names the nearest."""
_SIGNS = re.compile(r"[^a-z0-9.]+")


@record
class CommonName:
    """What a short name means: ``id`` of the bundled model, and the ``name`` of the checkpoint,
    which is another of its structure where it has a slash."""

    id: str
    name: str


def is_common_name(name: str) -> bool:
    """Whether ``name`` is short for one bundled model, or for several."""
    try:
        return common_name(name) is not None
    except UnknownNameError:
        return True


def common_name(name: str) -> CommonName | None:
    """The model that ``name`` is short for; None where it is none's, or a whole name.

    Raises:
        UnknownNameError: it is short for several, which the hint lists, or the nearest of many.
    """
    letters = plain_letters(name)
    if "/" in name or not letters or named_id(name) is not None:
        return None
    meant = _families().get(letters)
    if meant is not None:
        return CommonName(named_id(meant) or meant, meant)
    ids = _ids_beginning().get(letters, ())
    base = min(ids, key=len, default="")
    if base and all(one == base or one.startswith(f"{base}-") for one in ids):
        return CommonName(base, _checkpoint(base, letters))
    if len(ids) > _MOST_LISTED:
        raise UnknownNameError("model", name, ids, note="several have that name")
    if ids:
        raise UnknownNameError.ambiguous("model", name, ids)
    return None


def _checkpoint(model_id: str, letters: str) -> str:
    """The id where a model's own names begin with ``letters``, else the repository whose name
    does."""
    entry = catalog()[model_id]
    own = (entry.id, entry.public_name.split("/")[-1])
    others = (alias for alias in entry.aliases if "/" in alias)
    if any(plain_letters(name).startswith(letters) for name in own):
        return model_id
    alike = (name for name in others if plain_letters(name.split("/")[-1]).startswith(letters))
    return next(alike, model_id)


@cache
def _families() -> dict[str, str]:
    """Letters of a bare name → the name of the checkpoint that is meant."""
    names = tomllib.loads(_FILE.read_text(encoding="utf-8"))["names"]
    return {plain_letters(name): meant for name, meant in names.items()}


@cache
def _ids_beginning() -> dict[str, tuple[str, ...]]:
    """Letters of the first words of a model's names → the ids of the models that have them."""
    found: dict[str, dict[str, None]] = {}
    for entry in catalog().values():
        for name in (entry.id, entry.public_name, *entry.aliases):
            for letters in beginnings(name.split("/")[-1]):
                found.setdefault(letters, {})[entry.id] = None
    return {letters: tuple(ids) for letters, ids in found.items()}


def beginnings(name: str) -> tuple[str, ...]:
    """The letters of the first word of a name, of the first two, and so on to the whole."""
    words = list(filter(None, _SIGNS.split(name.lower())))
    return tuple("".join(words[: count + 1]) for count in range(len(words)))
