"""``plan verify`` on a terminal: predicted beside measured, a paragraph a file that was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from planner.base.units import format_bytes, format_seconds
from planner.report.columns import table_lines, wrapped

Values = Mapping[str, Any]
NAMES = {
    "file_bytes": "file",
    "weight_bytes": "weights loaded",
    "cache_bytes": "cache",
    "cache_tokens": "cache tokens",
    "compute_bytes": "buffers",
    "prefill_seconds": "prompt",
    "decode_seconds": "a token",
    "kl": "KL [nats]",
    "flips": "flipped tokens",
}
INSIDE = {True: "yes", False: "NO", None: "-"}
HEADS = ("", "predicted", "interval", "measured", "±", "inside")


class ShownVerification(Protocol):
    """What a verification tells of itself."""

    def to_dict(self) -> dict[str, Any]:
        """Its JSON values."""


def verification_text(verification: ShownVerification) -> str:
    """The page: what ran, the rows of each file, the verdict, what was learned, notes; ends with a
    newline."""
    data = verification.to_dict()
    engine, s = data["engine"], data["setting"]
    lines = wrapped(
        f"{data['model']} on {engine['name']} {engine['version']}, predicted for {data['device']}"
    )
    lines += wrapped(
        f"{s['prompt_tokens']} tokens in, {s['output_tokens']} out, one sequence, {s['threads']} "
        f"thread{'s' * (s['threads'] > 1)}, the least of {s['repeats']}; loss over "
        f"{s['kl_chunks']} × {s['kl_context_tokens']} tokens of {data['text']}",
        "  ",
    )
    for name, role in data["subjects"].items():
        rows = [r for r in data["rows"] if r["subject"] == name]
        lines += ["", *wrapped(_title(name, role, engine["name"])), *_rows(rows)]
    judged = [r["inside"] for r in data["rows"] if r["inside"] is not None]
    lines += ["", *wrapped(f"{sum(judged)} of {len(judged)} inside the 80 % intervals")]
    lines += wrapped(f"verdict: {data['verdict']}")
    if data["posterior"]:
        lines += [
            "",
            *wrapped("learned: KL [nats] as the profile predicts it from now on"),
            *_rows(data["posterior"], subject=True),
        ]
    lines += ["", *(part for note in data["notes"] for part in wrapped(f"note: {note}", "  "))]
    return "\n".join(lines).rstrip() + "\n"


def _title(name: str, role: str, engine: str) -> str:
    return {
        "plan": "the plan",
        "default": f"{name}, {engine}'s default",
        "checkpoint": f"{name}, the checkpoint",
    }.get(role, name)


def _rows(rows: Sequence[Values], *, subject: bool = False) -> list[str]:
    """The rows by quantity, or by ``subject`` where all are of one."""
    cells = [HEADS]
    for row in rows:
        q = row["quantity"]
        cells.append(
            (
                f"  {row['subject'] if subject else NAMES.get(q, q)}",
                value_text(q, row["predicted"]),
                _interval(q, row["low"], row["high"]),
                value_text(q, row["measured"]),
                value_text(q, row["spread"]) if row["spread"] else "-",
                INSIDE[row["inside"]],
            )
        )
    return table_lines(cells)


def _interval(quantity: str, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "-"
    if low == high:
        return "exact"
    return f"{value_text(quantity, low)} – {value_text(quantity, high)}"


def value_text(quantity: str, value: float | None) -> str:
    """A value in the unit that people read."""
    if value is None:
        return "-"
    if quantity.endswith("bytes"):
        return format_bytes(value)
    if quantity.endswith("seconds"):
        return format_seconds(value)
    if quantity == "flips":
        return f"{value:.2%}"
    return f"{value:,.0f}" if quantity.endswith("tokens") else f"{value:.3g}"
