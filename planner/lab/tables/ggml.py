"""Relative output error of weights in ggml types that are no schemes, on the tensors of errors.py.

``python -m planner.lab.tables.ggml`` rewrites data/ggml_weight_error.json. As there, for
weights W released in BF16 and inputs X in BF16, ‖X·(Ŵ - W)ᵀ‖² / ‖X·Wᵀ‖² in float64; for the
embedding of its rows. Types that are schemes are in data/relative_error.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.formats.ggml_types import GGML_WEIGHTS
from planner.lab.tables.errors import SEED, six, to_json
from planner.numerics import quantize
from planner.numerics.ggml import ggml_round_trip
from planner.numerics.ggml_registry import ACTIVATIONS, GGML_TYPES
from planner.quality import synthetic
from planner.quality.rule_errors import WEIGHTS_ALONE
from planner.quality.synthetic import LINEAR_KINDS, Array

VERSION = 2
KINDS = (*LINEAR_KINDS, "head", "embedding")
TYPES = tuple(name for name in GGML_TYPES if name not in GGML_WEIGHTS and name not in ACTIVATIONS)
"""Types that other programs than llama.cpp write: evidence for losses measured under them."""
PATH = Path(__file__).resolve().parents[2] / "quality" / "data" / "ggml_weight_error.json"

METHOD = (
    "Relative output error power of value-exact quantisation of weights from BF16, on the seeded "
    "synthetic tensors of relative_error.json, which has the types of llama.cpp. q6_0 is a type of "
    "ik_llama.cpp, by its rule, without an importance matrix."
)

Floats = npt.NDArray[np.float32]


def build_tables(seed: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """weight_error[type][kind]."""
    layers = {kind: _Weights(kind, seed) for kind in kinds}
    return {
        "seed": seed,
        "version": VERSION,
        "method": METHOD,
        "weight_error": {
            name: {kind: six(layer.error(name)) for kind, layer in layers.items()} for name in TYPES
        },
    }


class _Weights:
    """One kind's BF16 tensors and the power of what it hands on."""

    def __init__(self, kind: str, seed: int) -> None:
        self._looked_up = kind in WEIGHTS_ALONE
        self._w = quantize(synthetic.weights(kind, seed), "bf16").dequantize()
        self._x = quantize(synthetic.activations(kind, seed), "bf16").dequantize()
        self._power = _power(self._result(self._w))

    def _result(self, w: Floats | Array) -> Array:
        rows = w.astype(np.float64)
        return rows if self._looked_up else self._x.astype(np.float64) @ rows.T

    def error(self, name: str) -> float:
        change = ggml_round_trip(self._w, name).astype(np.float64) - self._w
        return _power(self._result(change)) / self._power


def _power(values: Array) -> float:
    return float(np.sum(values * values))


def main() -> None:
    """Write the shipped table."""
    PATH.write_text(to_json(build_tables(SEED)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
