"""The profile of a machine with what was measured in place of what was assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from planner.hardware.host.facts import ASSUMED, Draft, DraftFigure
from planner.hardware.profile import QuantityKind
from planner.jobs.core_share import disturbed_note, is_disturbed
from planner.lab.measuring.rows import Row
from planner.planning.question.host_notes import BUSY

MEASURED = "measured"
MEASURED_TITLE = "Measured on this machine by plan measure: the tables beside this file"
MICROSECOND = 1e-6
MANY_TOKENS = 32
"""Rows of activations from which a product is bound by the unit."""
BF16_BYTES = 2.0
LEAST_SHARE = 1e-4
"""The least fraction that a profile may state."""
RATE_OF = {
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "int8": "int8",
    "f32": "fp32",
    "bf16": "bf16",
    "f16": "fp16",
}
"""dtype of a table → format of a rate."""
STORED = {
    "float32": 4.0,
    "bfloat16": 2.0,
    "float16": 2.0,
    "int8": 1.0,
    "f32": 4.0,
    "bf16": 2.0,
    "f16": 2.0,
}
CLASSES = {
    "fp32": ("fp32",),
    "fp16": ("fp16",),
    "int8": ("int8", "moe-int8"),
    "bf16": ("bf16", "moe-bf16", "w8a16", "w4a16", "moe-w8a16", "moe-w4a16"),
}
"""Format → classes of kernels that multiply in it."""
KV_BYTES = {"bfloat16": 2.0, "f16": 2.0, "q8_0": 34 / 32}


def with_measured(draft: Draft, rows: Sequence[Row], device: str, busy: str = "") -> Draft:
    """``draft`` with the figures that ``rows`` of ``device`` give: bandwidth, peaks that were
    exceeded, fractions of kernel classes, conversion. Where torch and ggml both multiply a format,
    torch's fraction stands: ggml's products have fits of their own. ``busy`` says that other
    programs ran, and goes into the profile. Rows that had not their cores count for nothing."""
    timed = [row for row in rows if row["device"] == device]
    mine = [row for row in timed if not is_disturbed(row)]
    made = replace(
        draft,
        figures=dict(draft.figures),
        sources=dict(draft.sources),
        cautions=list(draft.cautions),
        texts=dict(draft.texts),
    )
    if note := disturbed_note(timed):
        made.cautions.append(f"{BUSY}: {note}")
    if not mine:
        return made
    made.sources[MEASURED] = MEASURED_TITLE
    made.cautions = [c for c in made.cautions if not c.startswith("nothing here was measured")]
    _bandwidth(made, mine)
    _products(made, mine)
    _attention(made, mine)
    _conversion(made, mine)
    if busy:
        made.cautions.append(busy)
    noisy = sorted({str(row["table"]) for row in mine if row["spread"] > 0.25})
    if noisy:
        made.cautions.append(
            "the machine was busy while it was measured: the median lies more "
            f"than 25 % above the minimum in {', '.join(noisy)}"
        )
    return made


def _bandwidth(made: Draft, rows: Sequence[Row]) -> None:
    transfers = [row for row in rows if row["table"] == "op_bandwidth"]
    if not transfers:
        return
    rates = {(row["op"], row["threads"]): row["bytes"] / _seconds(row) for row in transfers}
    most = max(threads for _, threads in rates)
    reads = [row for row in transfers if row["op"] == "read" and row["threads"] == most]
    if not reads:
        return
    read = rates["read", most]
    others = ", ".join(
        f"{op} by {threads} {value / 1e9:.1f} GB/s"
        for (op, threads), value in rates.items()
        if (op, threads) != ("read", most)
    )
    made.set(
        "memory.bandwidth",
        DraftFigure(
            read,
            "B/s",
            MEASURED,
            "measured",
            read / (1 + reads[0]["spread"]),
            read,
            f"reads by {most} threads, best of {reads[0]['repeats']}; {others}",
        ),
    )
    for place, row in list(made.figures.items()):
        if place.endswith(".bandwidth_fraction"):
            made.set(
                place,
                DraftFigure(
                    0.95,
                    "1",
                    ASSUMED,
                    "assumed",
                    0.80,
                    1.0,
                    "of the read bandwidth that was measured"
                    if row.kind == "assumed"
                    else row.note,
                ),
            )


def _products(made: Draft, rows: Sequence[Row]) -> None:
    """Fractions of compute of the largest products, of bandwidth of one token."""
    gemms = [row for row in rows if row["table"] == "op_gemm" and row["w_a_dtype"] in RATE_OF]
    for name, classes in CLASSES.items():
        mine = _of_one_stack([row for row in gemms if RATE_OF[row["w_a_dtype"]] == name])
        many = [row for row in mine if row["m"] >= MANY_TOKENS]
        if many:
            best = max(many, key=_flop_per_s)
            _fraction(made, name, classes, best)
        _reading(made, name, classes, mine)
    for name in CLASSES:
        _exceeded(made, name, gemms)


def _of_one_stack(rows: Sequence[Row]) -> list[Row]:
    """Those of torch, else of ggml, else of numpy."""
    for stack in ("torch", "llama.cpp", "numpy"):
        mine = [row for row in rows if str(row["software"]).startswith(stack)]
        if mine:
            return mine
    return []


def _fraction(made: Draft, name: str, classes: Sequence[str], best: Row) -> None:
    peak = _raised(made, name, _flop_per_s(best), best)
    if peak is None:
        return
    share = min(1.0, max(LEAST_SHARE, _flop_per_s(best) / peak))
    for kernel_class in classes:
        place = f"achieved.{kernel_class}.compute_fraction"
        if place in made.figures:
            made.set(
                place,
                DraftFigure(
                    share,
                    "1",
                    MEASURED,
                    _kind(kernel_class, name),
                    share / (1 + best["spread"]),
                    share,
                    f"{best['w_a_dtype']} {best['m']} × {best['n']} × {best['k']} by "
                    f"{best['software']}: {_flop_per_s(best) / 1e9:.0f} GFLOP/s"
                    f"{_taken(kernel_class, name)}",
                ),
            )


def _kind(quantity: str, name: str) -> QuantityKind:
    """Measured of the format's own products, derived of classes that multiply in it as well."""
    return "measured" if quantity == name else "derived"


def _taken(quantity: str, name: str) -> str:
    return "" if quantity == name else f"; taken for {quantity}, which was not measured"


def _raised(made: Draft, name: str, reached: float, row: Row) -> float | None:
    """The highest rate of a format, raised to what was reached where it is lower: the clock is
    higher than was told."""
    places = [p for p in made.figures if p.startswith("rates.") and p.endswith(f".{name}.dense")]
    if not places:
        return None
    place = max(places, key=lambda p: made.figures[p].value)
    draft_figure = made.figures[place]
    if reached > draft_figure.value:
        made.set(
            place,
            DraftFigure(
                reached,
                draft_figure.unit,
                MEASURED,
                "measured",
                reached,
                max(reached, draft_figure.high or reached),
                f"a product ({row['software']}, {row['w_a_dtype']}) reached it; "
                f"{draft_figure.note}",
            ),
        )
    return made.figures[place].value


def _exceeded(made: Draft, name: str, rows: Sequence[Row]) -> None:
    """Raise a peak that another library's product has exceeded."""
    for row in rows:
        if RATE_OF[row["w_a_dtype"]] == name and row["m"] >= MANY_TOKENS:
            _raised(made, name, _flop_per_s(row), row)


def _reading(made: Draft, name: str, classes: Sequence[str], rows: Sequence[Row]) -> None:
    """The share of the bandwidth that one token's products draw, of weights no cache holds."""
    bandwidth = made.figures["memory.bandwidth"]
    single = [
        row
        for row in rows
        if row["m"] == 1
        and row["kernel"] != "mul_mat_cached"
        and row["n"] * row["k"] * STORED[row["w_a_dtype"]] >= 16e6
    ]
    if not single or bandwidth.kind != "measured":
        return
    best = max(single, key=lambda row: _drawn(row))
    share = min(1.0, max(LEAST_SHARE, _drawn(best) / bandwidth.value))
    for row in classes:
        place = f"achieved.{row}.bandwidth_fraction"
        if place in made.figures and not row.startswith("w"):
            made.set(
                place,
                DraftFigure(
                    share,
                    "1",
                    MEASURED,
                    _kind(row, name),
                    None,
                    None,
                    f"{best['w_a_dtype']} of one token by {best['software']}: "
                    f"{_drawn(best) / 1e9:.1f} GB/s{_taken(row, name)}",
                ),
            )


def _attention(made: Draft, rows: Sequence[Row]) -> None:
    """What attention draws of the bandwidth (steps), and reaches of the 16-bit peak (prompts)."""
    bandwidth = made.figures["memory.bandwidth"].value
    steps = _of_one_stack(
        [r for r in rows if r["table"] == "op_attn_generation" and r["kv_dtype"] in KV_BYTES]
    )
    prompts = _of_one_stack(
        [r for r in rows if r["table"] == "op_attn_context" and r["kv_dtype"] in KV_BYTES]
    )
    if steps:
        _best(
            made,
            "achieved.attention-decode.bandwidth_fraction",
            steps,
            _cache_drawn,
            bandwidth,
            1e9,
            "GB/s",
        )
    peaks = [
        f.value
        for p, f in made.figures.items()
        if p.startswith("rates.") and p.endswith(".bf16.dense")
    ]
    if prompts and peaks:
        _best(
            made,
            "achieved.attention-prefill.compute_fraction",
            prompts,
            _attended,
            max(peaks),
            1e9,
            "GFLOP/s",
        )


def _best(
    made: Draft,
    place: str,
    rows: Sequence[Row],
    of: Callable[[Row], float],
    peak: float,
    scale: float,
    unit: str,
) -> None:
    best = max(rows, key=of)
    share = min(1.0, max(LEAST_SHARE, of(best) / peak))
    made.set(
        place,
        DraftFigure(
            share,
            "1",
            MEASURED,
            "measured",
            share / (1 + best["spread"]),
            share,
            f"{best['software']}, {best['heads']} heads of {best['head_dim']}: "
            f"{of(best) / scale:.1f} {unit}",
        ),
    )


def _conversion(made: Draft, rows: Sequence[Row]) -> None:
    for row in rows:
        place = f"conversion.{row.get('from_dtype')}"
        if row["table"] == "op_convert" and row["to_dtype"] == "bf16" and place in made.figures:
            rate = row["elements"] / _seconds(row)
            made.set(
                place,
                DraftFigure(
                    rate,
                    "elements/s",
                    MEASURED,
                    "measured",
                    rate / (1 + row["spread"]),
                    rate,
                    f"{row['software']} by {row['threads']} threads",
                ),
            )


def _seconds(row: Row) -> float:
    return float(row["latency_us"]) * MICROSECOND


def _flop_per_s(row: Row) -> float:
    return float(2.0 * row["m"] * row["n"] * row["k"] / _seconds(row))


def _drawn(row: Row) -> float:
    return float(row["n"] * row["k"] * STORED[row["w_a_dtype"]] / _seconds(row))


def _cache_drawn(row: Row) -> float:
    return float(
        2
        * row["batch"]
        * row["kv_len"]
        * row["kv_heads"]
        * row["head_dim"]
        * KV_BYTES[row["kv_dtype"]]
        / _seconds(row)
    )


def _attended(row: Row) -> float:
    """FLOP/s of a causal prompt: half of the products."""
    return float(
        2 * row["batch"] * row["isl"] ** 2 * row["heads"] * row["head_dim"] / _seconds(row)
    )
