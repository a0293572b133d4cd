"""Relative output error of every scheme and cache layout, emulated on synthetic tensors.

``python -m planner.lab.tables.errors`` rewrites data/relative_error.json; with ``--missing`` it
computes schemes and references alone that are not in it yet. For a linear layer
with reference weights W (as released) and inputs X (BF16):

    e = ‖X̂·Ŵᵀ - X·Wᵀ‖² / ‖X·Wᵀ‖²

Ŵ is W itself where the scheme stores the released values and scales, otherwise W re-quantised. For
a cache of BF16 values, e is the same ratio of the attention output with only keys, only values, or
the latent quantised. Products are float64, so that e holds conversion error alone; differences are
formed before the products, so that nothing cancels. Figures are rounded to six digits, far above
what the order of sums may change from machine to machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError
from planner.formats.elements import element
from planner.formats.ggml_types import needs_imatrix
from planner.formats.kv import GGML_CACHES, KV_LAYOUTS
from planner.formats.schemes import SCHEMES, scheme, stores_exactly
from planner.formats.spec import KvLayout, Scheme, TensorFormat
from planner.formats.stored_schemes import mlx_scheme_ids
from planner.numerics import error as compare
from planner.numerics import quantize
from planner.quality import rule_errors, synthetic
from planner.quality.synthetic import CACHE, LINEAR_KINDS, RULE_KINDS, Array

SEED = 20261124
ROTATION = 64
"""Channels of a run that llama.cpp multiplies by a Hadamard matrix: all of a synthetic head."""
VERSION = 1
# One scheme for each way to store weights that releases use; re-quantising starts from its values.
REFERENCES = (
    "bf16", "fp8-tensor", "fp8-channel", "fp8-block", "fp8-block-ue8m0", "int8-w8a8",
    "int4-w4a16", "int4-w4a16-g32", "nvfp4", "mxfp4", "mxfp8", "ggml-q8_0", "ggml-q4_0",
    "ggml-q4_k", "ggml-q6_k",
)  # fmt: skip
FILE_REFERENCES = (
    "ggml-q5_1", "ggml-q5_k", "ggml-q5_0", "ggml-q4_1", "ggml-iq4_nl", "ggml-nvfp4", "ggml-mxfp4",
    "ggml-iq4_xs", "ggml-q3_k", "ggml-iq3_s", "ggml-q2_k", "ggml-q2_0", "ggml-tq2_0",
    "ggml-tq1_0", "ggml-q1_0",
)  # fmt: skip
"""Types of tensors in GGUF files: from each, errors of FROM_FILES and of itself are known."""
FROM_FILES = (
    "fp32", "bf16", "fp16", "fp8-tensor", "fp8-channel", "fp8-block", "int8-w8a8", "ggml-q8_0",
    "ggml-q6_k", "ggml-q4_k", "ggml-q4_0",
)  # fmt: skip
"""Plain types, those that limits on loss are named after, and types of llama.cpp."""
SLOW = ("ggml-iq3_s",)
"""Searched on a grid: known from BF16 and from themselves."""
FOR_MLX = (
    "bf16", "fp8-tensor", "fp8-channel", "fp8-block", "fp8-block-ue8m0", "mxfp4",
)  # fmt: skip
"""Releases that are converted to MLX's formats."""
RANGES = ("overflow", "flushed")
"""Shares that are left out where they are 0, which is nearly everywhere."""
PATH = Path(__file__).resolve().parents[2] / "quality" / "data" / "relative_error.json"

METHOD = (
    "Relative output error power of value-exact quantisation on seeded synthetic tensors "
    "(planner/quality/synthetic.py). weight_error and activation_error quantise one side only. "
    "overflow and flushed are shares of weights plus activations; flushed counts non-zero values "
    "that a float format of 8 or more bits turns to zero (in integers and narrower floats zero is "
    "an ordinary level, its error is in e); a scheme without either is left out. Cache layouts: "
    "attention output, one part quantised; rotated_cache_error: ggml's types behind a Hadamard "
    "rotation of 64 channels, as llama.cpp keeps them. "
    "ggml types: the bytes of llama.cpp's quantiser without an importance matrix (equal to "
    "llama.cpp 0c1e570 on every block tried); activations in blocks of 32, beside types of 256 in "
    "Q8_K blocks of 256 as CPUs do (CUDA has blocks of 32 there too, with less error). "
    "Kinds that rules keep as released: planner/quality/rule_errors.py."
)

FloatArray = npt.NDArray[np.float32]
Table = dict[str, dict[str, dict[str, float]]]


def emulated_schemes() -> tuple[str, ...]:
    """The schemes in the table, in catalogue order: all but types that llama-quantize writes with
    an importance matrix only, whose error is that of a matrix (``plan profile --imatrix``)."""
    return tuple(name for name in SCHEMES if not needs_imatrix(name))


def schemes_from(reference: str) -> tuple[str, ...]:
    """The schemes whose error from weights released as ``reference`` is in the table."""
    mlx = mlx_scheme_ids() if reference in FOR_MLX else ()
    if reference == "bf16":
        return (*emulated_schemes(), *mlx)
    if reference in REFERENCES:
        return (*(name for name in emulated_schemes() if name not in SLOW), *mlx)
    return tuple(name for name in emulated_schemes() if name in (*FROM_FILES, reference))


def six(value: float) -> float:
    """Rounded to six significant digits.

    Raises InputError for a value that is not finite: a table holds none.
    """
    if not np.isfinite(value):
        raise InputError(
            f"an error of {value} cannot be tabulated",
            hint="the scheme overflows on this tensor: choose a scheme with a wider range",
        )
    return float(f"{value:.5e}")


def build_tables(seed: int, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All tables for ``seed``: error[reference][kind][scheme] and its parts, cache_error[kind].

    ``known``: tables of an earlier run, whose figures stand; what they lack is computed.
    """
    names = ("error", "weight_error", "activation_error", "overflow", "flushed")
    every = (*REFERENCES, *FILE_REFERENCES)
    tables: dict[str, Table] = {n: {r: {} for r in every} for n in names}
    for kind in (*LINEAR_KINDS, *RULE_KINDS):
        layer = _Layer(kind, seed)
        for reference in every:
            there = {n: known[n].get(reference, {}).get(kind, {}) for n in names} if known else {}
            rows = {
                s: layer.row(reference, scheme(s))
                for s in schemes_from(reference)
                if rule_errors.applies(kind, scheme(s)) and s not in there.get("error", {})
            }
            for name in names:
                tables[name][reference][kind] = there.get(name, {}) | {
                    s: six(row[name]) for s, row in rows.items() if row[name] or name not in RANGES
                }
    return {
        "seed": seed,
        "version": VERSION,
        "method": METHOD,
        "shapes": {
            k: [_tokens(k), s.inputs, s.outputs]
            for k, s in (*LINEAR_KINDS.items(), *RULE_KINDS.items())
        },
        "kurtosis": {k: six(_kurtosis(synthetic.activations(k, seed))) for k in LINEAR_KINDS},
        "cache_error": _cache_tables(seed),
        "rotated_cache_error": _cache_tables(seed, ROTATION),
        **tables,
    }


def _tokens(kind: str) -> int:
    return rule_errors.TOKENS.get(kind, synthetic.TOKENS)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Inputs as the schemes that round like ``owner`` multiply them, what that changes, and the
    (overflowed, flushed) elements."""

    owner: str
    after: FloatArray
    change: Array
    failures: tuple[int, int]


class _Layer:
    """One kind's tensors; quantised weights and inputs are kept for the schemes that share them."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind = kind
        self.x = quantize(
            synthetic.activations(kind, seed, tokens=_tokens(kind)), "bf16"
        ).dequantize()
        master = quantize(synthetic.weights(kind, seed), "bf16").dequantize()
        self._reference = cache(lambda r: quantize(master, r).dequantize())
        self._exact = cache(lambda r: _product(self.x, self._reference(r)))
        self._weights: dict[TensorFormat, FloatArray] = {}
        self._of = ""
        self._result = cache(
            lambda r: rule_errors.result_of(kind, self.x, self._reference(r), seed)
        )
        self._inputs = cache(self._quantised_inputs)
        self._input_error = cache(self._error_of_inputs)

    def _quantised_weights(self, reference: str, fmt: TensorFormat) -> FloatArray:
        """Kept for other schemes of the same reference, which are asked for one after the other."""
        if reference != self._of:
            self._of, self._weights = reference, {}
        if fmt not in self._weights:
            w = self._reference(reference)
            self._weights[fmt] = (
                w if stores_exactly(reference, fmt) else quantize(w, fmt).dequantize()
            )
        return self._weights[fmt]

    def _quantised_inputs(self, id: str) -> _Inputs:
        after = quantize(self.x, id, role="activation").dequantize()
        return _Inputs(
            id,
            after,
            _difference(after, self.x),
            _range_failures(self.x, after, scheme(id).activation),
        )

    def _error_of_inputs(self, reference: str, id: str) -> float:
        """Power of what rounded inputs change alone in a product."""
        change = _product(self._inputs(id).change, self._reference(reference))
        return float(np.sum(change**2))

    def row(self, reference: str, s: Scheme) -> dict[str, float]:
        """Errors and range failures of one scheme."""
        w = self._reference(reference)
        w_hat = self._quantised_weights(reference, s.weight)
        inputs = self._inputs(_activation_owner(s))
        ranges, count = [_range_failures(w, w_hat, s.weight)], w.size
        if self.kind not in rule_errors.WEIGHTS_ALONE:
            ranges.append(inputs.failures)
            count += self.x.size
        errors = self._linear_errors if self.kind in LINEAR_KINDS else self._rule_errors
        return {
            **errors(reference, inputs, w_hat),
            "overflow": sum(r[0] for r in ranges) / count,
            "flushed": sum(r[1] for r in ranges) / count,
        }

    def _linear_errors(
        self, reference: str, inputs: _Inputs, w_hat: FloatArray
    ) -> dict[str, float]:
        """Of a product; differences come first, so that nothing cancels."""
        w, exact = self._reference(reference), self._exact(reference)
        power = float(np.sum(exact * exact))
        from_weights = _product(self.x, _difference(w_hat, w))
        both = _product(inputs.change, w_hat) + from_weights
        return {
            "error": float(np.sum(both**2)) / power,
            "weight_error": float(np.sum(from_weights**2)) / power,
            "activation_error": self._input_error(reference, inputs.owner) / power,
        }

    def _rule_errors(self, reference: str, inputs: _Inputs, w_hat: FloatArray) -> dict[str, float]:
        """Of what a kind hands on (:mod:`planner.quality.rule_errors`)."""
        w = self._reference(reference)
        result = self._result(reference)
        exact = result(self.x, w)
        power = float(np.sum(exact * exact))
        sides = {
            "error": (inputs.after, w_hat),
            "weight_error": (self.x, w_hat),
            "activation_error": (inputs.after, w),
        }
        return {
            name: float(np.sum((result(*pair) - exact) ** 2)) / power
            for name, pair in sides.items()
        }


def _activation_owner(s: Scheme) -> str:
    """One scheme id per way to quantise activations, so that equal ways share a result."""
    return next(o.id for o in SCHEMES.values()
                if o.activation == s.activation
                and o.id.startswith("fp8-block") == s.id.startswith("fp8-block"))  # fmt: skip


def _product(x: FloatArray | Array, w: FloatArray | Array) -> Array:
    return x.astype(np.float64, copy=False) @ w.astype(np.float64, copy=False).T


def _difference(a: FloatArray, b: FloatArray) -> Array:
    return a.astype(np.float64) - b


def _range_failures(a: FloatArray, b: FloatArray, fmt: TensorFormat) -> tuple[int, int]:
    """(overflowed, flushed) elements of one side."""
    stats, target = compare(a, b), element(fmt.element)
    counts_zeros = target.kind == "float" and target.bits >= 8
    return stats.overflowed, stats.flushed if counts_zeros else 0


def _kurtosis(x: FloatArray) -> float:
    squares = x.astype(np.float64) ** 2
    return float((squares * squares).mean() / squares.mean() ** 2)


def _cache_tables(seed: int, rotation: int = 0) -> dict[str, dict[str, float]]:
    """Errors by kind and layout; with a ``rotation``, of keys and values in ggml's types, runs of
    so many channels being multiplied by a Hadamard matrix first, queries alike."""
    k, v = _as_bf16(synthetic.keys(seed)), _as_bf16(synthetic.values(seed))
    q = synthetic.queries(seed, "heads", CACHE.heads, CACHE.queries, CACHE.width)
    scale = CACHE.logit_std / float(np.std(q @ k.swapaxes(-1, -2)))
    exact = _attend(q * scale, k, v)

    def key_error(layout: KvLayout) -> float:
        return compare(exact, _attend(q * scale, _stored(k, layout, rotation), v)).relative_power

    def value_error(layout: KvLayout) -> float:
        return compare(exact, _attend(q * scale, k, _stored(v, layout, rotation))).relative_power

    makers: dict[str, Callable[[KvLayout], float]] = {"kv-k": key_error, "kv-v": value_error}
    if not rotation:
        makers["kv-latent"] = _latent_errors(seed)
    names = GGML_CACHES if rotation else tuple(KV_LAYOUTS)
    return {
        kind: {
            name: six(make(KV_LAYOUTS[name]))
            for name in names
            if kind in KV_LAYOUTS[name].applies_to
        }
        for kind, make in makers.items()
    }


def _latent_errors(seed: int) -> Callable[[KvLayout], float]:
    """MLA with absorbed projections: logits from latent and rope, output from the latent."""
    c = _as_bf16(synthetic.latents(seed))
    q = synthetic.queries(seed, "latent", CACHE.heads, CACHE.queries, c.shape[1])
    q = q * (CACHE.logit_std / float(np.std(q @ c.T)))
    exact = _attend(q, c, c[:, : CACHE.latent])

    def latent_error(layout: KvLayout) -> float:
        latent = _stored(c[None, :, : CACHE.latent], layout)[0]
        rope_layout = KV_LAYOUTS[layout.rope_element] if layout.rope_element else layout
        rope = _stored(c[None, :, CACHE.latent :], rope_layout)[0]
        keys = np.concatenate([latent, rope], axis=1)
        return compare(exact, _attend(q, keys, latent)).relative_power

    return latent_error


def _attend(q: Array, k: Array, v: Array) -> Array:
    """softmax(q·kᵀ)·v over the last two axes; q carries the logit scale."""
    logits = q @ k.swapaxes(-1, -2)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = (weights / weights.sum(axis=-1, keepdims=True)) @ v
    return result


def _stored(x: Array, layout: KvLayout, rotation: int = 0) -> Array:
    """(heads, tokens, width) as a cache of ``layout`` returns it."""
    matrix = x.reshape(-1, x.shape[-1]).astype(np.float32)
    back = quantize(matrix, replace(layout.stored, rotation=rotation)).dequantize()
    return back.reshape(x.shape).astype(np.float64)


def _as_bf16(x: Array) -> Array:
    """The reference cache is BF16."""
    return _stored(x, KV_LAYOUTS["bf16"])


def to_json(tables: dict[str, Any]) -> str:
    """JSON with sorted keys and one line for each mapping or list of plain values."""
    return _lines(tables, 0) + "\n"


def _lines(value: Any, depth: int) -> str:
    if not isinstance(value, dict) or not any(isinstance(v, dict) for v in value.values()):
        return json.dumps(value, sort_keys=True)
    pad = " " * (depth + 1)
    inner = [f"{pad}{json.dumps(k)}: {_lines(value[k], depth + 1)}" for k in sorted(value)]
    return "{\n" + ",\n".join(inner) + "\n" + " " * depth + "}"


def main(arguments: Sequence[str]) -> None:
    """Write the shipped table: all of it, or with ``--missing`` what it lacks."""
    known = json.loads(PATH.read_text(encoding="utf-8")) if "--missing" in arguments else None
    PATH.write_text(to_json(build_tables(SEED, known)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
