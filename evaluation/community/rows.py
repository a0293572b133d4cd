"""Rows of a community's leaderboard that both rules predict: ours by the reader of ``plan lab
validate``, llmfit's by :mod:`evaluation.community.rule`."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from evaluation.community.rule import CARD, CPU, OFFLOADED, MachineRow, llmfit_decode
from planner.lab.validation.e2e_single import DECODE, predict_rows
from planner.lab.validation.home_commands import command_of
from planner.lab.validation.served import spec_of

TABLE = "e2e_community"
APPLE = "Apple"
KINDS = (CARD, APPLE, CPU, OFFLOADED)
SEVERAL = "several devices"


@dataclass(frozen=True, slots=True)
class BothRules:
    """One row of ``kind``: decode as ``measured``, by ``ours`` and by ``llmfit``, tokens/s; ``low``
    to ``high`` is our 80 % interval."""

    kind: str
    device: str
    model: str
    quant: str
    measured: float
    ours: float
    low: float
    high: float
    llmfit: float


def kind_of_row(row: Mapping[str, str]) -> str:
    """Where a row's model ran: a card, Apple's chips, a CPU, or partly in host memory.

    Raises:
        NotCoveredError: the row's command is not read.
    """
    if not row["gpu"].strip():
        return CPU
    if row["preset"].startswith("Apple"):
        return APPLE
    said = command_of(row)
    return OFFLOADED if said.hosted or not said.layers else CARD


def machine_of(row: Mapping[str, str]) -> MachineRow:
    """The row's machine in the words of llmfit's rule."""
    kind = kind_of_row(row)
    arm = "arm" in row["cpu"].lower()
    mode = CARD if kind == APPLE else kind
    backend = "metal" if kind == APPLE else row["backend"].strip() or "cuda"
    return MachineRow(row["gpu"], float(row["vram_gb"] or 0), backend, mode, arm)


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of the table in ``folder``."""
    with (folder / f"{TABLE}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def both_rules(rows: Sequence[Mapping[str, str]]) -> tuple[list[BothRules], Counter[str]]:
    """Rows that both predict, and how many of the others have which reason."""
    pairs: list[BothRules] = []
    reasons: Counter[str] = Counter()
    for one in predict_rows(TABLE, rows):
        row = rows[one.row]
        if one.metric != DECODE:
            continue
        if one.predicted is None or row["gpu_count"] not in ("", "1"):
            reasons[one.reason or SEVERAL] += 1
            continue
        other = llmfit_decode(spec_of(row["model"]), row["quantization"], machine_of(row))
        pairs.append(
            BothRules(
                kind_of_row(row),
                one.device,
                one.model,
                row["quantization"],
                one.measured,
                one.predicted,
                one.low,
                one.high,
                other,
            )
        )
    return pairs, reasons


def median_percent(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of |predicted ÷ measured − 1| [%]."""
    return 100 * median(abs(predicted / measured - 1) for predicted, measured in pairs)
