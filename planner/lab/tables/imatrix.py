"""What an importance matrix does to the error of each ggml type, on the tensors of errors.py.

``python -m planner.lab.tables.imatrix`` rewrites data/imatrix_error.json. Of twice as many
tokens as there one half makes the matrix, the mean square of each input as llama-imatrix measures
it, and the other is what errors act on: a text measures a matrix once, and the model then reads
others. Head and embedding are left out: llama-imatrix measures neither by default.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from planner.formats.ggml_types import GGML_WEIGHTS, PREFIX
from planner.lab.tables.errors import SEED, six, to_json
from planner.numerics import quantize
from planner.numerics.ggml import ggml_round_trip
from planner.numerics.ggml_registry import GGML_TYPES
from planner.numerics.tiles import FloatArray
from planner.quality import synthetic
from planner.quality.synthetic import LINEAR_KINDS, TOKENS

VERSION = 1
PATH = Path(__file__).resolve().parents[2] / "quality" / "data" / "imatrix_error.json"
ALIKE = ("q8_0", "mxfp4", "nvfp4", "tq1_0", "tq2_0", "q1_0", "q2_0")
"""Types that are written alike with and without an importance matrix."""
METHOD = (
    "Relative output error power of weights alone, BF16 as released, in ggml types as llama.cpp "
    "writes them with an importance matrix, on seeded synthetic tensors (planner/quality/"
    "synthetic.py). The matrix is the mean square of each input over 64 tokens; errors are those "
    "on 64 others. Kinds of the same statistics share a row. "
    "without: the same without a matrix, where the type is written so."
)


def build_tables(
    seed: int,
    kinds: tuple[str, ...] = tuple(LINEAR_KINDS),
    types: tuple[str, ...] = tuple(GGML_WEIGHTS),
) -> dict[str, Any]:
    """with[kind][scheme] and without[kind][scheme]."""
    layers = {kind: _Measured(kind, seed) for kind in dict.fromkeys(map(twin, kinds))}
    names = [name for name in types if name not in ALIKE]
    return {
        "seed": seed,
        "version": VERSION,
        "method": METHOD,
        "with": _spread(
            kinds,
            {
                kind: {PREFIX + name: six(layer.error(name, weighted=True)) for name in names}
                for kind, layer in layers.items()
            },
        ),
        "without": _spread(
            kinds,
            {
                kind: {
                    PREFIX + name: six(layer.error(name, weighted=False))
                    for name in names
                    if not GGML_TYPES[name].weighted_only
                }
                for kind, layer in layers.items()
            },
        ),
    }


def twin(kind: str) -> str:
    """The first kind whose synthetic tensors have the same statistics: one is measured for all."""
    mine = replace(LINEAR_KINDS[kind], measured=True)
    return next(
        k for k, linear_kind in LINEAR_KINDS.items() if replace(linear_kind, measured=True) == mine
    )


def _spread(
    kinds: tuple[str, ...],
    rows: dict[str, dict[str, float]],
) -> dict[str, dict[str, float]]:
    return {kind: rows[twin(kind)] for kind in kinds}


class _Measured:
    """One kind's BF16 tensors and the importance of its inputs."""

    def __init__(self, kind: str, seed: int) -> None:
        self._w = quantize(synthetic.weights(kind, seed), "bf16").dequantize()
        x = quantize(synthetic.activations(kind, seed, tokens=2 * TOKENS), "bf16").dequantize()
        self._x = x[:TOKENS].astype(np.float64)
        self._importance: FloatArray = np.mean(x[TOKENS:].astype(np.float64) ** 2, axis=0).astype(
            np.float32
        )
        self._power = float(np.sum((self._x @ self._w.T.astype(np.float64)) ** 2))

    def error(self, name: str, *, weighted: bool) -> float:
        """Of the other tokens' outputs."""
        after = ggml_round_trip(self._w, name, importance=self._importance if weighted else None)
        change = self._x @ (after.astype(np.float64) - self._w).T
        return float(np.sum(change**2)) / self._power


def main() -> None:
    """Write the shipped table."""
    PATH.write_text(to_json(build_tables(SEED)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
