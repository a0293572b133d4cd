"""Writes codes, casts and blocks (.json and .bin) beside this file: ``python make.py``.

Codes and casts come from the exact reference (planner/numerics/reference.py), blocks from the numpy
engine with elements as codes. The generator is part of the vectors: a test runs it again and
compares every byte.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from planner.formats.blocks import BLOCK_FORMATS
from planner.formats.elements import ELEMENTS, element
from planner.formats.schemes import scheme
from planner.formats.spec import TensorFormat
from planner.numerics import Quantized, quantize
from planner.numerics.policies import Policy, policy_names, resolve_policy
from planner.numerics.reference import decode_reference, encode_reference

HERE = Path(__file__).resolve().parent
FORMATS = tuple(f for f in ELEMENTS if f != "fp32")
EXTRA = (
    Policy("toward-zero", rounding="toward-zero"),
    Policy("away", tie="away"),
    Policy("half-to-zero", tie="zero"),
)
SCHEMES = (
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "fp8-block-ue8m0",
    "int8-w8a8",
    "int8-block",
    "int4-w4a16",
    "int4-w4a16-g32",
)
GGML = ("ggml-q8_0", "ggml-q4_0", "ggml-q4_k", "ggml-q6_k")
RULES = ("ocp-floor", "rceil", "ceil", "even")
NO_CAST = ("id", "reciprocal", "scaling", "random_bits")
"""Fields that no cast here depends on: random bits are 32."""
DTYPES = {8: "<u1", 16: "<u2", 32: "<u4"}


class Writer:
    """Collects sets of arrays; equal arrays are stored once."""

    def __init__(self) -> None:
        self.sets: list[dict[str, Any]] = []
        self.data = bytearray()
        self._seen: dict[tuple[str, bytes], int] = {}

    def add(self, description: dict[str, Any], **arrays: np.ndarray) -> None:
        """One set. Arrays are little-endian, in C order, at offsets that are multiples of 8."""
        entries = {}
        for name, array in arrays.items():
            dtype = array.dtype.newbyteorder("<").str.replace("|", "<")
            raw = np.ascontiguousarray(array, dtype=dtype).tobytes()
            offset = self._seen.get((dtype, raw))
            if offset is None:
                self.data += bytes(-len(self.data) % 8)
                offset = self._seen[dtype, raw] = len(self.data)
                self.data += raw
            entries[name] = [dtype, offset, *array.shape]
        self.sets.append({**description, "arrays": entries})

    def files(self, kind: str) -> dict[str, bytes]:
        """The two files of a kind."""
        lines = ",\n".join(json.dumps(s, sort_keys=True) for s in self.sets)
        text = f'{{"version": 1, "kind": "{kind}", "sets": [\n{lines}\n]}}\n'
        return {f"{kind}.json": text.encode(), f"{kind}.bin": bytes(self.data)}


def patterns() -> list[int]:
    """Float32 bits: special values, range ends, random bits, ties of every format and near ties."""
    draw = random.Random(2026)
    found = [
        0,
        1,
        0x00400000,
        0x00400001,
        0x00500000,
        0x00600000,
        0x007FFFFF,
        0x00800000,
        0x7F7FFFFF,
        0x7F800000,
        0x7FC00000,
        0x7F800001,
        0x7FFFFFFF,
        0x43E00000,
        0x43E80000,
        0x43E80001,
        0x43F00000,
        0x47600000,
        0x476FFFFF,
        0x47700000,
        0x477FE000,
        0x477FEFFF,
        0x477FF000,
        0x42FE0000,
        0x42FF0000,
        0x43000000,
        0x40E00000,
        0x40F00000,
        0x40C00000,
        0x7F7F0000,
        0x7F7F8000,
        0x7F000000,
        0x7E800000,
    ]
    found += [draw.getrandbits(31) for _ in range(195)]
    for _ in range(400):
        tie = draw.randrange(100, 150) << 23 | draw.randrange(64) << 17
        found += [tie, tie + draw.choice((-1, 1, 2))]
    return [b | sign for b in found for sign in (0, 0x80000000)]


def codes() -> Writer:
    """Every code of the formats up to 16 bits with its float32 value; NaN is 0x7FC00000."""
    writer = Writer()
    for id in FORMATS:
        fmt = element(id)
        if fmt.bits > 16:
            continue
        all_codes = np.arange(1 << fmt.bits, dtype=DTYPES[max(8, fmt.bits)])
        values = np.array([decode_reference(c, id) for c in all_codes.tolist()], np.float32)
        bits = values.view(np.uint32)
        bits[np.isnan(values)] = 0x7FC00000
        writer.add({"format": id, "bits": fmt.bits}, code=all_codes, value=bits)
    return writer


def casts() -> Writer:
    """Float32 bits to codes, under every named policy, three others and stochastic rounding."""
    writer, inputs = Writer(), np.array(patterns(), np.uint32)
    for id in FORMATS:
        fmt = element(id)
        dtype = DTYPES[8 if fmt.bits < 8 else fmt.bits]
        groups: dict[Policy, list[str]] = {}
        for policy in (*(resolve_policy(n, fmt) for n in policy_names()), *EXTRA):
            key = replace(policy, id="", reciprocal=False, scaling="plain")
            groups.setdefault(key, []).append(policy.id)
        for policy, names in groups.items():
            found = [encode_reference(b, id, policy=policy) for b in inputs.tolist()]
            fields = {k: v for k, v in asdict(policy).items() if k not in NO_CAST}
            writer.add(
                {"format": id, "policies": names, "choices": fields},
                input=inputs,
                code=np.array(found, dtype),
            )
        if id != "e8m0":
            _stochastic(writer, id, inputs, dtype)
    return writer


def _stochastic(writer: Writer, id: str, inputs: np.ndarray, dtype: str) -> None:
    draw = random.Random(7)
    draws = np.array([draw.getrandbits(32) for _ in inputs], np.uint32)
    policy = Policy("stochastic", rounding="stochastic")
    found = [
        encode_reference(b, id, policy=policy, draw=d)
        for b, d in zip(inputs.tolist(), draws.tolist(), strict=True)
    ]
    fields = {k: v for k, v in asdict(policy).items() if k not in NO_CAST}
    writer.add(
        {"format": id, "policies": ["stochastic"], "choices": fields},
        input=inputs,
        draw=draws,
        code=np.array(found, dtype),
    )


def matrix(rows: int, columns: int) -> np.ndarray:
    """Dyadic rationals with heavy tails from integer draws, so that no library decides a bit."""
    draw = random.Random(11)
    x = np.array(
        [
            [
                draw.randrange(-4095, 4096) * 2.0 ** draw.choice((-14, -12, -12, -11, -8))
                for _ in range(columns)
            ]
            for _ in range(rows)
        ],
        np.float32,
    )
    x[1, :64] = 0
    x[2] *= np.float32(2.0**-40)
    x[3, 32:64] = np.float32(1.75)
    x[4] *= np.float32(2.0**10)
    return x


def blocks() -> Writer:
    """Matrices quantised and dequantised: schemes, MX under every rule, asymmetric, ggml."""
    writer, wide, small = Writer(), matrix(8, 256), matrix(6, 64)
    add: Callable[..., None] = lambda *a, **k: _block(writer, *a, **k)  # noqa: E731
    for id in SCHEMES:
        for reciprocal in (False, True):
            add(id, scheme(id).weight, wide, reciprocal=reciprocal)
    for id, fmt in BLOCK_FORMATS.items():
        if id.startswith("mx"):
            for rule in RULES:
                add(id, fmt, small, scale_rule=rule)
        else:
            add(id, fmt, wide if "g128" in id else small)
    for id in GGML:
        add(id, scheme(id).weight, wide)
    return writer


def _block(writer: Writer, id: str, fmt: TensorFormat, x: np.ndarray, **choices: Any) -> None:
    q: Quantized = quantize(x, fmt, **choices)
    assert fmt.scale is not None
    optional = {"zero_point": q.zero_points, "minimum": q.minima, "storage": q.storage}
    description = {"format": id, "element": fmt.element, "block": [fmt.scale.block_rows,
                   fmt.scale.block_columns], "scale_format": fmt.scale.format,
                   "element_exponent": fmt.element_exponent, **choices}  # fmt: skip
    if q.tensor_scale is not None:
        description["tensor_scale_bits"] = int(np.float32(q.tensor_scale).view(np.uint32))
    writer.add(description, input=x.view(np.uint32), code=q.codes,
               scale=q.scales.view(np.uint32), value=q.dequantize().view(np.uint32),
               **{k: v.view(np.uint32) if k == "minimum" else v
                  for k, v in optional.items() if v is not None})  # fmt: skip


def build() -> dict[str, bytes]:
    """All files by name."""
    return {**codes().files("codes"), **casts().files("casts"), **blocks().files("blocks")}


if __name__ == "__main__":
    for name, content in build().items():
        (HERE / name).write_bytes(content)
