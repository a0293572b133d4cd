"""What trtllm-bench derives from lengths and cache, and that its rows are counted so."""

from __future__ import annotations

import pytest

from planner.lab.validation.e2e_published import predict_rows
from planner.lab.validation.trtllm_bench import bench_limits, bench_run
from planner.throughput.offline import PassLimits

ROW = {
    "source": "",
    "device": "RTXPRO6000",
    "n_devices": "4",
    "software": "TensorRT-LLM 1.0",
    "model": "Llama 3.3 70B",
    "w_dtype": "nvfp4",
    "a_dtype": "nvfp4",
    "kv_dtype": "fp8",
    "parallelism": "TP1PP4",
    "batch_or_concurrency": "max load (inflight batching)",
    "isl": "5000",
    "osl": "500",
    "metric": "output_tokens_per_s_total",
    "value": "1511.0",
    "unit": "tok/s",
    "note": "",
}


@pytest.mark.parametrize(
    ("cached", "isl", "osl", "pp", "limits"),
    [
        (152, 1000, 1000, 1, PassLimits(160, 2048)),
        (10, 1000, 1000, 1, PassLimits(64, 2048)),
        (3200, 128, 128, 2, PassLimits(1792, 3328)),
        (15280, 128, 128, 8, PassLimits(512, 2048)),
        (900, 1000, 250, 1, PassLimits(1024, 4608)),
        (4000, 8192, 256, 1, PassLimits(4096, 32768)),
    ],
)
def test_limits_follow_from_the_cache(
    cached: float, isl: int, osl: int, pp: int, limits: PassLimits
) -> None:
    assert bench_limits(cached, isl, osl, pp) == limits


def test_runs_are_known_by_software_load_and_lengths() -> None:
    run = bench_run("TensorRT-LLM 1.2 (dev)", "max load (inflight batching)", 1000, 1000)
    assert run is not None
    assert run.requests == 3000
    assert bench_run("TensorRT-LLM 0.14", "max load (inflight batching)", 1000, 1000) is None
    assert bench_run("TensorRT-LLM 1.0", "64", 1000, 1000) is None
    assert bench_run("TensorRT-LLM 1.0", "max load (inflight batching)", 999, 1000) is None


def test_a_pipeline_is_counted_with_all_its_micro_batches() -> None:
    (row,) = predict_rows("e2e_trtllm", [ROW])
    assert row.predicted is not None
    assert row.predicted / 1511.0 == pytest.approx(1.0, abs=0.12)
    (half,) = predict_rows("e2e_trtllm", [ROW | {"parallelism": "TP1PP2", "n_devices": "2"}])
    assert half.predicted is not None
    assert row.predicted / half.predicted == pytest.approx(1511 / 812, rel=0.08)
