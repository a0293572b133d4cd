"""The table of formats on a device: bytes, dense rate, range, error on three kinds of tensors.

Tensors are seeded, the same on every machine; errors are computed with the value-exact formats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from planner.base.errors import UnknownNameError
from planner.formats.elements import element
from planner.formats.schemes import scheme
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.messages.message import Text
from planner.numerics.measures import error
from planner.numerics.quantization import round_trip
from planner.planning.engines.rules import support_cell
from planner.throughput.kernels import refusal

SCHEMES = (
    "fp32",
    "bf16",
    "fp16",
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "int8-w8a8",
    "int8-block",
    "int4-w4a16",
    "nvfp4",
    "mxfp4",
    "ggml-q8_0",
    "ggml-q6_k",
    "ggml-q4_k",
    "ggml-q4_0",
)
TENSORS = ("gaussian", "heavy-tailed", "outlier")
SHAPE = (256, 1024)
SEED = 7
DEGREES_OF_FREEDOM = 3
OUTLIER_CHANNEL, OUTLIER_FACTOR = 17, 50.0
Role = Literal["weight", "activation"]


@dataclass(frozen=True, slots=True)
class FormatRow:
    """One scheme on a device.

    ``weight_bytes``, ``activation_bytes`` are bytes an element with its scales;
    ``dense_flop_per_s`` is the peak of the unit that multiplies it (None: ``refused`` says why);
    ``binades`` is the range of the weights' element, log2 of largest ÷ least; ``sqnr_db`` by tensor
    is of the activations, or of the weights where activations stay wide and of ggml types
    (``sqnr_of`` says which).
    ``engines`` are known to serve it, for one of dense layers and experts where that is said,
    ``unknown`` those without a source.
    """

    scheme: str
    weight_bytes: float
    activation_bytes: float
    path: str
    multiplies_in: str
    dense_flop_per_s: float | None
    refused: Text
    largest: float
    binades: float
    sqnr_of: Role
    sqnr_db: MappingProxyType[str, float | None]
    engines: tuple[str, ...]
    unknown: tuple[str, ...]


@cache
def sample(kind: str) -> npt.NDArray[np.float32]:
    """A seeded tensor [tokens, features]: ``gaussian``; ``heavy-tailed``, Student t of 3 degrees of
    freedom; ``outlier``, a Gaussian with one channel 50 times as large.

    Raises:
        UnknownNameError: no such tensor.
    """
    if kind not in TENSORS:
        raise UnknownNameError("tensor", kind, TENSORS)
    rng = np.random.Generator(np.random.PCG64(SEED))
    if kind == "heavy-tailed":
        return rng.standard_t(DEGREES_OF_FREEDOM, SHAPE).astype(np.float32)
    x = rng.standard_normal(SHAPE).astype(np.float32)
    if kind == "outlier":
        x[:, OUTLIER_CHANNEL] *= np.float32(OUTLIER_FACTOR)
    return x


def sqnr(x: npt.NDArray[np.float32], name: str, role: Role = "activation") -> float:
    """Signal to quantisation noise of ``x`` under a scheme [dB]; infinite where it is exact."""
    return error(x, round_trip(x, name, role=role)).sqnr_db


def binades(name: str) -> float:
    """log2(largest finite ÷ least positive) of an element format."""
    element_format = element(name)
    return math.log2(element_format.max_finite / element_format.min_subnormal)


def format_rows(device: DeviceProfile) -> tuple[FormatRow, ...]:
    """The table of ``device``, schemes from wide to narrow."""
    return tuple(_row(device, name) for name in SCHEMES)


def _row(device: DeviceProfile, name: str) -> FormatRow:
    row_scheme = scheme(name)
    wide = row_scheme.activation.scale is None and row_scheme.weight.scale is not None
    role: Role = "weight" if wide or row_scheme.path == "storage" else "activation"
    errors = {kind: _finite(sqnr(sample(kind), name, role)) for kind in TENSORS}
    why = refusal(device, row_scheme)
    rate = device.rate(row_scheme.compute)
    software = not why and rate is None
    if software:
        rate = device.rate("bf16")
    stored = element(row_scheme.weight.element)
    serve, unknown = _engines(device, name)
    return FormatRow(
        name,
        bits_per_element(row_scheme.weight) / 8,
        bits_per_element(row_scheme.activation) / 8,
        "software" if software else row_scheme.path,
        rate.format if rate is not None else "",
        None if why or rate is None else rate.dense.value,
        why,
        stored.max_finite,
        binades(stored.id),
        role,
        MappingProxyType(errors),
        serve,
        unknown,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _engines(device: DeviceProfile, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    serve, unknown = [], []
    for engine in engine_names():
        server = parse_engine(engine)
        states = {
            group: support_cell(server, device, "scheme", name, group, "").status
            for group in ("dense", "experts")
        }
        able = [group for group, status in states.items() if status == "supported"]
        if able:
            serve.append(server.label + (f" ({able[0]})" if len(able) == 1 else ""))
        elif set(states.values()) == {"unknown"}:
            unknown.append(engine)
    return tuple(serve), tuple(unknown)


def format_rows_dict(device: str, rows: Sequence[FormatRow]) -> dict[str, Any]:
    """The table as JSON values; an SQNR of null is exact."""
    return {
        "device": device,
        "tensors": {
            "seed": SEED,
            "shape": list(SHAPE),
            "heavy_tailed_degrees_of_freedom": DEGREES_OF_FREEDOM,
            "outlier_factor": OUTLIER_FACTOR,
        },
        "formats": [
            {
                "scheme": r.scheme,
                "weight_bytes_per_element": r.weight_bytes,
                "activation_bytes_per_element": r.activation_bytes,
                "path": r.path,
                "multiplies_in": r.multiplies_in,
                "dense_flop_per_s": r.dense_flop_per_s,
                "refused": r.refused,
                "largest": r.largest,
                "range_binades": r.binades,
                "sqnr_of": r.sqnr_of,
                "sqnr_db": dict(r.sqnr_db),
                "engines": list(r.engines),
                "engines_unknown": list(r.unknown),
            }
            for r in rows
        ],
    }
