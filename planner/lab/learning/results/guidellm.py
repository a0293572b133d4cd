"""Results of GuideLLM (`benchmarks.json`, `benchmarks.csv`), as
https://github.com/vllm-project/guidellm/tree/main/src/guidellm/benchmark/outputs writes them.

A report holds a benchmark for every rate or concurrency that was tried. Its strategy says the load:
``synchronous`` one request, ``concurrent`` streams, ``throughput`` all at once, ``constant`` and
``poisson`` a rate. CSV has three rows of heads: group, name, unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.base.errors import DataError
from planner.base.strict_json import parse_object
from planner.lab.learning.results.run import (
    Data,
    MeasuredRun,
    MeasuredTime,
    count_of,
    lost_share,
    measured,
    number,
    positive,
    table,
    word,
)
from planner.requests.arrivals import CONSTANT, POISSON

TOOL = "guidellm"
MS = 1e-3
RATES = ("constant", "poisson", "async")
ONE = "synchronous"


def is_guidellm(data: Data) -> bool:
    """Whether ``data`` is a report of GuideLLM."""
    return isinstance(data.get("benchmarks"), list)


def guidellm_runs(data: Data, source: str) -> tuple[MeasuredRun, ...]:
    """The runs of a report."""
    rows = data["benchmarks"]
    arguments = table(data, "args")
    return tuple(
        _run(row, arguments, f"{source}: benchmark {i}")
        for i, row in enumerate(rows, 1)
        if isinstance(row, dict) and isinstance(row.get("metrics"), dict)
    )


def _run(row: Data, arguments: Data, source: str) -> MeasuredRun:
    metrics = table(row, "metrics")
    config = table(row, "config") or table(row, "args")
    strategy = table(config, "strategy") or table(row, "scheduler", "strategy")
    kind = word(strategy, "type_") or ""
    totals = table(metrics, "request_totals") or table(row, "run_stats", "requests_made")

    def one(name: str) -> Data:
        return table(metrics, name, "successful")

    def times(name: str, unit: float) -> MeasuredTime | None:
        some = one(name)
        return measured(
            positive(some, "mean"), number(some, "std_dev"), count_of(some, "count"), unit
        )

    ttft = times("time_to_first_token_ms", MS)
    completed = count_of(totals, "successful") or (ttft.count if ttft is not None else 0)
    backend = table(config, "backend")
    return MeasuredRun(
        TOOL,
        source,
        engine=_engine(word(config, "engine") or word(arguments, "engine")),
        version=word(config, "engine_version") or word(arguments, "engine_version"),
        model=word(backend, "model") or word(arguments, "model") or word(config, "model"),
        isl=positive(one("prompt_token_count"), "mean"),
        osl=positive(one("output_token_count"), "mean"),
        concurrency=_in_flight(kind, strategy),
        rate=positive(strategy, "rate") if kind in RATES else None,
        arrivals=POISSON if kind == POISSON else CONSTANT,
        completed=completed,
        failed=count_of(totals, "errored"),
        # GuideLLM's time per output token counts the first token's wait; the gaps are TPOT here.
        tpot=times("inter_token_latency_ms", MS),
        ttft=ttft,
        e2e=times("request_latency", 1.0),
        output_rate=positive(one("output_tokens_per_second"), "mean"),
        lost=lost_share(table(config, "environment")),
        date=word(row, "start_time") or "",
    )


def _engine(name: str | None) -> str | None:
    return name.lower() if name else None


def _in_flight(kind: str, strategy: Data) -> float | None:
    """Requests in flight that a strategy keeps, or has at most; None where it has no limit."""
    if kind == ONE:
        return 1.0
    if kind in RATES:
        return positive(strategy, "max_concurrency")
    return positive(strategy, "streams", "max_concurrency")


def guidellm_csv(rows: Sequence[Sequence[str]], source: str) -> tuple[MeasuredRun, ...]:
    """The runs of a table with three rows of heads."""
    heads = [tuple(cell.strip() for cell in column) for column in zip(*rows[:3], strict=False)]
    return tuple(
        _csv_run(dict(zip(heads, row, strict=False)), f"{source}: row {i}")
        for i, row in enumerate(rows[3:], 1)
        if any(cell.strip() for cell in row)
    )


def _csv_run(row: dict[tuple[str, ...], str], source: str) -> MeasuredRun:
    def figure(group: str, *heads: str) -> Data:
        """Mean and deviation of the columns of a group whose name and unit say ``heads``."""
        found: dict[str, Any] = {}
        for head, cell in row.items():
            text = " ".join(head[1:]).lower()
            if head[0] == group and all(h.lower() in text for h in heads):
                for word_, key in (("mean", "mean"), ("std", "std_dev")):
                    if word_ in text:
                        found.setdefault(key, cell)
        return found

    def cell(group: str, name: str) -> str:
        return next((v for h, v in row.items() if h[:2] == (group, name)), "")

    def embedded(group: str, name: str) -> Data:
        try:
            return parse_object(cell(group, name).encode(), source)
        except DataError:
            return {}

    counts = {name: cell("Request Counts", name) for name in ("Successful", "Errored")}
    completed = count_of(counts, "Successful")
    kind = cell("Benchmark", "Strategy")
    backend, profile = embedded("Run Info", "Backend"), embedded("Run Info", "Profile")

    def times(group: str, unit: float) -> MeasuredTime | None:
        some = figure(group)
        return measured(positive(some, "mean"), number(some, "std_dev"), completed, unit)

    streams = profile.get("streams")
    several = isinstance(streams, list) and len(streams) > 1
    return MeasuredRun(
        TOOL,
        source,
        model=word(backend, "model"),
        isl=positive(figure("Token Metrics", "Input Tokens"), "mean"),
        osl=positive(figure("Token Metrics", "Output Tokens"), "mean"),
        concurrency=1.0
        if kind == ONE
        else None
        if kind in RATES or (several and kind != "concurrent")
        else positive(figure("Server Throughput", "Concurrency"), "mean"),
        rate=positive(figure("Server Throughput", "Requests/Sec"), "mean")
        if kind in RATES
        else None,
        arrivals=POISSON if kind == POISSON else CONSTANT,
        completed=completed,
        failed=count_of(counts, "Errored"),
        tpot=times("Inter Token Latency", MS),
        ttft=times("Time to First Token", MS),
        e2e=times("Request Latency", 1.0),
        output_rate=positive(figure("Token Throughput", "Output Tokens/Sec"), "mean"),
        lost=lost_share(embedded("Run Info", "Environment")),
        date=cell("Timings", "Start Time"),
    )
