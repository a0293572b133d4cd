"""The table of formats on a device, for a terminal and as data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from planner.planning.inspect.format_table import (
    DEGREES_OF_FREEDOM,
    OUTLIER_FACTOR,
    SEED,
    SHAPE,
    TENSORS,
    FormatRow,
)
from planner.report.terminal.catalogue import _render, _table

WIDTH = 78
_TERA = 1e12


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


def format_rows_text(device: str, rows: Sequence[FormatRow]) -> str:
    """Bytes, rates and errors in one table, engines below it."""
    table = _table(
        ("scheme",), ("W B", "A B", "Tflop/s", "binades", "Gauss", "heavy", "outlier"), ("of",)
    )
    for r in rows:
        rate = f"{r.dense_flop_per_s / _TERA:,.0f}" if r.dense_flop_per_s is not None else "-"
        rate += "" if r.path in ("native", "storage") or rate == "-" else "*"
        table.add_row(
            r.scheme,
            f"{r.weight_bytes:.4g}",
            f"{r.activation_bytes:.4g}",
            rate,
            f"{r.binades:.1f}",
            *(_decibel(r.sqnr_db[t]) for t in TENSORS),
            "A" if r.sqnr_of == "activation" else "W",
        )
    engines = _listed(
        (
            r.scheme,
            (", ".join(r.engines) or "none known")
            + (f"; no source: {', '.join(r.unknown)}" if r.unknown else ""),
        )
        for r in rows
    )
    refused = _listed((r.scheme, r.refused) for r in rows if r.refused)
    return _render(
        f"formats on {device}: bytes an element with scales, dense peak, range, SQNR in dB",
        "",
        table,
        "",
        "* multiplied in the wider format, weights converted on the way. Errors are of "
        f"activations (A) or weights (W) of {SHAPE[0]} × {SHAPE[1]}: a Gaussian, a Student t of "
        f"{DEGREES_OF_FREEDOM} degrees of freedom, a Gaussian with one channel "
        f"×{OUTLIER_FACTOR:g}. ggml types are multiplied in integers by llama.cpp's own kernels, "
        "slower than the peak; plans take them with --engine llama.cpp, or where they are named.",
        *(("", "not on this device:", *refused) if refused else ()),
        "",
        "engines that serve it, dense layers and experts where no more is said:",
        *engines,
    )


def _listed(rows: Iterable[tuple[str, str]]) -> list[str]:
    """One paragraph a scheme, the lines after the first indented."""
    return [
        line
        for name, text in rows
        for line in textwrap.wrap(
            f"{name}: {text}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    ]


def _decibel(value: float | None) -> str:
    return f"{value:.1f}" if value is not None else "exact"
