"""Relative output error of weights in every emulated ggml type, on the tensors of error_tables.

``python -m planner.quality.ggml_tables`` rewrites data/ggml_weight_error.json. As there, for
weights W released in BF16 and inputs X in BF16, ‖X·(Ŵ - W)ᵀ‖² / ‖X·Wᵀ‖² in float64; for the
embedding of its rows. Beside it the error of rounding inputs alone, to the blocks that each type's
products take their inputs in on CPUs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.numerics import quantize
from planner.numerics.ggml import ggml_round_trip
from planner.numerics.ggml_registry import GGML_TYPES
from planner.quality import synthetic
from planner.quality.error_tables import SEED, six, to_json
from planner.quality.rule_errors import WEIGHTS_ALONE
from planner.quality.synthetic import LINEAR_KINDS, Array

VERSION = 1
KINDS = (*LINEAR_KINDS, "head", "embedding")
PATH = Path(__file__).resolve().parent / "data" / "ggml_weight_error.json"
# Scheme whose activation is stored in these blocks.
_INPUTS = {"q8_0": "ggml-q8_0", "q8_k": "ggml-q4_k"}
_IN_LARGE_BLOCKS = ("q6_k", "q5_k", "q4_k", "q3_k", "q2_k", "iq4_xs")

METHOD = (
    "Relative output error power of value-exact quantisation of weights from BF16, on the seeded "
    "synthetic tensors of relative_error.json. Types as llama.cpp's reference quantisers write "
    "them without an importance matrix (equal to ggml 0.25.3 on every block tried; q6_0 is a type "
    "of ik_llama.cpp, by its rule). activation_error: inputs alone in blocks of 32 (q8_0; q8_1, "
    "beside types with a minimum, rounds alike) or of 256 (q8_k), as input_blocks says for CPUs; "
    "CUDA has blocks of 32 beside all types."
)

Floats = npt.NDArray[np.float32]


def build_tables(seed: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """weight_error[type][kind], activation_error[blocks][kind] and input_blocks[type]."""
    layers = {kind: _Layer(kind, seed) for kind in kinds}
    return {
        "seed": seed,
        "version": VERSION,
        "method": METHOD,
        "input_blocks": {name: "q8_k" if name in _IN_LARGE_BLOCKS else "q8_0"
                         for name in GGML_TYPES},
        "weight_error": {name: {kind: six(layer.weight_error(name))
                                for kind, layer in layers.items()} for name in GGML_TYPES},
        "activation_error": {name: {kind: six(layer.activation_error(owner))
                                    for kind, layer in layers.items()}
                             for name, owner in _INPUTS.items()},
    }


class _Layer:
    """One kind's BF16 tensors and the power of what it hands on."""

    def __init__(self, kind: str, seed: int) -> None:
        self.looked_up = kind in WEIGHTS_ALONE
        self.w = quantize(synthetic.weights(kind, seed), "bf16").dequantize()
        self.x = quantize(synthetic.activations(kind, seed), "bf16").dequantize()
        self.power = _power(self._result(self.x, self.w))

    def _result(self, x: Floats | Array, w: Floats | Array) -> Array:
        rows = w.astype(np.float64)
        return rows if self.looked_up else x.astype(np.float64) @ rows.T

    def weight_error(self, name: str) -> float:
        change = ggml_round_trip(self.w, name).astype(np.float64) - self.w
        return _power(self._result(self.x, change)) / self.power

    def activation_error(self, owner: str) -> float:
        if self.looked_up:
            return 0.0
        rounded = quantize(self.x, owner, role="activation").dequantize()
        return _power(self._result(rounded.astype(np.float64) - self.x, self.w)) / self.power


def _power(values: Array) -> float:
    return float(np.sum(values * values))


def main() -> None:
    """Write the shipped table."""
    PATH.write_text(to_json(build_tables(SEED)), encoding="utf-8")


if __name__ == "__main__":
    main()
