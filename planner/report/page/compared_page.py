"""A comparison as one self-contained page; the same bytes again for the same answer."""

from __future__ import annotations

from typing import Any

from planner.planning.whatif.compared import Compared, ComparedPair, ComparedPlan
from planner.report.page.embedded import CONTROL
from planner.report.page.html import _environment
from planner.report.terminal.compared import anchors_of, headline, title, told_loss
from planner.units import GIB, format_rate, format_seconds

HEADS = ("KV", "devices", "layout", "users", "tokens/s/device", "TPOT", "TTFT", "GiB/device",
         "loss", "USD/M tokens", "J/token", "engine", "weights")


def compared_page(found: Compared) -> str:
    """The whole HTML document, ending with a newline."""
    groups = [_group(found, pair) for pair in found.pairs]
    text = _environment().get_template("compare.html.j2").render(
        title=f"{', '.join(found.models)} on {', '.join(found.devices)}",
        headline=headline(found), groups=groups, heads=HEADS,
        unit=next((row.loss_unit for row in found.rows if row.loss_unit), ""),
        anchors=list(anchors_of(found)))
    return text.translate(CONTROL)


def _group(found: Compared, pair: ComparedPair) -> dict[str, Any]:
    rows = found.of(pair)
    able = [row for row in rows if row.feasible]
    most = max([_rate(row) for row in able], default=1.0)
    return {"title": title(found, pair),
            "rows": [{"name": row.name, "kind": row.kind, "late": not row.within_limits,
                      "schemes": ", ".join(row.schemes) if row.kind == "recommended" else "",
                      "share": f"{100 * _rate(row) / most:.1f}", "cells": _cells(row)}
                     for row in able],
            "absent": [(row.name, row.reason) for row in rows if not row.feasible]}


def _rate(row: ComparedPlan) -> float:
    rate = row.output_tokens_per_second_per_device
    return 0.0 if rate is None else rate.value


def _cells(row: ComparedPlan) -> list[str]:
    usd, joules = row.usd_per_million_output_tokens, row.joules_per_output_token
    layout = " ".join(f"{name}{value}" for name, value in (
        ("tp", row.tp), ("dp", row.dp), ("pp", row.pp), ("ep", row.ep)) if value and value > 1)
    tpot, ttft = row.tpot_seconds, row.ttft_seconds
    weights = f"{row.weights}: {row.checkpoint}" if row.checkpoint else row.weights
    return [row.kv, str(row.devices), layout or "–", f"{row.users:,}", format_rate(_rate(row)),
            "–" if tpot is None else format_seconds(tpot.value),
            "–" if ttft is None else format_seconds(ttft.value),
            f"{(row.total_bytes_per_device or 0) / GIB:.1f}",
            f"{told_loss(row.loss)} ({told_loss(row.loss_low)}–{told_loss(row.loss_high)})",
            "–" if usd is None else f"{usd.value:.3g} ({usd.low:.3g}–{usd.high:.3g})",
            "–" if joules is None else f"{joules.value:.2g}", row.engine, weights]
