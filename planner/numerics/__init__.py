"""Value-exact arithmetic of number formats: casts, block quantisation, products, error measures.

Names are loaded on first use, so that importing this package does not import numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.numerics.cast import decode, encode, pack4, unpack4
    from planner.numerics.ggml import ggml_decode, ggml_encode
    from planner.numerics.matrix_units import Unit
    from planner.numerics.measures import ErrorStats, error
    from planner.numerics.policies import Policy, policy_names
    from planner.numerics.products import matmul
    from planner.numerics.products_fp64 import matmul_fp64
    from planner.numerics.products_int import matmul_int32
    from planner.numerics.quantization import Quantized, quantize, round_trip
    from planner.numerics.rotations import hadamard
    from planner.numerics.unit_catalog import unit, unit_ids
    from planner.numerics.views import vcvtneps2bf16, view

_HOME = {
    "encode": "cast", "decode": "cast", "pack4": "cast", "unpack4": "cast",
    "ErrorStats": "measures", "error": "measures", "Policy": "policies",
    "policy_names": "policies", "Quantized": "quantized", "quantize": "quantization",
    "matmul": "products", "matmul_fp64": "products_fp64",
    "matmul_int32": "products_int", "Unit": "matrix_units",
    "unit": "unit_catalog", "unit_ids": "unit_catalog", "vcvtneps2bf16": "views",
    "round_trip": "quantization", "ggml_encode": "ggml", "ggml_decode": "ggml", "view": "views",
    "hadamard": "rotations",
}  # fmt: skip

__all__ = ["ErrorStats", "Policy", "Quantized", "Unit", "decode", "encode", "error", "ggml_decode",
           "ggml_encode", "hadamard", "matmul", "matmul_fp64", "matmul_int32", "pack4",
           "policy_names", "quantize", "round_trip", "unit", "unit_ids", "unpack4",
           "vcvtneps2bf16", "view"]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
