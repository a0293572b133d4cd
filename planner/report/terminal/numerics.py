"""The error split of a layer on a terminal, and the list of matrix units."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from planner.report.columns import table_lines, width_of_output, wrapped

if TYPE_CHECKING:
    from planner.quality.layer_error import Accumulation, LayerNumerics


COLUMNS = ("scheme", "weights", "inputs", "both", "matrix unit", "unit adds")


def percent(value: float) -> str:
    """A relative error in percent, below 0.1 % in powers of ten; exact zero is 0."""
    return "0" if value == 0 else f"{value:.1e}" if value < 1e-3 else f"{value:.2%}"


def _with_error(accumulation: Accumulation) -> str:
    """``1.9e-05 ± 6%``: what the unit adds, and the standard error of the sample."""
    shown = percent(accumulation.relative_error)
    return (
        f"{shown} ± {accumulation.standard_error / accumulation.relative_error:.0%}"
        if accumulation.relative_error
        else shown
    )


def numerics_text(result: LayerNumerics) -> str:
    """Headline, then rounding of weights, inputs and both, then what each matrix unit adds."""
    shape = result.shape
    rows: list[tuple[str, ...]] = [COLUMNS]
    for layer in result.layers:
        head = (
            layer.scheme,
            percent(layer.weight),
            percent(layer.activation),
            percent(layer.rounding),
        )
        units = [(a.label, _with_error(a)) for a in layer.accumulations]
        for i, tail in enumerate(units or [("none emulated", "")]):
            rows.append((*(head if i == 0 else ("",) * 4), *tail))
    lines = table_lines(rows, left=(0, 4), gap=2)
    intro = [
        f"{result.model} {shape.kind}: K = {shape.inputs:,}, {shape.tokens:,} tokens × "
        f"{shape.outputs:,} outputs, seed {shape.seed}",
        "relative errors ‖ΔY‖/‖Y‖, synthetic BF16 tensors; “unit adds” is accumulation",
        "",
    ]
    sampled = next((a for layer in result.layers for a in layer.accumulations), None)
    if sampled is not None:
        intro[1] += (
            f" in {sampled.tokens:,} tokens × {sampled.outputs:,} outputs of them, ± the "
            "standard error of that sample"
        )
    notes = ["", "+128: partial sums leave the unit every 128 inputs (FP32)", *result.notes]
    return (
        "\n".join(
            [
                *(part for line in intro for part in wrapped(line)),
                *lines,
                *(part for line in notes for part in wrapped(line)),
            ]
        )
        + "\n"
    )


def units_dict() -> list[dict[str, Any]]:
    """Units as JSON values."""
    from planner.numerics.unit_catalog import unit, unit_ids

    return [
        {
            "id": u.id,
            "title": u.title,
            "formats": list(u.formats()),
            "promotion": u.promotion,
            "verified_against": u.verified_against,
            "source": u.source,
        }
        for u in (unit(name) for name in unit_ids())
    ]


def units_text() -> str:
    """Units with formats and what each was verified against."""
    lines = []
    for row in units_dict():
        lines.append(f"{row['id']} — {row['title']}")
        for label, text in (
            ("takes", ", ".join(row["formats"])),
            ("verified", row["verified_against"]),
        ):
            lines += textwrap.wrap(
                f"{label}: {text}",
                width_of_output(),
                initial_indent="  ",
                subsequent_indent="    ",
                break_on_hyphens=False,
            )
    return "\n".join(lines) + "\n"
