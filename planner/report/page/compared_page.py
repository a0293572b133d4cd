"""A comparison as one self-contained page; the same bytes again for the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.planning.whatif.compared import Compared, ComparedPair, ComparedPlan
from planner.report.page.embedded import CONTROL
from planner.report.page.html import _environment
from planner.report.terminal.compared import absent, anchors_of, headline, title, told_loss
from planner.units import GIB, format_rate, format_seconds

RATE, MONEY = "tokens/s/device", "USD/M tokens"
HEADS = ("KV", "devices", "layout", "users", RATE, "TPOT", "TTFT", "GiB/device", "loss", MONEY,
         "J/token", "engine", "weights")
Cell = tuple[str, str]
"""What a cell says, and what stands small below it."""


def compared_page(found: Compared) -> str:
    """The whole HTML document, ending with a newline; without a column of money where no price is
    known."""
    heads = [head for head in HEADS if head != MONEY or any(
        row.usd_per_million_output_tokens for row in found.rows)]
    groups = [_group(found, pair, heads) for pair in found.pairs]
    text = _environment().get_template("compare.html.j2").render(
        title=f"{', '.join(found.models)} on {', '.join(found.devices)}",
        headline=headline(found), groups=groups, heads=heads, rate=heads.index(RATE),
        unit=next((row.loss_unit for row in found.rows if row.loss_unit), ""),
        anchors=list(anchors_of(found)))
    return text.translate(CONTROL)


def _group(found: Compared, pair: ComparedPair, heads: Sequence[str]) -> dict[str, Any]:
    rows = found.of(pair)
    able = [row for row in rows if row.feasible]
    most = max([_rate(row) for row in able], default=1.0)
    return {"title": title(found, pair),
            "rows": [{"name": row.name, "kind": row.kind, "late": not row.within_limits,
                      "schemes": ", ".join(row.schemes) if row.kind == "recommended" else "",
                      "share": f"{100 * _rate(row) / most:.1f}",
                      "cells": [_cells(row)[head] for head in heads]}
                     for row in able],
            "absent": [(", ".join(names), reason) for reason, names in absent(rows).items()]}


def _rate(row: ComparedPlan) -> float:
    rate = row.output_tokens_per_second_per_device
    return 0.0 if rate is None else rate.value


def _cells(row: ComparedPlan) -> dict[str, Cell]:
    """A row by heading."""
    usd, joules = row.usd_per_million_output_tokens, row.joules_per_output_token
    layout = " ".join(f"{name}{value}" for name, value in (
        ("tp", row.tp), ("dp", row.dp), ("pp", row.pp), ("ep", row.ep)) if value and value > 1)
    tpot, ttft = row.tpot_seconds, row.ttft_seconds
    values: list[str | Cell] = [
        row.kv, str(row.devices), layout or "–", f"{row.users:,}", format_rate(_rate(row)),
        "–" if tpot is None else format_seconds(tpot.value),
        "–" if ttft is None else format_seconds(ttft.value),
        f"{(row.total_bytes_per_device or 0) / GIB:.1f}",
        (told_loss(row.loss), f"{told_loss(row.loss_low)}–{told_loss(row.loss_high)}"),
        "–" if usd is None else (f"{usd.value:.3g}", f"{usd.low:.3g}–{usd.high:.3g}"),
        "–" if joules is None else f"{joules.value:.2g}", row.engine,
        (row.weights, row.checkpoint)]
    return {head: (value, "") if isinstance(value, str) else value
            for head, value in zip(HEADS, values, strict=True)}
