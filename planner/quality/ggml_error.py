"""What rounding weights to each ggml type does to a layer's output.

Types that are schemes are in data/relative_error.json, others in data/ggml_weight_error.json:
evidence for losses measured under such types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.formats.ggml_types import PREFIX

_DATA = Path(__file__).resolve().parent / "data"
_RULED = ("router", "indexer", "norm")
"""Kinds of which no ggml type was measured, or what they hand on is no product of their weights."""


@cache
def ggml_weight_error() -> Mapping[str, Mapping[str, float]]:
    """Relative output error power [type][module kind] of weights alone, quantised from BF16.

    Types as ``q4_k`` (lower case, without suffixes such as ``_r4``, which only interleave rows),
    kinds those of linear layers, ``head`` and ``embedding``. Without an importance matrix. Source:
    the emulated quantisers on synthetic tensors (:mod:`planner.lab.tables.errors`,
    :mod:`planner.lab.tables.ggml`).
    """
    others = _weight_error("ggml_weight_error.json")
    found: dict[str, dict[str, float]] = {}
    for kind, row in _weight_error("relative_error.json")["bf16"].items():
        if kind not in _RULED:
            for scheme, error in row.items():
                if scheme.startswith(PREFIX):
                    found.setdefault(scheme.removeprefix(PREFIX), {})[kind] = error
    return MappingProxyType({name: MappingProxyType(row) for name, row in (found | others).items()})


def _weight_error(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((_DATA / name).read_text(encoding="utf-8"))["weight_error"]
    return table
