"""Rows of published benchmark tables (``e2e_trtllm*``, ``e2e_mlperf*``, ``e2e_jetson*``,
``e2e_xeon*``): throughput, first and next token, by the definition that the metric's name states.

A static batch reads all prompts, then decodes them together. Serving throughput is a closed loop.
MLPerf's offline scenario fills the cache; its server scenario takes the largest batch within the
task's limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import exp, hypot

from planner.hardware.profile import DeviceProfile
from planner.planning.price.intervals import Z80
from planner.planning.price.recipe import SchemeSet
from planner.throughput.engine_policy import engine_policy
from planner.throughput.serving import Scheduling
from planner.validation.memory_case import NotCoveredError
from planner.validation.names import device_name
from planner.validation.parallelism import Shape, deployment
from planner.validation.records import Outcome
from planner.validation.served import (
    GRID,
    Deployed,
    cache_tokens,
    certainties,
    device_of,
    serve,
    spec_of,
    table,
)
from planner.validation.serving_rules import benchmark, cache_layout, formats

_ENGINES = (("tensorrt-llm", r"tensorrt|trt-?llm"), ("vllm", r"vllm"), ("sglang", r"sglang"),
            ("llama.cpp", r"llama\.?cpp|ggml"), ("pytorch", r"pytorch|ipex|transformers|mlc"))
_NUMBERS = re.compile(r"\d+(?:\.\d+)+")
_METRICS = (
    (r"first_token_latency|ttft", "ttft"),
    (r"next_token_latency|tpot|inter_token_latency", "tpot"),
    (r"total_latency.*|latency|e2e_latency", "latency"),
    (r"(output_)?tokens_per_s(econd)?(_per_gpu|_per_device)?|throughput.*",
     "output_tokens_per_second"),
)
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
OFFLINE_SEQUENCES = 2048.0
"""Most sequences of an offline run without a stated batch; caches are full before."""


AGE_SIGMA = 0.15
"""Log-space error that software of another year adds: versions differ by 5-8 % in time per token
and 8-23 % in time to the first (served models of PyPI aiconfigurator-core 0.12.0)."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row resolved. ``value`` in seconds or tokens/s over all devices; ``batch`` 0: not stated.
    """

    metric: str
    case: Deployed
    policy: Scheduling
    replicas: int
    batch: float
    value: float
    kind: str
    limit: float


def predict_rows(table_name: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """One outcome a row."""
    out = []
    for i, row in enumerate(rows):
        metric = _metric(row["metric"]) or row["metric"]
        blank = Outcome(table=table_name, row=i, metric=metric, device=row["device"],
                        software=row["software"], model=row["model"],
                        format=row["w_dtype"] or "bf16", regime="published")
        try:
            found = _resolve(row)
            predicted = _predict(found)
            sure = certainties(found.case, GRID)
            factor = exp(Z80 * hypot(sure.prompt if metric == "ttft" else
                                     sure.at(max(found.batch, 1.0)), AGE_SIGMA))
            out.append(replace(
                blank, device=found.case.device, model=spec_of(found.case.model).id,
                format=found.case.recipe.dense, measured=found.value, predicted=predicted,
                low=predicted / factor, high=predicted * factor, basis=sure.basis))
        except NotCoveredError as error:
            out.append(replace(blank, reason=error.reason))
    return out


def _resolve(row: Mapping[str, str]) -> PublishedRow:
    metric = _metric(row["metric"])
    if metric is None:
        raise NotCoveredError("quantity not predicted")
    device = device_of(device_name(row["device"]).id)
    spec = spec_of(row["model"])
    engine = _engine(row["software"])
    chosen = formats(spec.id, row["w_dtype"], engine=engine,
                     blackwell=device.architecture.startswith("Blackwell"))
    if chosen is None:
        raise NotCoveredError("unknown format")
    count = int(_number(row["n_devices"]))
    task = benchmark(row["model"])
    isl, osl = _lengths(row, task.isl if task else 0, task.osl if task else 0)
    recipe = SchemeSet(chosen.dense, chosen.experts if spec.experts else chosen.dense,
                       _cache(row["kv_dtype"], engine, spec.id, row["w_dtype"]), chosen.static)
    version = _NUMBERS.search(row["software"])
    numbers = tuple(int(p) for p in version[0].split(".")) if version else ()
    shape = _shape(row["parallelism"], count, device)
    case = Deployed(row["model"], device.id, engine, numbers, recipe, shape, isl, osl)
    if not row["parallelism"].strip() and device.kind == "gpu":
        case = _smallest(case, count)
    replicas = max(1, count // case.shape.ranks)
    scale = replicas if metric == "output_tokens_per_second" else 1
    batch = float(row["batch_or_concurrency"] or 0) / scale
    per_device = "per_gpu" in row["metric"] or "GPU" in row["unit"]
    limit = task.tpot_seconds if task else 0.0
    return PublishedRow(metric, case, engine_policy(engine, version[0] if version else "").policy,
                        replicas, batch, _value(row, metric, count if per_device else 1),
                        row["metric"], limit)


def _metric(text: str) -> str | None:
    return next((name for pattern, name in _METRICS if re.fullmatch(pattern, text.strip())), None)


def _engine(software: str) -> str:
    return next((name for name, pattern in _ENGINES
                 if re.search(pattern, software, re.IGNORECASE)), software.split(" ")[0].lower())


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise NotCoveredError("malformed row") from None
    if not 0 < value < float("inf"):
        raise NotCoveredError("malformed row")
    return value


def _lengths(row: Mapping[str, str], isl: int, osl: int) -> tuple[int, int]:
    given = int(float(row["isl"] or isl)), int(float(row["osl"] or osl))
    if min(given) < 1:
        raise NotCoveredError("setting not stated")
    return given


def _value(row: Mapping[str, str], metric: str, devices: int) -> float:
    value = _number(row["value"])
    if metric == "output_tokens_per_second":
        return value * devices
    unit = _SECONDS.get(row["unit"].strip().lower())
    if unit is None:
        raise NotCoveredError("malformed row")
    return value * unit


def _cache(label: str, engine: str, model: str, weights: str) -> str:
    label = label.strip().lower()
    if not label:
        return cache_layout(engine, model, weights)
    if label.startswith("fp8"):
        return "fp8"
    return "int8-token" if label.startswith("int8") else "bf16"


def _shape(text: str, count: int, device: DeviceProfile) -> Shape:
    """TPn of the row; sockets split nothing and cores share one memory."""
    if device.kind != "gpu":
        return Shape(count if device.kind == "cpu" else 1, 1, 1, 0, 0)
    found = deployment(text) if text.strip() else None
    return found.decode if found is not None else Shape(count, 1, 1, 0, 0)


def _smallest(case: Deployed, count: int) -> Deployed:
    """The narrowest tensor parallelism whose cache holds 64 requests, else all devices.

    Throughput runs of public suites prefer many narrow replicas; none states its layout.
    """
    width = 1
    while width < count:
        narrow = replace(case, shape=Shape(width, 1, 1, 0, 0))
        try:
            if cache_tokens(narrow) >= 64 * (case.isl + case.osl):
                return narrow
        except NotCoveredError:
            pass
        width *= 2
    return replace(case, shape=Shape(count, 1, 1, 0, 0))


def _predict(row: PublishedRow) -> float:
    case = row.case
    if row.metric == "output_tokens_per_second" and not row.batch:
        return _filled(row)
    batch = row.batch or 1.0
    times = table(case, max(GRID, batch))
    if row.metric == "ttft":
        together = min(int(batch), len(times.group))
        first = float(times.group[max(together, 1) - 1]) * max(batch / max(together, 1), 1.0)
        return row.policy.step(first, batch)
    tpot = row.policy.step(times.step(batch), batch)
    if row.metric == "tpot":
        return tpot
    if row.metric == "latency":
        return row.policy.step(times.prompt, batch) + (case.osl - 1) * tpot
    if "per_gpu" in row.kind:
        return row.replicas * batch * case.osl / (_prompts(row, batch) + case.osl * tpot)
    loop = serve(case, row.policy, max(batch, 1.0), requests=None)
    return row.replicas * batch * case.osl / (loop.ttft + case.osl * loop.tpot)


def _prompts(row: PublishedRow, batch: float) -> float:
    """Seconds to read ``batch`` prompts, as many together as one pass takes."""
    group = table(row.case, max(GRID, batch)).group
    together = min(len(group), max(int(batch), 1))
    return float(group[together - 1]) * batch / together


def _filled(row: PublishedRow) -> float:
    """Output tokens/s of a deployment that is never idle: the cache is full, or TPOT at its limit.
    """
    case = row.case
    most = min(cache_tokens(case) / (case.isl + case.osl), OFFLINE_SEQUENCES)
    limit = row.limit if "server" in row.kind else 0.0
    for _ in range(30):
        loop = serve(case, row.policy, max(most * case.shape.dp, 1.0), requests=None)
        if not limit or loop.tpot <= limit or most <= 1:
            break
        most *= 0.8
    rate = max(most * case.shape.dp, 1.0) * case.osl / (loop.ttft + case.osl * loop.tpot)
    return row.replicas * rate
