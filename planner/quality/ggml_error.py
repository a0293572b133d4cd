"""What rounding weights to each ggml type does to a layer's output (data/ggml_weight_error.json).

Types beyond the schemes that plans choose from: evidence for losses measured under such types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_PATH = Path(__file__).resolve().parent / "data" / "ggml_weight_error.json"


@cache
def ggml_weight_error() -> Mapping[str, Mapping[str, float]]:
    """Relative output error power [type][module kind] of weights alone, quantised from BF16.

    Types as ``q4_k`` (lower case, without suffixes such as ``_r4``, which only interleave rows),
    kinds those of linear layers, ``head`` and ``embedding``. Without an importance matrix. Source:
    the emulators of :mod:`planner.numerics.ggml` on synthetic tensors
    (:mod:`planner.quality.ggml_tables`).
    """
    table: dict[str, dict[str, float]] = json.loads(
        _PATH.read_text(encoding="utf-8"))["weight_error"]
    return MappingProxyType({name: MappingProxyType(row) for name, row in table.items()})
