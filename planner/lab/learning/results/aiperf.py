"""Results of AIPerf and of genai-perf before it (`profile_export_aiperf.json`, `.csv`), as
https://github.com/ai-dynamo/aiperf/blob/main/docs/tutorials/working-with-profile-exports.md
describes them.

An object holds a statistic for each metric (unit, avg, std, …) and the command's configuration;
CSV a line a metric, with its unit in parentheses, in sections between empty lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from planner.lab.learning.results.run import (
    Data,
    MeasuredRun,
    MeasuredTime,
    count_of,
    law_of,
    lost_share,
    measured,
    number,
    positive,
    table,
    word,
)
from planner.requests.arrivals import CONSTANT, GAMMA, POISSON

TOOL = "aiperf"
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "sec": 1.0, "s": 1.0, "seconds": 1.0}
_HEAD = re.compile(r"(.+?)(?: \((.+)\))?")


def is_aiperf(data: Data) -> bool:
    """Whether ``data`` is an export of AIPerf or genai-perf."""
    return isinstance(data.get("time_to_first_token"), dict) or (
        isinstance(data.get("request_latency"), dict) and "input_config" in data
    )


def aiperf_run(data: Data, source: str) -> MeasuredRun:
    """The run of an export."""
    config = table(data, "input_config")
    endpoint, load = table(config, "endpoint"), table(config, "loadgen")
    models = endpoint.get("model_names") or config.get("model_names") or config.get("model")
    model = models[0] if isinstance(models, list) and models else models
    errors = data.get("error_summary")
    failed = count_of(table(data, "error_request_count"), "avg")
    if not failed and isinstance(errors, list):
        failed = sum(count_of(e, "count") for e in errors if isinstance(e, dict))
    completed = count_of(table(data, "request_count"), "avg")
    concurrency, rate = (
        positive(load, name) or positive(config, name) for name in ("concurrency", "request_rate")
    )
    stimulus = table(config, "perf_analyzer", "stimulus")
    return MeasuredRun(
        TOOL,
        source,
        arrivals=_arrivals(load, stimulus),
        engine=_engine(word(endpoint, "backend", "service_kind") or word(config, "backend")),
        model=word({"model": model}, "model"),
        isl=_mean(data, "input_sequence_length"),
        osl=_mean(data, "output_sequence_length"),
        concurrency=concurrency or positive(stimulus, "concurrency"),
        rate=rate or positive(stimulus, "request_rate"),
        completed=completed,
        failed=failed,
        tpot=_times(data, "inter_token_latency", completed),
        ttft=_times(data, "time_to_first_token", completed),
        e2e=_times(data, "request_latency", completed),
        output_rate=_mean(data, "output_token_throughput"),
        lost=lost_share(table(config, "metadata")),
        date=word(data, "start_time") or "",
    )


def _engine(name: str | None) -> str | None:
    known = {"vllm": "vllm", "tensorrtllm": "tensorrt-llm", "sglang": "sglang"}
    return known.get((name or "").lower().replace("-", "").replace("_", ""))


def _arrivals(load: Data, stimulus: Data) -> str:
    """The law of arrivals: Poisson unless told (AIPerf), constant through perf_analyzer."""
    pattern = word(load, "arrival_pattern", "request_rate_mode") or ""
    if pattern.lower() == CONSTANT or stimulus:
        return CONSTANT
    smooth = positive(load, "arrival_smoothness") if pattern.lower() == GAMMA else None
    return POISSON if smooth is None else law_of(smooth**-0.5)


def _mean(data: Data, name: str) -> float | None:
    return positive(table(data, name), "avg")


def _times(data: Data, name: str, count: int) -> MeasuredTime | None:
    some = table(data, name)
    unit = UNITS.get((word(some, "unit") or "ms").lower())
    if unit is None:
        return None
    return measured(positive(some, "avg"), number(some, "std"), max(count, 1), unit)


def aiperf_csv(rows: Sequence[Sequence[str]], source: str) -> MeasuredRun:
    """The run of a table of metrics; the model and the load are not in it."""
    data: dict[str, dict[str, str]] = {}
    heads: list[str] = []
    for row in rows:
        cells = [cell.strip() for cell in row]
        if len(cells) < 2 or not cells[0]:
            continue
        if cells[0] == "Metric":
            heads = [cell.lower() for cell in cells]
            continue
        found = _HEAD.fullmatch(cells[0])
        if found is None or not heads:
            continue
        entry = dict(zip(heads[1:], cells[1:], strict=False))
        entry.setdefault("avg", entry.get("value", ""))
        data[found[1].lower().replace(" ", "_")] = {**entry, "unit": found[2] or ""}
    return aiperf_run(data, source)
