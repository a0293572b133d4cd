"""Runs of a benchmark client: bursts, closed loops, and what is left out of headlines."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from planner.lab.validation.e2e_gpustack import (
    BUFFERED,
    OTHER_MODEL,
    REPEATS,
    predict_rows,
    repeated_runs,
)
from planner.lab.validation.records import EXCLUDED, REASONS, Outcome

ROW = {
    "run_id": "a#1",
    "device": "A single NVIDIA A100 SXM GPU.",
    "n_devices": "",
    "software": "- vLLM: v0.11.0 - SGLang: v0.5.5.post1 - TensorRT-LLM: v1.2.0rc1",
    "model": "Optimizing Qwen3-14B Throughput on NVIDIA A100 GPUs | Qwen3-14B",
    "section": "1. Choosing the Inference Engine > vLLM",
    "profile": "",
    "command": "vllm serve Qwen/Qwen3-14B",
    "num_requests": "100",
    "max_concurrency": "",
    "request_rate": "",
    "isl_mean": "217.4",
    "osl_mean": "201.6",
    "metric": "output_tokens_per_s",
    "value": "1500",
    "unit": "tok/s",
    "suspect": "",
}
METRICS = ("output_tokens_per_s", "ttft_mean", "tpot_mean", "duration", "ttft_p99")


def outcomes(rows: Iterable[dict[str, str]]) -> list[Outcome]:
    found = predict_rows("e2e_gpustack", list(rows))
    assert all((o.predicted is None) == bool(o.reason) for o in found)
    assert {o.reason for o in found} <= {"", *REASONS}
    return found


def one(**changes: str) -> Outcome:
    (found,) = outcomes([ROW | changes])
    return found


def test_a_burst_is_played() -> None:
    rows = outcomes(ROW | {"metric": metric} for metric in METRICS)
    rate, ttft, tpot, seconds, last = rows
    assert {o.regime for o in rows} == {"burst"}
    assert (rate.software, rate.layout_class) == ("vllm 0.11.0", "tp")
    assert rate.concurrency_range == "33-128"
    assert rate.predicted is not None
    assert seconds.predicted is not None
    assert ttft.predicted is not None
    assert tpot.predicted is not None
    assert rate.predicted * seconds.predicted == pytest.approx(100 * 201, rel=0.2)
    assert 0.05 < ttft.predicted < seconds.predicted
    assert 0.01 < tpot.predicted < 0.3
    assert last.reason == "quantity not predicted"


def test_a_long_run_is_a_closed_loop() -> None:
    found = one(max_concurrency="4.0")
    assert found.regime == "aggregated"
    assert found.concurrency_range == "1-8"
    assert found.predicted is not None
    burst = one().predicted
    assert burst is not None
    assert found.predicted < burst


def test_settings_of_the_command_count() -> None:
    base = one().predicted
    few = one(command="vllm serve Qwen/Qwen3-14B --max-num-seqs 8").predicted
    assert base is not None
    assert few is not None
    assert few < 0.5 * base


def test_versions_with_posts_and_candidates_are_read() -> None:
    sglang = one(command="python3 -m sglang.launch_server --model-path Qwen/Qwen3-14B")
    assert sglang.software == "sglang 0.5.5.post1"
    trt = one(command="trtllm-serve Qwen/Qwen3-14B")
    assert trt.software == "tensorrt-llm 1.2.0rc1"
    assert sglang.predicted is not None
    assert trt.predicted is not None


def test_8_bit_floats_are_weights_alone_where_no_unit_multiplies_them() -> None:
    found = one(command="vllm serve Qwen/Qwen3-14B-FP8")
    assert found.format == "fp8-w8a16"
    hopper = one(command="vllm serve Qwen/Qwen3-14B-FP8", device="NVIDIA H100 80GB HBM3")
    assert hopper.format == "fp8-block"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "A single Ascend 910B NPU."}, "unknown device"),
        ({"device": "../../etc/passwd"}, "unknown device"),
        ({"command": "mindie serve Qwen/Qwen3-14B"}, "unknown engine"),
        ({"software": "vLLM of yesterday"}, "unknown engine"),
        ({"software": "vLLM: v" + "9." * 4000}, "unknown engine"),
        ({"command": "vllm serve nobody/Nothing-3B", "model": ""}, "unknown model"),
        ({"command": "vllm serve /etc/passwd", "model": ""}, "unknown model"),
        ({"request_rate": "5"}, "open arrivals"),
        ({"command": "vllm serve Qwen/Qwen3-14B -tp 3"}, "not legal"),
        (
            {"command": "vllm serve Qwen/Qwen3-14B --decode-context-parallel-size 2"},
            "context parallelism",
        ),
        ({"value": "nan"}, "malformed row"),
        ({"value": "-5"}, "malformed row"),
        ({"num_requests": "1e12"}, "malformed row"),
        ({"num_requests": ""}, "malformed row"),
        ({"isl_mean": "text"}, "malformed row"),
        ({"osl_mean": "inf"}, "malformed row"),
        ({"max_concurrency": "0"}, "malformed row"),
    ],
)
def test_reasons(changes: dict[str, str], reason: str) -> None:
    assert one(**changes).reason == reason


def test_another_model_than_the_page_is_excluded() -> None:
    found = one(command="vllm serve Qwen/Qwen3-8B")
    assert found.regime == EXCLUDED + OTHER_MODEL


def test_buffered_tokens_exclude_tpot_alone() -> None:
    said = "tokens arrived in buffers: TPOT and ITL not usable"
    assert one(metric="tpot_mean", suspect=said).regime == EXCLUDED + BUFFERED
    assert one(suspect=said).regime == "burst"


def test_a_run_with_the_figures_of_another_is_excluded() -> None:
    rows = [
        ROW | {"run_id": run, "metric": metric, "value": value}
        for run in ("a#1", "b#1")
        for metric, value in (("output_tokens_per_s", "900"), ("ttft_mean", "80"))
    ]
    assert repeated_runs(rows) == {"b#1"}
    found = outcomes(rows)
    assert [o.regime for o in found] == ["burst", "burst", *[EXCLUDED + REPEATS] * 2]
