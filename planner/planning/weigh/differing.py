"""What does not cancel between two plans of one engine and model on other layouts and batches.

From ``planning/data/differing_errors.toml``, which ``benchmarks/differing.py`` writes from served
models: how much log(measured ÷ predicted) differs between rows of one model, engine, device and
format at the same lengths: on another layout with as many sequences (``layout_sigma``, of each of
the two), and on one layout with twice as many (``octave_sigma``, of the difference, which grows
with the root of the number of doublings, as a random walk). An entry ``without`` a model serves
that model.
"""

from __future__ import annotations

import tomllib
from functools import cache
from math import floor, log2
from pathlib import Path
from typing import Any

from planner.placement.layout import Layout

_FILE = Path(__file__).resolve().parents[1] / "data" / "differing_errors.toml"


def layout_and_batch(layout: Layout, batch: int, model: str) -> list[tuple[str, str, float]]:
    """(kind of error, where, log-space σ that its draw is weighed by) of a plan of ``batch``
    sequences on ``layout``: plans share the octaves of the batch that both have."""
    found = _entry(model)
    name = f"tp{layout.tp} dp{layout.dp} pp{layout.pp} ep{layout.ep}"
    octaves = log2(max(batch, 1))
    whole = floor(octaves)
    steps = [(str(i), 1.0) for i in range(whole)]
    if octaves > whole:
        steps.append((str(whole), octaves - whole))
    return [
        ("layout", name, float(found["layout_sigma"])),
        *(("batch", octave, share * float(found["octave_sigma"])) for octave, share in steps),
    ]


@cache
def _entry(model: str) -> dict[str, Any]:
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))["entry"]
    return next(
        (e for e in entries if e["without"] == model), next(e for e in entries if not e["without"])
    )
