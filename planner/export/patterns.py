"""Module names as the expressions that configurations carry."""

from __future__ import annotations

import re
from collections.abc import Sequence

from planner.export.assignment import Linear

_MARK = re.compile(r"\{(layer|expert)\}")
MAX_PATTERN = 400
"""Characters of an expression; longer lists of layers are split over several."""


def targets(linear: Linear, *, expand: bool = False) -> list[str]:
    """Names and ``re:`` expressions that match exactly the modules of ``linear``; ``expand`` gives
    every name in full."""
    if expand or not linear.layers:
        return list(linear.names())
    return ["re:" + text for text in expressions(linear)]


def expressions(linear: Linear) -> list[str]:
    """Regular expressions for the modules of ``linear``, anchored at the end."""
    if not linear.layers:
        return [_fill(linear, "")]
    if linear.every:
        return [_fill(linear, r"\d+")]
    room = MAX_PATTERN - len(linear.module) * 2
    parts: list[list[str]] = [[]]
    for layer in linear.layers:
        if sum(len(word) + 1 for word in parts[-1]) + len(str(layer)) > room:
            parts.append([])
        parts[-1].append(str(layer))
    return [_fill(linear, part[0] if len(part) == 1 else f"({'|'.join(part)})") for part in parts]


def _fill(linear: Linear, layers: str) -> str:
    words: Sequence[str] = _MARK.split(linear.module)
    out = [
        re.escape(word).replace(r"\-", "-") if i % 2 == 0 else layers if word == "layer" else r"\d+"
        for i, word in enumerate(words)
    ]
    return "".join(out) + "$"
