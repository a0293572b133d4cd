"""The table of a comparison, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.units import GIB, format_rate, format_seconds
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.report.columns import table_lines, wrapped

HEADS = ("", "KV", "dev", "users", "tok/s", "TPOT", "GiB", "loss", "$/M", "engine")
SHORT = {
    "tensorrt-llm": "trt-llm",
    "int8-token": "int8",
    "int4-token": "int4",
    "fp8-ds-mla": "fp8-ds",
}
"""Names that would make the table wider than a terminal."""
NO_NEW, LATE = "*", "!"
"""Marks behind a name: no new weights are needed; the limits on time are not kept."""
LEAST_LOSS = 5e-5
"""What rounding of plain types loses is told as none."""
MOST_ANCHORS = 8


def compared_text(comparison: Compared) -> str:
    """What was asked; a table for each model and device; reasons, marks and anchors below."""
    lines = [*wrapped(headline(comparison)), ""]
    for pair in comparison.pairs:
        lines += _group(comparison, pair)
    return "\n".join([*lines, *_notes(comparison)]) + "\n"


def headline(comparison: Compared) -> str:
    """How much is compared, by what, and what was asked where that is the same for all."""
    counts = " × ".join(
        f"{len(names)} {what}{'s' if len(names) > 1 else ''}"
        for names, what in ((comparison.models, "model"), (comparison.devices, "device"))
    )
    question_text = _question_text(comparison.pairs[0]) if _alike(comparison) else ""
    return f"{counts}, best by {comparison.objective}{question_text}"


def title(comparison: Compared, pair: ComparedPair) -> str:
    """Model, what it is released in, device, and what was asked where pairs differ."""
    return f"{pair.model} ({' + '.join(pair.released)}) on {pair.device}" + (
        "" if _alike(comparison) else _question_text(pair)
    )


def rounded_loss(loss: float | None) -> str:
    """A loss with three digits, as everywhere."""
    return "-" if loss is None else "0" if loss < LEAST_LOSS else f"{loss:.3g}"


def _alike(comparison: Compared) -> bool:
    return len({(pair.requests, pair.limits) for pair in comparison.pairs}) == 1


def _question_text(pair: ComparedPair) -> str:
    return f"; requests: {pair.requests}; {pair.limits}" if pair.requests else ""


def _group(comparison: Compared, pair: ComparedPair) -> list[str]:
    """One model on one device: a table of what runs, then why the others do not."""
    rows = comparison.of(pair)
    able = [row for row in rows if row.feasible]
    lines = wrapped(title(comparison, pair), "  ")
    if able:
        lines += table_lines([HEADS, *map(_cells, able)], left=(0, 1, len(HEADS) - 1))
        lines += _mixture(able)
    for reason, names in absent_rows(rows).items():
        lines += wrapped(f"{', '.join(names)}: {reason}", "    ", first="  not ")
    return [*lines, ""]


def absent_rows(rows: Sequence[ComparedPlan]) -> dict[str, list[str]]:
    """The names of what does not run, by reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if not row.feasible:
            reasons.setdefault(row.reason, []).append(row.name)
    return reasons


def _cells(row: ComparedPlan) -> list[str]:
    """A row under ``HEADS``; it has a plan."""
    rate, tpot = row.output_tokens_per_second_per_device, row.tpot_seconds
    usd = row.usd_per_million_output_tokens
    assert rate is not None
    assert tpot is not None
    marks = (NO_NEW if row.weights not in ("new", "") else "") + ("" if row.within_limits else LATE)
    engine = row.engine.split(" ")[0]
    return [
        row.name + marks,
        SHORT.get(row.kv, row.kv),
        str(row.devices),
        f"{row.users:,}",
        format_rate(rate.value),
        format_seconds(tpot.value),
        f"{(row.total_bytes_per_device or 0) / GIB:.1f}",
        rounded_loss(row.loss),
        "-" if usd is None else f"{usd.value:.2g}",
        SHORT.get(engine, engine),
    ]


def _mixture(rows: Sequence[ComparedPlan]) -> list[str]:
    """What the recommended plan is made of."""
    best = next((row for row in rows if row.kind == "recommended"), None)
    if best is None:
        return []
    weights = f"{best.weights} weights" if best.weights == "new" else best.weights
    named = ", ".join(filter(None, (" + ".join(best.schemes), weights, best.checkpoint)))
    return wrapped(f"recommended: {named}", "    ", first="  ")


def _notes(comparison: Compared) -> list[str]:
    rows = [row for row in comparison.rows if row.feasible]
    if not rows:
        return []
    units = list(dict.fromkeys(row.loss_unit for row in rows))
    out = wrapped(
        f"tokens/s a device, GiB of the fullest device, loss in {' or '.join(units)}; "
        f"80 % intervals of times reach ×/÷ {_factor(rows):.2f}",
        "  ",
    )
    if any(row.weights not in ("new", "") for row in rows):
        out += wrapped(
            f"{NO_NEW} no new weights: as released, a public release, or made while "
            "loading; --json names them",
            "  ",
        )
    if not all(row.within_limits for row in rows):
        out += wrapped(f"{LATE} does not keep the limit on time: the fastest that fits", "  ")
    if not any(row.usd_per_million_output_tokens for row in rows):
        out += wrapped(
            "no price is known: --price DEVICE=USD (a device-hour) adds $/M, USD per "
            "million output tokens",
            "  ",
        )
    anchors = list(anchors_of(comparison))
    if anchors:
        out.append("measured with these formats:")
        for text in anchors[:MOST_ANCHORS]:
            out += wrapped(text, "    ", first="  ")
    if len(anchors) > MOST_ANCHORS:
        out.append(f"  {len(anchors) - MOST_ANCHORS} more: --json")
    return out


def anchors_of(comparison: Compared) -> dict[str, None]:
    """What was measured with formats of the table, each once; what nobody measured is left out."""
    return dict.fromkeys(
        anchor.text for row in comparison.rows for anchor in row.measured_anchor if anchor.source
    )


def _factor(rows: Sequence[ComparedPlan]) -> float:
    """The widest interval of a time, as a factor."""
    return max(
        row.tpot_seconds.high / row.tpot_seconds.value
        for row in rows
        if row.tpot_seconds is not None
    )
