"""What a configuration may ask of the process that builds it: checked before it is started."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from planner.errors import DataError
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS
from planner.models.strict_json import shown

_MOST = 2**40
_LAYERS = re.compile(r"(^|_)(layers?|n_layers?|depths?|blocks?|stages?)$")
_EXPERTS = re.compile(r"experts?$")
_LONGEST = 4 * MAX_LAYERS
MAX_MODULES = 10**6
"""Layers × experts: older classes make a module of each expert."""


def check(values: Mapping[str, object], place: str) -> None:
    """Refuse sizes that no model has, wherever they are nested.

    Raises:
        DataError: naming the key.
    """
    layers = experts = 1
    for name, value in _walk(values):
        key = name.rpartition(".")[2]
        if isinstance(value, list) and len(value) > _LONGEST and key not in ("vocab",):
            raise _error(place, name, f"is a list of {len(value):,}", _LONGEST)
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        if not -_MOST <= value <= _MOST:
            raise _error(place, name, f"is {shown(value)}", _MOST)
        if _LAYERS.search(key):
            layers = max(layers, _within(place, name, value, MAX_LAYERS))
        elif _EXPERTS.search(key):
            experts = max(experts, _within(place, name, value, MAX_EXPERTS))
        elif key.endswith(("position_embeddings", "n_positions", "max_seq_len")):
            _within(place, name, value, MAX_CONTEXT)
    if layers * experts > MAX_MODULES:
        raise DataError(
            f"{place}: {layers:,} layers of {experts:,} experts are more than "
            f"{MAX_MODULES:,} modules",
            hint="check the sizes in the configuration",
        )


def _walk(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            if key not in ("id2label", "label2id"):
                yield from _walk(value, f"{name}.")
            continue
        yield name, value
        if isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _walk(item, f"{name}.")
                elif isinstance(item, int):
                    yield name, item


def _within(place: str, name: str, value: int, most: int) -> int:
    if value > most:
        raise _error(place, name, f"is {value:,}", most)
    return value


def _error(place: str, name: str, what: str, most: int) -> DataError:
    return DataError(
        f"{place}: {shown(name)} {what}; the most is {most:,}",
        hint="check the sizes in the configuration: no model is that large",
    )
