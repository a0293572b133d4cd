"""Fitted sets of a checked profile, read from its text when they are asked for.

A plan uses a third of the hundred sets that a device and its relative bring, and reading TOML is
slow.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from planner.hardware.profile import FitError, FittedSet

Key = tuple[str, str, str]
"""Operator, stack, variant."""
_HEADER = "\n[[fitted]]\n"
_NAMES = re.compile(r'^(operator|stack|variant) = "([^"\\]*)"$', re.MULTILINE)


class FittedSets(Mapping[Key, FittedSet]):
    """Sets by key, from the text of each."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[Key, str]) -> None:
        self._texts = texts

    def __getitem__(self, key: Key) -> FittedSet:
        return _read(self._texts[key])

    def __contains__(self, key: object) -> bool:
        return key in self._texts

    def __iter__(self) -> Iterator[Key]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


class InheritedSets(Mapping[Key, tuple[str, str, FittedSet]]):
    """(device, architecture, set) by key, from the mapping that holds each set."""

    __slots__ = ("_places",)

    def __init__(self, places: Mapping[Key, tuple[str, str, Mapping[Key, FittedSet]]]) -> None:
        self._places = places

    def __getitem__(self, key: Key) -> tuple[str, str, FittedSet]:
        device, architecture, sets = self._places[key]
        return device, architecture, sets[key]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def split_fitted(text: str) -> tuple[str, FittedSets | None]:
    """(the profile without its fitted sets, the sets), or (``text``, None) where they are not the
    end of the file, one plain table each."""
    core, *tails = text.split(_HEADER)
    texts: dict[Key, str] = {}
    for tail in tails:
        names = _NAMES.findall(tail)
        found = dict(names)
        if len(names) != 3 or len(found) != 3 or "\n[" in tail or tail.startswith("["):
            return text, None
        texts[found["operator"], found["stack"], found["variant"]] = tail
    return (core + "\n", FittedSets(texts)) if len(texts) == len(tails) else (text, None)


@cache
def _read(text: str) -> FittedSet:
    return fitted_set(tomllib.loads(text))


def fitted_set(table: Mapping[str, Any]) -> FittedSet:
    """The record of one ``[[fitted]]`` table."""
    error = table["error"]
    return FittedSet(
        operator=table["operator"],
        stack=table["stack"],
        software=table["software"],
        variant=table["variant"],
        parameters=MappingProxyType({k: float(v) for k, v in table.get("parameters", {}).items()}),
        table=MappingProxyType(
            {k: tuple(map(float, v)) for k, v in table.get("table", {}).items()}
        ),
        error=FitError(
            int(error["rows"]),
            int(error["held_out"]),
            *(float(error[k]) for k in ("mean", "median", "bias", "sigma", "coverage")),
        ),
        kind=table["kind"],
        source=table["source"],
        date=table["date"],
        note=table.get("note", ""),
    )
