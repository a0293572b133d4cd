"""Rows of the tables that ``plan measure`` writes: their columns, and what each operator fills
in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.lab.measuring.timing import Timing

BEFORE, AFTER = (
    ("src", "device", "software"),
    ("latency_us", "threads", "repeats", "spread", "share"),
)
TABLES: Mapping[str, tuple[str, ...]] = {
    "op_gemm": ("kernel", "w_a_dtype", "m", "n", "k"),
    "op_quantize": ("op", "quant_dtype", "m", "k"),
    "op_attn_context": (
        "kernel",
        "attn_dtype",
        "kv_dtype",
        "batch",
        "isl",
        "heads",
        "kv_heads",
        "head_dim",
        "window",
    ),
    "op_attn_generation": (
        "kernel",
        "attn_dtype",
        "kv_dtype",
        "batch",
        "kv_len",
        "heads",
        "kv_heads",
        "head_dim",
        "window",
    ),
    "op_call": ("op", "calls"),
    "op_bandwidth": ("op", "bytes"),
    "op_convert": ("kernel", "from_dtype", "to_dtype", "elements"),
}
"""Table → its own columns. The first four are read by ``plan calibrate`` and ``plan validate``,
``op_call`` by ``plan calibrate``."""
SOURCES = "op_sources"
SOURCE_COLUMNS = ("src", "device", "op", "software", "source", "rows")
Row = dict[str, Any]


def columns(table: str) -> tuple[str, ...]:
    """The columns of a table, in order."""
    return (*BEFORE, *TABLES[table], *AFTER)


def row(table: str, device: str, software: str, timing: Timing, threads: int, **own: object) -> Row:
    """A row of ``table``; ``own`` are its columns in TABLES.

    Raises:
        ValueError: other columns than the table has.
    """
    if set(own) != set(TABLES[table]):
        raise ValueError(f"{table}: {sorted(set(own) ^ set(TABLES[table]))}")
    return {
        "table": table,
        "device": device,
        "software": software,
        **own,
        "latency_us": float(f"{timing.best * 1e6:.6g}"),
        "threads": threads,
        "repeats": timing.repeats,
        "spread": round(timing.spread, 4),
    }
