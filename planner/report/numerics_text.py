"""The error split of a layer on a terminal, and the list of matrix units."""

from __future__ import annotations

import textwrap
from io import StringIO
from typing import TYPE_CHECKING, Any

from planner.report.text import console, width_of_output

if TYPE_CHECKING:
    from planner.quality.layer_error import LayerNumerics


def percent(value: float) -> str:
    """A relative error with two significant digits; exact zero is 0."""
    return "0" if value == 0 else f"{value:.1e}" if value < 1e-4 else f"{value:.2%}"


def numerics_text(result: LayerNumerics) -> str:
    """Headline, the rounding table, then what each matrix unit adds."""
    from rich.table import Table

    shape = result.shape
    out = StringIO()
    con = console(out)
    con.print(f"{result.model} {shape.kind}: K = {shape.inputs}, {shape.tokens} tokens × "
              f"{shape.outputs} outputs, seed {shape.seed}", style="bold")
    con.print("relative errors ‖ΔY‖/‖Y‖ on synthetic tensors; accumulation is what the unit adds\n")
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    for name in ("scheme", "weights", "activations", "rounding", "matrix unit", "accumulation"):
        numeric = name not in ("scheme", "matrix unit")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    for row in result.layers:
        first = (row.scheme, percent(row.weight), percent(row.activation), percent(row.rounding))
        for i, unit in enumerate(row.accumulations or (None,)):
            head = first if i == 0 else ("", "", "", "")
            tail = ("none emulated", "") if unit is None \
                else (unit.label, percent(unit.relative_error))
            table.add_row(*head, *tail)
    con.print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join(lines) + "\n\n`+128`: partial sums leave the unit every 128 inputs (FP32)\n"


def units_dict() -> list[dict[str, Any]]:
    """Units as JSON values."""
    from planner.numerics.units import unit, unit_ids

    return [{"id": u.id, "title": u.title, "formats": list(u.formats()),
             "promotion": u.promotion, "verified_against": u.verified_against,
             "source": u.source} for u in (unit(name) for name in unit_ids())]


def units_text() -> str:
    """Units with formats and what each was verified against."""
    lines = []
    for row in units_dict():
        lines.append(f"{row['id']} — {row['title']}")
        for label, text in (("takes", ", ".join(row["formats"])),
                            ("verified", row["verified_against"])):
            lines += textwrap.wrap(f"{label}: {text}", width_of_output(), initial_indent="  ",
                                   subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines) + "\n"
