"""Devices as people write them: case, spaces, signs and the words of vendors do not matter, and a
bare family means its commonest variant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from planner.base.records import record

_VENDORS = frozenset(
    [
        "nvidia",
        "geforce",
        "tesla",
        "amd",
        "instinct",
        "radeon",
        "intel",
        "apple",
        "aws",
        "google",
        "huawei",
        "gpu",
    ]
)
_SIGNS = re.compile(r"[\s_/-]+")


@record
class Spelling:
    """What a name means: ``id``, and whether that is one variant of a family that the name leaves
    open. ``id`` is empty where none is meant; ``candidates`` are those it may mean."""

    id: str = ""
    of_family: bool = False
    candidates: tuple[str, ...] = ()


def canonical_name(name: str) -> str:
    """Lower case with hyphens: the spelling that ids and alias maps use."""
    return name.strip().lower().replace("_", "-")


def folded(name: str) -> str:
    """``name`` without vendors' words, spaces and signs: ``NVIDIA GeForce RTX 4090`` is rtx4090."""
    words = _SIGNS.split(name.strip().lower())
    return "".join(word for word in words if word not in _VENDORS)


def meant(
    name: str, ids: Iterable[str], aliases: Mapping[str, str], families: Mapping[str, str]
) -> Spelling:
    """The device that ``name`` means, by falling certainty: an id or alias as it is written, one
    that is alike but for signs and vendors' words, a family, the only id that has all its words.

    Args:
        ids: known devices.
        aliases: other spellings → id.
        families: bare names → the id of the commonest variant.
    """
    wanted, known = canonical_name(name), tuple(ids)
    exact = {**dict(zip(known, known, strict=True)), **aliases}
    if wanted in exact:
        return Spelling(exact[wanted])
    short = folded(name)
    if not short:
        return Spelling()
    joined = _SIGNS.sub("", wanted)
    alike = {
        id
        for spelling, id in exact.items()
        if folded(spelling) == short or _SIGNS.sub("", spelling) == joined
    }
    if len(alike) == 1:
        return Spelling(alike.pop())
    family = {folded(bare): id for bare, id in families.items()}.get(short)
    if family is not None:
        return Spelling(family, of_family=True)
    words = _words(name)
    having = sorted({id for spelling, id in exact.items() if words and words <= _words(spelling)})
    if len(having) == 1 and any(word[0].isdigit() for word in words):
        return Spelling(having[0], of_family=True)
    return Spelling(candidates=tuple(having))


def _words(name: str) -> frozenset[str]:
    """What signs part, without vendors' words: l40 is no part of l40s."""
    return frozenset(_SIGNS.split(name.strip().lower())) - _VENDORS - {""}
