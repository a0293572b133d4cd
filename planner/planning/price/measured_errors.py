"""What predicted times were measured to be off by, beside their operators' errors.

``planning/data/composition_errors.toml``, which ``benchmarks/intervals.py`` writes, has the
log-space standard deviation that, in quadrature with the operators' own, holds four of five of the
residuals of served models. An entry with ``without`` leaves one model's rows out, and serves that
model.
"""

from __future__ import annotations

import math
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from planner.hardware.profile import DeviceProfile, Quantity
from planner.planning.price.served_sigmas import Z80 as Z80

_DATA = Path(__file__).resolve().parents[1] / "data"
KINDS = ("dense", "moe", "pooled")
"""Kinds of composition: models without and with experts, and pools of prefill and decode workers.
"""


@lru_cache(maxsize=4096)
def common_sigma(metric: str, engine: str, model: str, kind: str) -> float:
    """The common term of ``metric`` (tpot or ttft) of ``model`` on ``engine``: that of the engine
    and ``kind``, else of all engines; from rows of other models alone."""
    sigmas = {
        (e["engine"], e["without"]): float(e["sigma"])
        for e in _entries()
        if e["metric"] == metric and e["kind"] == kind
    }
    engines = {name for name, _ in sigmas}
    name = engine if engine in engines else "any"
    return sigmas.get((name, model), sigmas[name, ""])


@cache
def _entries() -> tuple[dict[str, Any], ...]:
    return tuple(
        tomllib.loads((_DATA / "composition_errors.toml").read_text(encoding="utf-8"))["entry"]
    )


def assumed_sigma(device: DeviceProfile, metric: str) -> float:
    """Log-space standard deviation of all times of ``metric`` (tpot or ttft) on a machine whose
    bandwidth nobody measured: that of its bandwidth for decode steps, of its rates for prompts; the
    ranges of both are taken to hold 80 %. 0 where they are known."""
    if device.bandwidth_bytes_per_s.kind != "assumed":
        return 0.0
    if metric == "tpot":
        return _width(device.bandwidth_bytes_per_s)
    return max((_width(rate.dense) for rate in device.rates.values()), default=0.0)


def _width(quantity: Quantity) -> float:
    if quantity.low is None or quantity.high is None:
        return 0.0
    return math.log(quantity.high / quantity.low) / (2 * Z80)
