"""What rows of served models leave out, from ``data/serving.toml``: formats, cache, lengths."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from planner.hardware.profile import DeviceProfile
from planner.planning.price.recipe import SchemeSet
from planner.throughput.kernels import WEIGHT_ONLY_OF

_FILE = Path(__file__).resolve().parent / "data" / "serving.toml"


@dataclass(frozen=True, slots=True)
class Formats:
    """Schemes of a row: dense linears, experts; ``static``: scales known before the run; ``kinds``:
    module kinds with a scheme of their own, (kind, scheme)."""

    dense: str
    experts: str
    static: bool
    kinds: tuple[tuple[str, str], ...] = ()

    def recipe(self, kv: str, *, experts: bool) -> SchemeSet:
        """The schemes of a model with or without ``experts``, its cache in ``kv``."""
        return SchemeSet(
            self.dense, self.experts if experts else self.dense, kv, self.static, self.kinds
        )


def formats(model: str, label: str, *, blackwell: bool, engine: str = "") -> Formats | None:
    """The schemes that ``label`` means for ``model`` in ``engine``, or None."""
    for entry in _rules()["format"]:
        if (
            entry.get("engine", engine) == engine
            and _occurs(entry.get("model", ""), model)
            and _is(entry["label"], label)
        ):
            experts = entry["experts"]
            if blackwell:
                experts = entry.get("blackwell_experts", experts)
            kept = tuple((kind, "bf16") for kind in entry.get("bf16", ()))
            kept += tuple((kind, entry["dense"]) for kind in entry.get("alike", ()))
            return Formats(entry["dense"], experts, bool(entry.get("static")), kept)
    return None


def runnable(chosen: Formats, device: DeviceProfile) -> Formats:
    """``chosen`` as engines run it on ``device``: 8-bit floats as weights alone where no unit
    multiplies them (the Marlin kernels of vLLM and SGLang)."""
    if device.rate("fp8") is not None:
        return chosen
    dense, experts = (
        WEIGHT_ONLY_OF.get(name, name) if name.startswith("fp8-") else name
        for name in (chosen.dense, chosen.experts)
    )
    return replace(chosen, dense=dense, experts=experts)


def cache_layout(engine: str, model: str, label: str, device: str = "") -> str:
    """The cache layout of a row that states none."""
    return str(_first("cache", engine=engine, model=model, label=label, device=device)["kv"])


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """How a benchmark asks: ``lengths`` drawn evenly from this share of those stated to all of
    them; ``requests`` of the run for each slot."""

    range_ratio: float
    requests: float

    def mean(self, tokens: int) -> int:
        """The mean length of requests of at most ``tokens``."""
        return max(1, round(tokens * (1 + self.range_ratio) / 2))


def run_of(model: str, isl: int, osl: int) -> BenchmarkRun:
    """The run of rows of ``model`` at these lengths."""
    for entry in _rules()["benchmark"]:
        if _occurs(entry.get("model", ""), model) and [isl, osl] in entry.get(
            "lengths", [[isl, osl]]
        ):
            return BenchmarkRun(entry["range_ratio"], entry["runs_per_slot"])
    raise AssertionError("the last rule matches everything")


def chunk_tokens(
    engine: str, model: str, label: str, device: str = "", *, pooled: tuple[int, int] | None = None
) -> int:
    """Most prompt tokens of one pass; of prefill workers where ``pooled`` are the lengths stated
    for requests that two pools serve."""
    for entry in _rules()["chunk"]:
        if (
            _applies(entry, engine=engine, model=model, label=label, device=device)
            and (pooled is not None or not entry.get("pools"))
            and (pooled is None or list(pooled) == entry.get("lengths", list(pooled)))
        ):
            return int(entry["tokens"])
    raise AssertionError("the last rule matches everything")


def hold(
    engine: str,
    model: str,
    label: str,
    device: str,
    *,
    isl: int,
    osl: int,
    tp: int,
    concurrency: float,
) -> tuple[int, float]:
    """(steps that a waiting prompt is held for others, share of a pass they need not exceed)."""
    for entry in _rules()["hold"]:
        if (
            _applies(entry, engine=engine, model=model, label=label, device=device)
            and entry["lengths"] == [isl, osl]
            and entry["tp"][0] <= tp <= entry["tp"][1]
            and entry["concurrency"][0] <= concurrency <= entry["concurrency"][1]
        ):
            return entry["steps"], entry["share"]
    return 0, 1.0


def one_sided(engine: str, model: str, device: str) -> bool:
    """Whether a benchmark has the engine write tokens straight to the ranks of their experts."""
    return any(
        _applies(entry, engine=engine, model=model, label="", device=device)
        for entry in _rules()["one_sided"]
    )


def mislabelled(engine: str, version: str) -> str:
    """Why rows of ``engine`` at ``version`` do not say what they were measured on; empty for
    others."""
    return next(
        (
            str(entry["reason"])
            for entry in _rules()["mislabelled"]
            if entry["engine"] == engine and _is(entry["version"], version)
        ),
        "",
    )


def prefill_ranks(
    engine: str,
    version: str,
    model: str,
    device: str,
    lengths: tuple[int, int],
) -> int | None:
    """Attention ranks of prefill workers by the run's recipe, where rows may state others."""
    return next(
        (
            int(entry["dp"])
            for entry in _rules()["prefill"]
            if _applies(entry, engine=engine, model=model, label="", device=device)
            and _is(entry["version"], version)
            and entry["lengths"] == list(lengths)
        ),
        None,
    )


def balance_steps(engine: str, model: str) -> int:
    """Steps that a prompt is held until every attention rank has one."""
    return int(_first("balance", engine=engine, model=model, label="")["steps"])


def _first(table: str, *, engine: str, model: str, label: str, device: str = "") -> dict[str, Any]:
    for entry in _rules()[table]:
        if _applies(entry, engine=engine, model=model, label=label, device=device):
            return dict(entry)
    raise AssertionError("the last rule matches everything")


def _applies(entry: dict[str, Any], *, engine: str, model: str, label: str, device: str) -> bool:
    return (
        entry.get("engine", engine) == engine
        and _occurs(entry.get("model", ""), model)
        and _is(entry.get("label", ".*"), label)
        and _is(entry.get("device", ".*"), device)
    )


@dataclass(frozen=True, slots=True)
class Benchmark:
    """An MLPerf task: mean lengths [tokens], 0 where they are not known, and by scenario the limits
    of (first token, next token) [s]."""

    isl: int
    osl: int
    limits: Mapping[str, tuple[float, float]]


def benchmark(model: str) -> Benchmark | None:
    """The MLPerf task of ``model``, or None."""
    for entry in _rules()["mlperf"]:
        if _occurs(entry["model"], model):
            limits = {
                name: (entry[f"{name}_ms"][0] * 1e-3, entry[f"{name}_ms"][1] * 1e-3)
                for name in ("server", "interactive")
                if f"{name}_ms" in entry
            }
            return Benchmark(entry.get("isl", 0), entry["osl"], limits)
    return None


def _occurs(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text.strip(), re.IGNORECASE | re.DOTALL) is not None


@cache
def _rules() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
