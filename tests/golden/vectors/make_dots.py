"""Dot products of the matrix units, as data: writes dots.json and dots.bin beside this file.

Inputs are raw PCG64 integers, so a seed gives the same bits on every machine. Of each set, y
(rows × columns, float32 bits) = a (rows × k) times b (k × columns) through `unit` with a zero
accumulator; `promote_every` null is the instruction chain alone. a and b are finite codes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from planner.numerics import matmul
from planner.numerics.unit_catalog import unit, unit_ids

SEED, ROWS, COLUMNS, K = 20261124, 4, 4, 96
FORMATS = ("e4m3fn", "e5m2", "bf16", "fp16")


def operand(rng: np.random.Generator, fmt: str, shape: tuple[int, int]) -> np.ndarray:
    """Finite codes of every sign and a moderate spread of exponents."""
    if fmt in ("e4m3fn", "e5m2"):
        low, high = (0x20, 0x58) if fmt == "e4m3fn" else (0x30, 0x48)
        return (rng.integers(low, high, shape) | rng.integers(0, 2, shape) << 7).astype(np.uint8)
    low, high = (0x3E00, 0x4100) if fmt == "bf16" else (0x3000, 0x4800)
    return (rng.integers(low, high, shape) | rng.integers(0, 2, shape) << 15).astype(np.uint16)


def sets() -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """(description, arrays): one set a unit, format and promotion that the unit has."""
    out = []
    for index, name in enumerate(n for n in unit_ids() if unit(n).kind in ("fused", "fma", "mfma")):
        for fmt in FORMATS:
            if not any(r.takes(fmt, fmt) and r.accumulator == "fp32" for r in unit(name).rules):
                continue
            rng = np.random.Generator(np.random.PCG64([SEED, index, FORMATS.index(fmt)]))
            a, b = operand(rng, fmt, (ROWS, K)), operand(rng, fmt, (K, COLUMNS))
            for promote in (None, 32) if unit(name).promotion else (None,):
                y = matmul(
                    a,
                    b,
                    a_format=fmt,
                    b_format=fmt,
                    unit=name,
                    promote_every=promote,
                    engine="numpy",
                )
                out.append(
                    (
                        {"unit": name, "format": fmt, "promote_every": promote},
                        {"a": a, "b": b, "y": y.view(np.uint32)},
                    )
                )
    return out


def files() -> tuple[str, bytes]:
    """(dots.json, dots.bin): one set a line, arrays as [dtype, offset, *shape]."""
    data, lines = b"", []
    for description, arrays in sets():
        places = {}
        for name, array in arrays.items():
            little = array.astype(array.dtype.newbyteorder("<"))
            places[name] = [little.dtype.str, len(data), *array.shape]
            data += little.tobytes()
        lines.append(json.dumps({**description, "arrays": places}))
    return '{"sets": [\n' + ",\n".join(lines) + "\n]}\n", data


if __name__ == "__main__":
    text, data = files()
    Path(__file__).with_name("dots.json").write_text(text, encoding="utf-8")
    Path(__file__).with_name("dots.bin").write_bytes(data)
