"""What rows of served models leave out, from ``data/serving.toml``: formats, cache, lengths."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).resolve().parent / "data" / "serving.toml"


@dataclass(frozen=True, slots=True)
class Formats:
    """Schemes of a row: dense linears, experts; ``static``: scales known before the run."""

    dense: str
    experts: str
    static: bool


def formats(model: str, label: str, *, blackwell: bool, engine: str = "") -> Formats | None:
    """The schemes that ``label`` means for ``model`` in ``engine``, or None."""
    for entry in _rules()["format"]:
        if entry.get("engine", engine) == engine and _occurs(entry.get("model", ""), model) \
                and _is(entry["label"], label):
            experts = entry["experts"]
            if blackwell:
                experts = entry.get("blackwell_experts", experts)
            return Formats(entry["dense"], experts, bool(entry.get("static")))
    return None


def cache_layout(engine: str, model: str, label: str) -> str:
    """The cache layout of a row that states none."""
    for entry in _rules()["cache"]:
        if entry.get("engine", engine) == engine and _occurs(entry.get("model", ""), model) \
                and _is(entry["label"], label):
            return str(entry["kv"])
    raise AssertionError("the last rule matches everything")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """An MLPerf task: mean lengths, and the server scenario's limits [s]."""

    isl: int
    osl: int
    ttft_seconds: float
    tpot_seconds: float


def benchmark(model: str) -> Benchmark | None:
    """The MLPerf task of ``model``, or None."""
    for entry in _rules()["mlperf"]:
        if _occurs(entry["model"], model):
            return Benchmark(entry["isl"], entry["osl"], entry["ttft_ms"] * 1e-3,
                             entry["tpot_ms"] * 1e-3)
    return None


def _occurs(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text.strip(), re.IGNORECASE) is not None


@cache
def _rules() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
