"""Results of `vllm bench serve --save-result`, `vllm bench latency` and `vllm bench throughput`, as
https://github.com/vllm-project/vllm/tree/main/vllm/benchmarks writes them (JSON objects), and of
`python -m sglang.bench_serving --output-file`, which began as a copy of the first (an object a
line): https://github.com/sgl-project/sglang/blob/main/python/sglang/bench_serving.py.

`bench serve` says the model and the load, but no lengths without `--save-detailed`: totals over
requests give their means. The other two say neither model nor lengths. What `--metadata KEY=VALUE`
adds (version, tensor_parallel_size, max_num_seqs, steal, …) is read where its name is known. A line
of SGLang's says neither model nor version unless it holds ``server_info``, the server's arguments.

Gaps between requests are drawn from a gamma distribution of shape ``burstiness`` and stretched so
that the last request is sent N / rate after the start (vLLM), or from an exponential one (SGLang).
With details each request has its lengths, and in vLLM's file the time when it was sent.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from planner.lab.learning.results.run import (
    BATCH,
    Data,
    MeasuredRun,
    RequestRecords,
    count_of,
    law_of,
    lost_share,
    measured,
    number,
    positive,
    table,
    with_limits,
    word,
)

MS = 1e-3
BENCH_SERVE = "vllm bench serve"
MOST_RECORDS = 1_000_000
"""Requests of a detailed file that are read."""
ENGINES = {
    "vllm": "vllm",
    "openai": "vllm",
    "openai-chat": "vllm",
    "sglang": "sglang",
    "sglang-oai": "sglang",
    "sglang-oai-chat": "sglang",
    "sglang-native": "sglang",
    "tensorrt-llm": "tensorrt-llm",
    "trt": "tensorrt-llm",
    "llama.cpp": "llama.cpp",
}
"""What clients call the server → its engine."""


def is_served(data: Data) -> bool:
    """Whether ``data`` is what `vllm bench serve` writes."""
    return "request_throughput" in data and "model_id" in data


def is_offline(data: Data) -> bool:
    """Whether ``data`` is what `vllm bench latency` or `throughput` writes."""
    return ("avg_latency" in data and "latencies" in data) or (
        "elapsed_time" in data and "tokens_per_second" in data
    )


def served_run(data: Data, source: str, tool: str = BENCH_SERVE) -> MeasuredRun:
    """The run of a client's summary, vLLM's or SGLang's: both name their figures alike."""
    completed = count_of(data, "completed")
    asked = count_of(data, "num_prompts")
    failed = count_of(data, "failed") or max(asked - completed, 0)
    served = max(completed, 1)
    total_in, total_out = (positive(data, f"total_{kind}_tokens") for kind in ("input", "output"))
    backend = word(data, "backend", "endpoint_type") or ""
    run = MeasuredRun(
        tool=tool,
        source=source,
        engine=ENGINES.get(backend.lower()),
        version=word(data, "version", "engine_version", "vllm_version", "sglang_version"),
        model=word(data, "model_id", "model", "model_path"),
        device=word(data, "device", "gpu", "gpu_name"),
        tp=count_of(data, "tensor_parallel_size", "tp_size", "tp") or None,
        isl=total_in / served if total_in is not None else positive(data, "random_input_len"),
        osl=total_out / served if total_out is not None else positive(data, "random_output_len"),
        concurrency=positive(data, "max_concurrency"),
        rate=positive(data, "request_rate"),
        arrivals=_arrivals(data),
        stretched=tool == BENCH_SERVE,
        records=_request_records(data),
        completed=completed,
        failed=failed,
        tpot=measured(positive(data, "mean_tpot_ms"), number(data, "std_tpot_ms"), completed, MS),
        ttft=measured(positive(data, "mean_ttft_ms"), number(data, "std_ttft_ms"), completed, MS),
        e2e=measured(
            positive(data, "mean_e2el_ms", "mean_e2e_latency_ms"),
            number(data, "std_e2el_ms", "std_e2e_latency_ms"),
            completed,
            MS,
        ),
        output_rate=positive(data, "output_throughput"),
        lost=lost_share(data),
        date=word(data, "date") or "",
    )
    return with_limits(run, data)


def _arrivals(data: Data) -> str:
    """The law of arrivals; constant for a burstiness without end."""
    shape = data.get("burstiness")
    if shape in ("inf", math.inf):
        return law_of(0.0)
    known = positive(data, "burstiness")
    return law_of(1.0 if known is None else known**-0.5)


def _request_records(data: Data) -> RequestRecords | None:
    """The requests of a detailed file that were answered; None where it is not whole."""
    lengths = [_column(data, name) for name in ("input_lens", "output_lens")]
    count = len(lengths[0])
    if count != len(lengths[1]):
        return None
    sent = _column(data, "start_times")
    order = [i for i in range(count) if min(column[i] for column in lengths) >= 1]
    if len(sent) == count:
        order.sort(key=sent.__getitem__)
    else:
        sent = []
    if not order:
        return None
    first = sent[order[0]] if sent else 0.0
    inputs, outputs = (tuple(int(column[i]) for i in order) for column in lengths)
    return RequestRecords(inputs, outputs, tuple(sent[i] - first for i in order if sent))


def _column(data: Data, name: str) -> list[float]:
    """The list of numbers of that name; an empty one where one of them is none."""
    values: Any = data.get(name)
    if not isinstance(values, list) or len(values) > MOST_RECORDS:
        return []
    numbers = [number({"x": x}, "x") for x in values if not isinstance(x, str)]
    known = [x for x in numbers if x is not None]
    return known if len(known) == len(values) else []


def offline_run(data: Data, source: str) -> MeasuredRun:
    """A batch's time, or the rate of all requests at once."""
    latencies = data.get("latencies")
    if isinstance(latencies, list):
        times = [x for x in latencies if isinstance(x, float | int) and x > 0]
        mean = positive(data, "avg_latency")
        spread = None
        if mean is not None and len(times) > 1:
            spread = (sum((x - mean) ** 2 for x in times) / (len(times) - 1)) ** 0.5
        return MeasuredRun(
            "vllm bench latency",
            source,
            BATCH,
            engine="vllm",
            completed=len(times),
            e2e=measured(mean, spread, len(times), 1.0),
        )
    requests = count_of(data, "num_requests")
    seconds = positive(data, "elapsed_time")
    return MeasuredRun(
        "vllm bench throughput",
        source,
        BATCH,
        engine="vllm",
        completed=requests,
        e2e=measured(seconds, None, 1, 1.0),
        output_rate=positive(data, "output_tokens_per_second"),
    )


def is_sglang(data: Data) -> bool:
    """Whether ``data`` is a line of bench_serving."""
    return "total_output_tokens_retokenized" in data or (
        "mean_ttft_ms" in data and "random_input_len" in data
    )


def sglang_run(data: Data, source: str) -> MeasuredRun:
    """The run of a line."""
    server = table(data, "server_info")
    run = with_limits(served_run(data, source, "sglang bench_serving"), server)
    return replace(
        run,
        engine=run.engine or "sglang",
        version=run.version or word(server, "version"),
        model=run.model or word(server, "model_path", "served_model_name"),
        tp=run.tp or count_of(server, "tp_size") or None,
        cached=0.0,
        isl=run.isl or positive(data, "random_input_len"),
    )
