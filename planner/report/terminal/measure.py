"""What ``plan measure`` found, for a terminal: bandwidth, products, attention; what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from planner.base.units import format_seconds

Rows = Sequence[Mapping[str, Any]]
MANY_TOKENS, MICROSECOND = 32, 1e-6
_NAME, _FIGURE = 40, 14
Line = tuple[str, str, str]


def measured_text(rows: Rows, folder: str) -> str:
    """A line for every kind of measurement; ends with a newline."""
    lines = [
        f"{name:<{_NAME}}{figure:>{_FIGURE}}  {more}".rstrip()
        for name, figure, more in (
            *_bandwidth(rows),
            *_products(rows),
            *_attention(rows),
            *_others(rows),
        )
    ]
    spread = sorted(float(row["spread"]) for row in rows)
    if spread:
        lines += [
            "",
            f"{len(rows)} figure{'s' * (len(rows) > 1)}, each the minimum of its "
            "repeats; the median lies "
            f"{100 * spread[len(spread) // 2]:.0f} % above it",
        ]
    lines += ["", "plan with them:", f"  plan MODEL host --hardware-dir {quote(folder)}"]
    return "\n".join(lines) + "\n"


def _bandwidth(rows: Rows) -> Iterator[Line]:
    for row in rows:
        if row["table"] == "op_bandwidth":
            count = row["threads"]
            yield (
                f"memory, {row['op']} by {count} thread{'s' * (count > 1)}",
                f"{row['bytes'] / _seconds(row) / 1e9:.1f} GB/s",
                "",
            )


def _products(rows: Rows) -> Iterator[Line]:
    """Of each library and format the fastest product of many tokens, and of one."""
    by_kernel: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["table"] == "op_gemm":
            by_kernel.setdefault((row["software"], row["w_a_dtype"]), []).append(row)
    for (software, kind), mine in by_kernel.items():
        many = [row for row in mine if row["m"] >= MANY_TOKENS]
        single = [row for row in mine if row["m"] == 1 and not row["kernel"].endswith("_cached")]
        figure = f"{max(map(_flop, many)) / 1e9:.0f} GFLOP/s" if many else "-"
        more = ""
        if single:
            best = max(single, key=_flop)
            more = f"one token × {best['n']} × {best['k']}: {format_seconds(_seconds(best))}"
        yield f"{kind} products, {software.split()[0]}", figure, more


def _attention(rows: Rows) -> Iterator[Line]:
    for row in rows:
        if row["table"] == "op_attn_generation":
            yield (
                f"attention, step over {int(row['kv_len']):,} in {row['kv_dtype']}, "
                f"{str(row['software']).split()[0]}",
                format_seconds(_seconds(row)),
                f"{row['heads']} heads of {row['head_dim']}",
            )
        elif row["table"] == "op_attn_context":
            yield (
                f"attention, prompt of {int(row['isl']):,} in {row['kv_dtype']}, "
                f"{str(row['software']).split()[0]}",
                format_seconds(_seconds(row)),
                f"{row['heads']} heads of {row['head_dim']}",
            )


def _others(rows: Rows) -> Iterator[Line]:
    for row in rows:
        if row["table"] == "op_convert":
            yield (
                f"{row['from_dtype']} to {row['to_dtype']}, {str(row['software']).split()[0]}",
                f"{row['elements'] / _seconds(row) / 1e9:.2f} G elem/s",
                "",
            )
        elif row["table"] == "op_quantize":
            yield (
                f"to {row['quant_dtype']}, {row['m']} × {row['k']}, "
                f"{str(row['software']).split()[0]}",
                f"{row['m'] * row['k'] / _seconds(row) / 1e9:.2f} G elem/s",
                "",
            )
        elif row["table"] == "op_call":
            yield (
                f"calls from Python, {str(row['software']).split()[0]}",
                f"{_seconds(row) / row['calls'] * 1e6:.2f} µs each",
                f"{row['calls']} of a layer",
            )


def _seconds(row: Mapping[str, Any]) -> float:
    return float(row["latency_us"]) * MICROSECOND


def _flop(row: Mapping[str, Any]) -> float:
    return float(2.0 * row["m"] * row["n"] * row["k"] / _seconds(row))
