"""The views of ``plan measure`` (bandwidth, products, attention, what to do next) and of ``plan
calibrate`` (a line a fitted set, with its errors on rows kept back)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from planner.base.units import format_seconds
from planner.hardware.profile import FittedSet
from planner.report.phrases import Phrases
from planner.report.view.record import Block, Code, Prose, Section, Table, View
from planner.report.view.verb_words import verb_phrases

Rows = Sequence[Mapping[str, Any]]
Line = tuple[str, str, str]
VERB = "measure"
MANY_TOKENS, MICROSECOND = 32, 1e-6
FIT_HEADS = ("operator", "stack", "variant", "rows", "kept", "mean", "median", "bias", "inside")


def measure_view(rows: Rows, folder: str, lang: str) -> View:
    """A line for every kind of measurement."""
    t = verb_phrases(VERB, lang)
    lines = (*_bandwidth(t, rows), *_products(t, rows), *_attention(t, rows), *_others(t, rows))
    heads = (t("table.what"), t("table.figure"), t("table.more"))
    blocks: list[Block] = [Table(heads, lines, (0, 2))] if lines else []
    spread = sorted(float(row["spread"]) for row in rows)
    if spread:
        middle = f"{100 * spread[len(spread) // 2]:.0f} %"
        blocks.append(Prose(t("table.spread", n=len(rows), spread=middle)))
    after = Section(
        t("section.next"), (Code((f"  plan MODEL host --hardware-dir {quote(folder)}",)),)
    )
    return View(t("head.title"), (), (Section("", tuple(blocks)), after))


def _bandwidth(t: Phrases, rows: Rows) -> Iterator[Line]:
    for row in rows:
        if row["table"] == "op_bandwidth":
            yield (
                t("line.bandwidth", op=row["op"], threads=row["threads"]),
                f"{row['bytes'] / _seconds(row) / 1e9:.1f} GB/s",
                "",
            )


def _products(t: Phrases, rows: Rows) -> Iterator[Line]:
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
            time = format_seconds(_seconds(best))
            more = t("line.one_token", n=best["n"], k=best["k"], time=time)
        yield t("line.products", kind=kind, software=software.split()[0]), figure, more


def _attention(t: Phrases, rows: Rows) -> Iterator[Line]:
    for row in rows:
        if row["table"] in ("op_attn_generation", "op_attn_context"):
            step = row["table"] == "op_attn_generation"
            yield (
                t(
                    "line.step" if step else "line.prompt",
                    tokens=f"{int(row['kv_len' if step else 'isl']):,}",
                    kind=row["kv_dtype"],
                    software=str(row["software"]).split()[0],
                ),
                format_seconds(_seconds(row)),
                t("line.heads", n=row["heads"], width=row["head_dim"]),
            )


def _others(t: Phrases, rows: Rows) -> Iterator[Line]:
    for row in rows:
        software = str(row.get("software", "")).split(" ")[0]
        if row["table"] == "op_convert":
            yield (
                t(
                    "line.convert",
                    old=row["from_dtype"],
                    new=row["to_dtype"],
                    software=software,
                ),
                f"{row['elements'] / _seconds(row) / 1e9:.2f} G elem/s",
                "",
            )
        elif row["table"] == "op_quantize":
            yield (
                t(
                    "line.quantize",
                    kind=row["quant_dtype"],
                    m=row["m"],
                    k=row["k"],
                    software=software,
                ),
                f"{row['m'] * row['k'] / _seconds(row) / 1e9:.2f} G elem/s",
                "",
            )
        elif row["table"] == "op_call":
            yield (
                t("line.calls", software=software),
                f"{_seconds(row) / row['calls'] * 1e6:.2f} µs",
                t("line.of_a_layer", n=row["calls"]),
            )


def _seconds(row: Mapping[str, Any]) -> float:
    return float(row["latency_us"]) * MICROSECOND


def _flop(row: Mapping[str, Any]) -> float:
    return float(2.0 * row["m"] * row["n"] * row["k"] / _seconds(row))


def calibrate_view(fits: Sequence[FittedSet], lang: str) -> View:
    """The sets; a sentence where nothing was fitted."""
    t = verb_phrases("calibrate", lang)
    if not fits:
        return View(t("head.nothing"))
    table = Table(
        tuple(t(f"table.{head}") for head in FIT_HEADS), tuple(map(_fit_line, fits)), (0, 1, 2)
    )
    return View(t("head.title"), (), (Section("", (table,)),))


def _fit_line(fit: FittedSet) -> tuple[str, ...]:
    e = fit.error
    return (
        fit.operator,
        f"{fit.stack} {fit.software}",
        fit.variant,
        str(e.rows),
        str(e.held_out),
        f"{100 * e.mean:.1f}",
        f"{100 * e.median:.1f}",
        f"{100 * e.bias:+.1f}",
        f"{100 * e.coverage:.0f}",
    )
