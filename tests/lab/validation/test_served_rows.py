"""Rows of served models: names, deployments, formats, and what a prediction must obey."""

from __future__ import annotations

import pytest

from planner.lab.validation import e2e_published, e2e_silicon
from planner.lab.validation.parallelism import Shape, deployment
from planner.lab.validation.records import Outcome
from planner.lab.validation.serving_rules import cache_layout, formats
from planner.throughput.engine_policy import engine_policy

ROW = {
    "device": "h200_sxm",
    "mode": "agg",
    "software": "vllm ?",
    "model": "meta-llama/Llama-3.1-70B",
    "precision": "fp8",
    "gemm_dtype": "fp8",
    "moe_dtype": "fp8",
    "parallelism": "agg:TP4/PP1/ADP-/mTP1/mEP1",
    "concurrency": "16.0",
    "batch_size": "16",
    "isl": "1024",
    "osl": "1024",
    "ttft_ms": "120.0",
    "tpot_ms": "11.0",
    "exclude": "",
}
TABLE = {
    "source": "s",
    "device": "H100",
    "n_devices": "1",
    "software": "TensorRT-LLM 0.9",
    "model": "LLaMA 7B",
    "w_dtype": "fp8",
    "a_dtype": "fp8",
    "kv_dtype": "fp8",
    "parallelism": "TP1",
    "batch_or_concurrency": "64",
    "isl": "128",
    "osl": "128",
    "metric": "output_tokens_per_s_per_gpu",
    "value": "5000",
    "unit": "tok/s/GPU",
    "note": "",
}


def served(**changes: str) -> dict[str, Outcome]:
    """The headline outcomes of one row by metric."""
    out = e2e_silicon.predict_rows("e2e_silicon_x", [ROW | changes])
    return {o.metric: o for o in out if not o.regime.startswith("excluded: host")}


def test_a_deployment_of_one_pool() -> None:
    found = deployment("agg:TP8/PP1/ADP1/mTP1/mEP8")
    assert found is not None
    assert found.decode == Shape(8, 1, 1, 1, 8)
    assert found.prefill is None


def test_a_deployment_of_two_pools() -> None:
    found = deployment("P2x[TP1/PP1/ADP8/mTP1/mEP8]+D7x[TP8/PP1/ADP1/mTP8/mEP1]")
    assert found is not None
    assert (found.prefill_workers, found.decode_workers) == (2, 7)
    assert found.prefill == Shape(1, 1, 8, 1, 8)
    assert found.decode == Shape(8, 1, 1, 8, 1)


def test_worker_counts_that_are_not_recorded_are_zero() -> None:
    found = deployment("P-x[TP8/PP1/ADP1/mTP1/mEP8]+D-x[TP8/PP1/ADP1/mTP1/mEP8]")
    assert found is not None
    assert found.decode_workers == 0


@pytest.mark.parametrize("text", ["", "8 GPUs", "P1x[TP8]", "agg:EP8"])
def test_a_deployment_that_is_not_understood(text: str) -> None:
    assert deployment(text) is None


def test_formats_follow_the_public_release() -> None:
    llama, deepseek = (formats(m, "fp8", blackwell=False) for m in ("llama-3.1-70b", "deepseek-v3"))
    assert llama is not None
    assert deepseek is not None
    assert (llama.dense, llama.static) == ("fp8-tensor", True)
    assert (deepseek.dense, deepseek.static) == ("fp8-block", False)
    oss = formats("gpt-oss-120b", "nvfp4", blackwell=True)
    assert oss is not None
    assert (oss.dense, oss.experts) == ("bf16", "mxfp4-w4a8")
    assert formats("llama-3.1-8b", "fp3", blackwell=False) is None


def test_the_cache_is_bf16_unless_a_rule_says_otherwise() -> None:
    assert cache_layout("tensorrt-llm", "llama-3.1-70b", "fp8") == "fp8"
    assert cache_layout("sglang", "deepseek-v3", "fp8") == "bf16"


def test_the_scheduler_follows_engine_and_version() -> None:
    old, new = (engine_policy("vllm", v).policy for v in ("0.12.0", "0.18.0"))
    assert not old.overlapped
    assert new.overlapped
    assert engine_policy("sglang", "0.5.9").policy.exclusive
    assert engine_policy("llama.cpp", "b1").policy.host_seconds == 0


def test_a_served_row_has_tpot_ttft_and_throughput() -> None:
    found = served()
    assert found.keys() == {"tpot", "ttft", "throughput"}
    assert found["tpot"].regime == "aggregated"
    assert found["tpot"].model == "llama-3.1-70b"
    assert found["tpot"].predicted is not None
    assert 5e-3 < found["tpot"].predicted < 25e-3


def test_throughput_is_what_the_times_make_of_the_requests() -> None:
    found = served()
    tpot, ttft, rate = found["tpot"], found["ttft"], found["throughput"]
    assert rate.measured == pytest.approx(16 * 922 / (0.120 + 922 * 0.011))
    assert tpot.predicted is not None
    assert ttft.predicted is not None
    assert rate.predicted == pytest.approx(16 * 922 / (ttft.predicted + 922 * tpot.predicted))
    assert rate.regime == tpot.regime
    width = {name: o.high / o.low for name, o in found.items()}
    assert width["throughput"] < max(width["tpot"], width["ttft"])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ("tp", "9-32")),
        ({"concurrency": "256.5"}, ("tp", ">256")),
        (
            {"model": "deepseek-ai/DeepSeek-V3", "parallelism": "agg:TP8/PP1/ADP1/mTP1/mEP8"},
            ("tp+ep", "9-32"),
        ),
        (
            {"model": "deepseek-ai/DeepSeek-V3", "parallelism": "agg:TP1/PP1/ADP8/mTP1/mEP8"},
            ("attention dp", "9-32"),
        ),
        (
            {
                "model": "deepseek-ai/DeepSeek-V3",
                "parallelism": "P1x[TP8/PP1/ADP1/mTP8/mEP1]+D1x[TP8/PP1/ADP1/mTP8/mEP1]",
                "concurrency": "8",
            },
            ("pools", "1-8"),
        ),
    ],
)
def test_the_kind_of_a_deployment(changes: dict[str, str], wanted: tuple[str, str]) -> None:
    for outcome in served(**changes).values():
        assert (outcome.layout_class, outcome.concurrency_range) == wanted
        assert outcome.evidence_level in ("measured", "related", "none")


def test_more_requests_take_longer_and_more_ranks_are_faster() -> None:
    base = served()["tpot"].predicted
    busy = served(concurrency="128.0")["tpot"].predicted
    wide = served(parallelism="agg:TP8/PP1/ADP-/mTP1/mEP1")["tpot"].predicted
    assert base is not None
    assert busy is not None
    assert wide is not None
    assert wide < base < busy


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "none/such"}, "unknown model"),
        ({"device": "tpu"}, "unknown device"),
        ({"gemm_dtype": "fp3"}, "unknown format"),
        ({"software": "other 1"}, "unknown engine"),
        ({"concurrency": ""}, "malformed row"),
        ({"isl": "nan"}, "malformed row"),
        ({"parallelism": "?"}, "setting not stated"),
    ],
)
def test_a_row_without_a_prediction_says_why(change: dict[str, str], reason: str) -> None:
    out = served(**change)
    assert {o.reason for o in out.values()} == {reason}
    assert all(o.predicted is None for o in out.values())


def test_excluded_rows_are_predicted_apart() -> None:
    assert served(exclude="suspect")["tpot"].regime == "excluded: suspect"
    supplied = served(
        model="Qwen/Qwen3-32B",
        software="vllm 0.12.0",
        device="h100_sxm",
        parallelism="agg:TP8/PP1/ADP-/mTP1/mEP1",
    )
    assert supplied["tpot"].regime == "excluded: supplied the host time"


def test_every_prediction_is_repeated_without_the_host() -> None:
    out = e2e_silicon.predict_rows("t", [ROW | {"software": "vllm 0.12.0"}])
    with_host = next(o for o in out if o.metric == "tpot" and o.regime == "aggregated")
    without = next(o for o in out if o.metric == "tpot" and "left out" in o.regime)
    assert with_host.predicted is not None
    assert without.predicted is not None
    assert with_host.predicted - without.predicted == pytest.approx(1.35e-3 + 42e-6 * 16, rel=0.1)


def test_a_decode_pool_needs_its_worker_count() -> None:
    pools = "P1x[TP8/PP1/ADP1/mTP1/mEP1]+D2x[TP4/PP1/ADP1/mTP1/mEP1]"
    assert served(parallelism=pools)["tpot"].regime == "disaggregated"
    assert served(parallelism=pools)["tpot"].predicted is not None
    unknown = served(parallelism=pools.replace("D2x", "D-x"))
    assert unknown["tpot"].reason == "workers not counted"


def published(**changes: str) -> Outcome:
    return e2e_published.predict_rows("e2e_t", [TABLE | changes])[0]


def test_a_static_batch_has_a_throughput_of_all_devices() -> None:
    one = published()
    two = published(n_devices="2", parallelism="TP2")
    assert one.metric == "output_tokens_per_second"
    assert one.measured == 5000
    assert two.measured == 10000
    assert one.predicted is not None
    assert two.predicted is not None
    assert one.predicted < two.predicted < 2 * one.predicted


@pytest.mark.parametrize(
    ("metric", "unit", "name"),
    [
        ("first_token_latency", "ms", "ttft"),
        ("next_token_latency", "ms", "tpot"),
        ("total_latency_32_tokens", "ms", "latency"),
    ],
)
def test_latencies_by_name(metric: str, unit: str, name: str) -> None:
    found = published(metric=metric, unit=unit, value="20", batch_or_concurrency="1")
    assert found.metric == name
    assert found.measured == pytest.approx(0.02)
    assert found.predicted is not None


def test_mlperf_fills_the_cache_offline_and_keeps_limits_on_a_server() -> None:
    both = [
        published(
            model="llama2-70b-99",
            device="H100",
            n_devices="8",
            parallelism="",
            isl="",
            osl="",
            batch_or_concurrency="",
            metric=f"throughput_{s}",
            unit="tok/s",
        )
        for s in ("offline", "server")
    ]
    offline, server = (o.predicted for o in both)
    assert offline is not None
    assert server is not None
    assert server <= offline * (1 + 1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metric": "power"}, "quantity not predicted"),
        ({"device": "Gaudi 3"}, "unknown device"),
        ({"model": "Falcon 180B"}, "unknown model"),
        ({"value": "-1"}, "malformed row"),
        ({"w_dtype": "ternary"}, "unknown format"),
        ({"isl": ""}, "setting not stated"),
    ],
)
def test_a_published_row_without_a_prediction_says_why(change: dict[str, str], reason: str) -> None:
    found = published(**change)
    assert found.reason == reason
    assert found.predicted is None
