"""The error of one linear layer under a scheme, split by cause, on seeded synthetic tensors.

    weight       Ŵ exact X            activation   W exact X̂
    rounding     both, exact sums     accumulation the same codes through a matrix unit

Every figure is a relative error, ‖Y − Y_ref‖ / ‖Y_ref‖ (Frobenius); Y_ref = X·Wᵀ in float64 of the
BF16 tensors. Accumulation is measured against the exact product of the same rounded operands, so it
is what the unit alone adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.base.display import as_frame, as_table, as_text, with_former_methods
from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.elements import ELEMENTS
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.spec import Scheme, TensorFormat
from planner.numerics import decode, encode, hadamard, quantize
from planner.numerics.matrix_units import DotRule, Unit
from planner.numerics.quantization import Quantized, Role
from planner.numerics.unit_catalog import unit
from planner.quality.synthetic import LINEAR_KINDS, activations, linear_kind, weights
from planner.quality.unit_products import PROMOTION, Doubles, Singles, exact_product, through_unit

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_UNITS = (
    "exact",
    "fp32",
    "volta",
    "ampere",
    "ada",
    "hopper-wgmma",
    "blackwell-tcgen05",
    "blackwell-block-scaled",
    "int8-imma",
    "avx512-bf16",
    "avx2-maddubs",
    "amx-bf16",
)
"""One unit a family; the mma.sync twins and the other exact integer units add nothing to see."""
SAMPLED_TOKENS, SAMPLED_OUTPUTS = 8, 16
"""Accumulation is emulated for the first of these: rows of the synthetic tensors are exchangeable,
and each takes a chain of additions as long as the layer is wide."""


@dataclass(frozen=True, slots=True)
class Accumulation:
    """What one unit adds. ``promote_every`` None: the instruction chain alone.

    ``relative_error`` is of a sample of ``tokens`` × ``outputs``, ``standard_error`` that of the
    sample, in the same unit: what another sample of the layer would differ by.
    """

    unit: str
    promote_every: int | None
    relative_error: float
    verified_against: str
    standard_error: float
    tokens: int
    outputs: int

    @property
    def label(self) -> str:
        return self.unit if self.promote_every is None else f"{self.unit} +{self.promote_every}"


@dataclass(frozen=True, slots=True)
class LayerError:
    """One scheme on one layer; relative errors, not powers."""

    scheme: str
    weight: float
    activation: float
    rounding: float
    accumulations: tuple[Accumulation, ...]


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The layer that was emulated: all inputs, a sample of outputs and tokens."""

    kind: str
    inputs: int
    outputs: int
    tokens: int
    seed: int


@with_former_methods
@dataclass(frozen=True, slots=True)
class LayerNumerics:
    """The answer of ``plan numerics``: one model's layer under several schemes."""

    model: str
    shape: LayerShape
    layers: tuple[LayerError, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data; relative errors, not powers."""
        return {
            "model": self.model,
            "shape": asdict(self.shape),
            "layers": [asdict(layer) for layer in self.layers],
            "notes": list(self.notes),
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a scheme and unit."""
        return as_frame(
            [
                {
                    "scheme": e.scheme,
                    "weight_relative_error": e.weight,
                    "activation_relative_error": e.activation,
                    "rounding_relative_error": e.rounding,
                    "unit": a.label,
                    "accumulation_relative_error": a.relative_error,
                    "accumulation_standard_error": a.standard_error,
                }
                for e in self.layers
                for a in e.accumulations
            ]
        )

    __str__ = as_text

    def _repr_html_(self) -> str:
        return as_table(self.to_frame())


def layer_errors(
    shape: LayerShape,
    schemes: Sequence[str],
    units: Sequence[str] | None = None,
    rules: str | None = None,
) -> tuple[LayerError, ...]:
    """Error split of every scheme on one layer.

    Args:
        shape: kind (its statistics), K = inputs, sampled outputs and tokens, seed.
        schemes: scheme ids; weight-only ones multiply in BF16.
        units: matrix units to try; None = one of each family that takes the operands.
        rules: a preset whose casts and scales are taken in place of the schemes' own.
    Raises:
        UnknownNameError: a kind, scheme or unit that does not exist. UnsupportedError: a scheme
        whose encoder is not emulated, a unit of ``units`` that multiplies none of the schemes.
        InputError: a size that is not positive.
    """
    if shape.kind not in LINEAR_KINDS:
        raise UnknownNameError("module kind", shape.kind, LINEAR_KINDS)
    if min(shape.inputs, shape.outputs, shape.tokens) < 1:
        raise InputError(
            "a layer needs at least one input, output and token", hint="give positive sizes"
        )
    spec = linear_kind(shape.kind, shape.inputs, shape.outputs)
    w = _bf16(weights(shape.kind, shape.seed, spec))
    x = _bf16(activations(shape.kind, shape.seed, spec, tokens=shape.tokens))
    chosen = [unit(name) for name in (units if units is not None else DEFAULT_UNITS)]
    exact = exact_product(x, w)
    errors = tuple(
        _one(scheme_by_id(name), x, w, exact, chosen, _Rounding(shape.seed, rules))
        for name in schemes
    )
    used = {a.unit for layer in errors for a in layer.accumulations}
    for matrix_unit in chosen if units is not None else ():
        if matrix_unit.id not in used:
            raise UnsupportedError(
                f"unit {matrix_unit.id} takes the operands of none of: "
                + ", ".join(layer.scheme for layer in errors),
                hint=f"{matrix_unit.id} takes " + ", ".join(matrix_unit.formats()),
            )
    return errors


def _bf16(x: Singles) -> Singles:
    return decode(encode(x, "bf16"), "bf16")


def _relative(y: Doubles, reference: Doubles, scale: Doubles) -> float:
    return float(np.linalg.norm(y - reference) / np.linalg.norm(scale))


@dataclass(frozen=True, slots=True)
class _Rounding:
    """How operands are quantised: by a preset's rules, or None; random bits come from the seed."""

    seed: int
    rules: str | None

    def quantised(self, x: Singles, fmt: TensorFormat, scheme: Scheme, role: Role) -> Quantized:
        bits = np.random.default_rng(self.seed) if fmt.random_bits else None
        named = None if fmt.scale is None or fmt.block_bytes is not None else self.rules
        return quantize(x, scheme, role=role, policy=named, rng=bits)


def _unrotated(scheme: Scheme, x: Singles, w: Singles) -> tuple[Scheme, Singles, Singles]:
    """A scheme that rotates, as one that does not, of rotated operands: their product is the
    same."""
    size = scheme.weight.rotation
    if not size:
        return scheme, x, w
    plain = replace(
        scheme,
        weight=replace(scheme.weight, rotation=0),
        activation=replace(scheme.activation, rotation=0),
    )
    return plain, hadamard(x, size), hadamard(w, size)


def _one(
    scheme: Scheme,
    x: Singles,
    w: Singles,
    exact: Doubles,
    units: Sequence[Unit],
    rounding: _Rounding,
) -> LayerError:
    scheme, x, w = _unrotated(scheme, x, w)
    qw = rounding.quantised(w, scheme.weight, scheme, "weight")
    plain = scheme.activation.scale is None
    qx = None if plain else rounding.quantised(x, scheme.activation, scheme, "activation")
    w_hat = qw.dequantize()
    x_hat = (
        decode(encode(x, scheme.activation.element), scheme.activation.element)
        if qx is None
        else qx.dequantize()
    )
    rounded = exact_product(x_hat, w_hat)
    return LayerError(
        scheme.id,
        weight=_relative(exact_product(x, w_hat), exact, exact),
        activation=_relative(exact_product(x_hat, w), exact, exact),
        rounding=_relative(rounded, exact, exact),
        accumulations=_accumulations(scheme, x_hat, w_hat, qx, qw, exact, units),
    )


def _first(q: Quantized, rows: int) -> Quantized:
    """The first rows of a matrix with the scales of their blocks."""
    if q.scales is None or q.format.scale is None or q.storage is not None:
        return replace(q, codes=q.codes[:rows])
    height = q.format.scale.block_rows or q.codes.shape[0]
    blocks = -(-rows // height)
    zero = None if q.zero_points is None else q.zero_points[:blocks]
    return replace(q, codes=q.codes[:rows], scales=q.scales[:blocks], zero_points=zero)


def _accumulations(
    scheme: Scheme,
    x_hat: Singles,
    w_hat: Singles,
    qx: Quantized | None,
    qw: Quantized,
    scale: Doubles,
    units: Sequence[Unit],
) -> tuple[Accumulation, ...]:
    """What each unit adds in a sample of the outputs; units with one rule are emulated once."""
    tokens, outputs = min(SAMPLED_TOKENS, len(x_hat)), min(SAMPLED_OUTPUTS, len(w_hat))
    x_hat, w_hat, scale = x_hat[:tokens], w_hat[:outputs], scale[:tokens, :outputs]
    qx, qw = None if qx is None else _first(qx, tokens), _first(qw, outputs)
    done: dict[object, tuple[Doubles, Doubles] | None] = {}
    out = []
    for matrix_unit in units:
        for promote in (None, PROMOTION):
            narrow = ELEMENTS[scheme.activation.element].bits <= 8
            if promote is not None and not (matrix_unit.promotion and narrow):
                continue  # kernels promote FP8 only: 16-bit chains keep 24 bits or more
            same = matrix_unit.kind, _rules(matrix_unit, scheme), promote
            if same not in done:
                done[same] = through_unit(scheme, x_hat, w_hat, qx, qw, matrix_unit, promote)
            result = done[same]
            if result is None:
                continue
            y, reference = result
            out.append(
                Accumulation(
                    matrix_unit.id,
                    promote,
                    _relative(y, reference, scale),
                    matrix_unit.verified_against,
                    _standard_error(y - reference, scale),
                    tokens,
                    outputs,
                )
            )
    return tuple(out)


def _rules(matrix_unit: Unit, scheme: Scheme) -> tuple[DotRule, ...]:
    """The rules by which ``matrix_unit`` could multiply what ``scheme`` gives it."""
    formats = {scheme.compute, scheme.activation.element, scheme.weight.element}
    return tuple(
        rule
        for rule in matrix_unit.rules
        if any(rule.takes(a, b) for a in formats for b in formats)
    )


def _standard_error(difference: Doubles, scale: Doubles) -> float:
    """Of :func:`_relative`, for outputs that are a sample (delta method for a ratio of sums)."""
    n = difference.size
    if n < 2 or not difference.any():
        return 0.0
    ratio = float(np.sum(difference**2) / np.sum(scale**2))
    rest = difference**2 - ratio * scale**2
    spread = np.sqrt(np.sum(rest**2) / (n * (n - 1))) / np.mean(scale**2)
    return float(spread / (2 * np.sqrt(ratio)))
