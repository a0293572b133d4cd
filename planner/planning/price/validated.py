"""The measured error of predictions nearest to a plan, from ``data/validated.toml``.

The file is written by ``benchmarks/throughput_validation.py`` from a comparison with published
served models. Nearest = the same device, scheme and class of model (dense or MoE); where no row of
such a group was ever compared there is none, and none is borrowed.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from planner.planning.plan.record import Validated

_FILE = Path(__file__).resolve().parents[1] / "data" / "validated.toml"


def nearest(device: str, scheme: str, *, experts: bool, metric: str) -> Validated | None:
    """The group of ``metric`` (tpot or ttft) for ``scheme`` on ``device``; None where none is."""
    return _groups().get((device, scheme, "moe" if experts else "dense", metric))


@cache
def _groups() -> dict[tuple[str, str, str, str], Validated]:
    found = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {
        (g["device"], g["format"], g["class"], g["metric"]): Validated(
            g["table"], g["n"], g["median_ape"]
        )
        for g in found.get("group", ())
    }
