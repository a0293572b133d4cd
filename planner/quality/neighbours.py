"""What others measured with the formats of a plan: rows of data/measured_deltas.csv, with source.

Benchmark points are never predicted here; the rows are shown beside a predicted loss.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from planner.records import record

_PATH = Path(__file__).resolve().parent / "data" / "measured_deltas.csv"


@record
class Measured:
    """One published comparison. ``delta`` = value − baseline in ``unit``; for perplexity (ppl) more
    is worse, else less is."""

    model: str
    scheme: str
    kv_layout: str
    metric: str
    unit: str
    baseline_scheme: str
    baseline: str
    value: str
    delta: float
    note: str
    source: str

    @property
    def worsening(self) -> float:
        """How much was lost: positive is worse."""
        return self.delta if self.unit == "ppl" else -self.delta

    @property
    def text(self) -> str:
        """``Qwen3-8B, nvfp4: MMLU −2.03 % against bf16``."""
        cache_word = f", KV {self.kv_layout}" if self.kv_layout != "bf16" else ""
        note = f" ({self.note})" if self.note else ""
        unit = "" if self.unit == "frac" else f" {self.unit}"
        delta = f"{self.delta:+.3g}".replace("-", "−")
        return (f"{self.model}, {self.scheme}{cache_word}{note}: {self.metric} {delta}{unit} "
                f"against {self.baseline_scheme}")


@cache
def measured_rows() -> tuple[Measured, ...]:
    """The shipped table (read once a process)."""
    with _PATH.open(encoding="utf-8", newline="") as file:
        return tuple(Measured(delta=float(row.pop("delta")), **row)
                     for row in csv.DictReader(file))


def nearest(model: str, schemes: Sequence[str], layouts: Collection[str], *,
            count: int = 3) -> tuple[Measured, ...]:
    """Up to ``count`` rows with one of ``schemes`` (the first matters most) or cache ``layouts``,
    the same model first, then its family, then any; one row a metric and scheme."""
    plain = ("bf16", "fp16", "fp32")
    order = [s for s in schemes if s not in plain]
    caches = [k for k in layouts if k not in plain]
    ranked = []
    for n, row in enumerate(measured_rows()):
        by_cache = row.scheme in plain and row.kv_layout in caches
        if row.scheme not in order and not by_cache:
            continue
        place = order.index(row.scheme) if row.scheme in order else len(order)
        ranked.append((_distance(model, row.model), place, row.kv_layout not in plain, n, row))
    out: dict[tuple[str, str], Measured] = {}
    for *_, row in sorted(ranked, key=lambda r: r[:4]):
        out.setdefault((row.scheme, row.kv_layout), row)
    return tuple(out.values())[:count]


def _distance(model: str, other: str) -> int:
    """0 the same model, 1 the same family and generation, 2 the same family, 3 another."""
    a, b = _words(model), _words(other)
    if a == b:
        return 0
    shared = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
                  min(len(a), len(b)))
    return 3 if shared == 0 else 2 if shared == 1 else 1


def _words(name: str) -> list[str]:
    """Family, generation, size …; suffixes of tuning do not count."""
    text = name.split("/")[-1].lower().replace("meta-", "").replace("(moe)", "").strip()
    text = re.sub(r"-(instruct|it|base|chat|v0\.1|2507)\b", "", text)
    return [w for w in re.findall(r"[a-z]+|\d+(?:\.\d+)?", text) if w]
