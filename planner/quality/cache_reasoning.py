"""What 4-bit caches lost on long reasoning, and what short tasks showed of it: rows of
data/cache_reasoning.csv, with source.

A nat is a mean over tokens; a chain of reasoning breaks at its worst one, the further on the
likelier. Such a cache can answer GSM8K as before and lose half of AIME.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from planner.base.records import record
from planner.formats.elements import element
from planner.formats.kv import GGML_CACHES, kv_layout

_DATA = Path(__file__).resolve().parent / "data"
MOST_BITS = 4
FOUR_BIT_KEY = "4-bit cache"
"""The assumption that tells them."""
REASONING, SHORT = "reasoning", "short"
FP4, GGML = "fp4", "q4_0"
"""Layouts of rows: FP4 in blocks of 16, which stand for all but ggml's types of four bits."""


@record
class Reasoned:
    """Accuracy in points with a cache and without; the ``kind`` of task is long or short."""

    model: str
    layout: str
    rotated: bool
    metric: str
    kind: str
    baseline: float
    value: float
    source: str

    @property
    def drop(self) -> float:
        """Points lost, negative."""
        return self.value - self.baseline


@cache
def reasoned_rows() -> tuple[Reasoned, ...]:
    """The shipped table (read once a process)."""
    with (_DATA / "cache_reasoning.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Reasoned(
                row["model"],
                row["layout"],
                row["rotated"] == "yes",
                row["metric"],
                row["kind"],
                float(row["baseline"]),
                float(row["value"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        )


def is_four_bit(layout: str) -> bool:
    """Whether a cache layout keeps entries in four bits or fewer; Q5 types have int8 elements."""
    return element(kv_layout(layout).element).bits <= MOST_BITS


def worst_reasoning(layout: str, *, rotated: bool = False) -> tuple[Reasoned, Reasoned | None]:
    """The largest published drop on long reasoning of caches like ``layout``, and what a short task
    showed on the same model; None where none was published."""
    own = GGML if layout in GGML_CACHES else FP4
    rows = [r for r in reasoned_rows() if r.layout == own and (own == FP4 or r.rotated == rotated)]
    worst = min((r for r in rows if r.kind == REASONING), key=lambda r: r.drop)
    beside = [r for r in rows if r.kind == SHORT and r.model == worst.model]
    return worst, beside[0] if beside else None
