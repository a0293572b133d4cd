"""How far composed times are off beside their operators' errors, by engine and kind of model.

From ``planning/data/composition_errors.toml``, which ``benchmarks/intervals.py`` writes: the
log-space standard deviation that, in quadrature with the operators' own, holds four of five of the
residuals of served models. An entry with ``without`` leaves one model's rows out, and serves that
model.
"""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).resolve().parents[1] / "data" / "composition_errors.toml"


KINDS = ("dense", "moe", "pooled")
"""Kinds of composition: models without and with experts, and pools of prefill and decode workers.
"""


@lru_cache(maxsize=4096)
def common_sigma(metric: str, engine: str, model: str, kind: str) -> float:
    """The common term of ``metric`` (tpot or ttft) of ``model`` on ``engine``: that of the engine
    and ``kind``, else of all engines; from rows of other models alone."""
    found = {
        (e["engine"], e["without"]): float(e["sigma"])
        for e in _entries()
        if e["metric"] == metric and e["kind"] == kind
    }
    engines = {name for name, _ in found}
    name = engine if engine in engines else "any"
    return found.get((name, model), found[name, ""])


@cache
def _entries() -> tuple[dict[str, Any], ...]:
    return tuple(tomllib.loads(_FILE.read_text(encoding="utf-8"))["entry"])
