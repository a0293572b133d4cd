"""Published tables: metrics, units, loads, layouts, replicas and tasks, as rows word them."""

from __future__ import annotations

from dataclasses import replace
from math import hypot, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.published_outcomes import ROW, one

from planner.lab.validation import e2e_published
from planner.lab.validation.e2e_published import active_parameters
from planner.lab.validation.names import model_name
from planner.lab.validation.published_case import (
    engine_of,
    resolve,
)
from planner.lab.validation.published_metric import load, measured
from planner.lab.validation.records import NotCoveredError
from planner.lab.validation.serving_rules import benchmark
from planner.models.catalog import bundled_model
from planner.planning.price.measured_errors import Z80, common_sigmas


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": "prefill_time", "unit": "s", "value": "1"},
        {"metric": "tpot", "unit": "ms", "value": "20"},
    ],
)
def test_prompts_and_steps_carry_what_composed_times_are_off(changes: dict[str, str]) -> None:
    found = one(**changes, batch_or_concurrency="4")
    assert found.predicted is not None
    width = log(found.high / found.predicted) / Z80
    assert found.kind is not None
    common = common_sigmas(found.kind, found.model).tpot
    assert width > hypot(common, e2e_published.AGE_SIGMA)


@pytest.mark.parametrize(
    ("metric", "unit", "quantity", "of"),
    [
        ("output_tokens_per_s_total", "tok/s", "output_tokens_per_second", "total"),
        ("output_tokens_per_s", "tok/s", "output_tokens_per_second", "total"),
        ("output_tokens_per_s_per_gpu", "tok/s/GPU", "output_tokens_per_second", "device"),
        ("output_tokens_per_s_per_node", "tok/s/node", "output_tokens_per_second", "node"),
        ("output_tokens_per_s_per_user", "tok/s/user", "tpot", "user"),
        ("throughput_offline", "Tokens/s", "output_tokens_per_second", "total"),
        ("ttft", "ms", "ttft", "total"),
        ("first_token_latency", "ms", "ttft", "total"),
        ("itl", "ms", "tpot", "total"),
        ("next_token_latency", "ms", "tpot", "total"),
        ("total_latency_32_tokens", "ms", "latency", "total"),
        ("prefill_ms", "ms", "prefill_time", "total"),
        ("generation_tokens_per_s", "tok/s", "decode_tokens_per_second", "total"),
        ("decode_tokens_per_s", "tok/s", "decode_tokens_per_second", "total"),
        ("prefill_tokens_per_s", "tok/s", "prefill_tokens_per_second", "total"),
        ("pp512", "tok/s", "prefill_tokens_per_second", "total"),
        ("tg128", "tok/s", "decode_tokens_per_second", "total"),
    ],
)
def test_what_a_metric_means(metric: str, unit: str, quantity: str, of: str) -> None:
    found = measured(metric, unit)
    assert (found.quantity, found.of) == (quantity, of)


@pytest.mark.parametrize(
    ("metric", "unit", "reason"),
    [
        ("dispatch_bw", "GB/s", "quantity not predicted"),
        ("", "ms", "quantity not predicted"),
        ("ttft", "tok/s", "malformed row"),
        ("tg128", "ms", "malformed row"),
        ("ttft", "", "malformed row"),
        ("fp8 gemm peak", "TFLOPS", "quantity not predicted"),
    ],
)
def test_what_no_metric_means(metric: str, unit: str, reason: str) -> None:
    with pytest.raises(NotCoveredError) as caught:
        measured(metric, unit)
    assert caught.value.reason == reason


def test_llama_bench_states_its_lengths_in_the_name() -> None:
    prompt, answer = measured("pp512", "tok/s"), measured("tg128", "tok/s")
    assert (prompt.isl, prompt.osl, prompt.single_sequence) == (512, 0, True)
    assert (answer.isl, answer.osl, answer.single_sequence) == (0, 128, True)
    row = ROW | {
        "device": "Xeon 6980P",
        "software": "llama.cpp",
        "w_dtype": "q4_0",
        "model": "Qwen3-4B",
        "n_devices": "1",
        "parallelism": "",
        "isl": "",
        "osl": "",
        "batch_or_concurrency": "",
        "kv_dtype": "",
    }
    assert resolve(row | {"metric": "pp512"}).cases[0].isl == 512
    assert resolve(row | {"metric": "tg128"}).cases[0].osl == 128
    fast, slow = one(**row | {"metric": "pp512"}), one(**row | {"metric": "tg128"})
    assert fast.predicted is not None
    assert slow.predicted is not None
    assert fast.predicted > 2 * slow.predicted


@pytest.mark.parametrize(
    ("text", "batch", "each", "limits"),
    [
        ("8", 8, 0, ""),
        ("8.0", 8, 0, ""),
        ("max load (inflight batching)", 0, 0, ""),
        ("Offline", 0, 0, ""),
        ("Server", 0, 0, "server"),
        ("Interactive", 0, 0, "interactive"),
        ("256/GPU", 0, 256, ""),
        ("batch 16", 16, 0, ""),
        ("bs=4", 4, 0, ""),
        ("", 0, 0, ""),
        ("SingleStream", 1, 0, ""),
    ],
)
def test_loads(text: str, batch: float, each: float, limits: str) -> None:
    found = load(text, measured("output_tokens_per_s", "tok/s"))
    assert (found.batch, found.each, found.limits) == (batch, each, limits)


@pytest.mark.parametrize("text", ["1-8", "8 to 64", "several", "8 x 4"])
def test_a_range_is_not_a_load(text: str) -> None:
    with pytest.raises(NotCoveredError) as caught:
        load(text, measured("output_tokens_per_s", "tok/s"))
    assert caught.value.reason == "setting not stated"


def test_a_time_needs_a_load() -> None:
    assert one(metric="ttft", unit="ms", batch_or_concurrency="").reason == "setting not stated"


def test_narrower_limits_never_allow_more() -> None:
    row = {
        "parallelism": "TP1",
        "n_devices": "1",
        "isl": "294",
        "osl": "294",
        "unit": "Tokens/s",
        "model": "llama2-70b-99.9",
        "software": "TensorRT 10.8",
    }
    rates = [
        one(**row, metric=f"throughput_{name.lower()}", batch_or_concurrency=name).predicted
        for name in ("Interactive", "Server", "Offline")
    ]
    assert None not in rates
    assert rates[0] < rates[1] <= rates[2] * 1.01  # type: ignore[operator]


def test_limits_of_tasks_are_mlperfs() -> None:
    llama, small = benchmark("llama2-70b-99.9"), benchmark("llama3.1-8b")
    assert llama is not None
    assert small is not None
    assert llama.limits["interactive"] == pytest.approx((0.45, 0.04))
    assert small.limits["server"] == pytest.approx((2.0, 0.1))
    assert (
        one(
            model="gpt-oss-120b",
            w_dtype="fp4",
            isl="",
            osl="",
            parallelism="nodes=1",
            metric="throughput_server",
            batch_or_concurrency="Server",
            unit="Tokens/s",
        ).reason
        == "setting not stated"
    )


def test_units_and_devices_scale_the_measured_value() -> None:
    assert one(metric="output_tokens_per_s_per_gpu", unit="tok/s/GPU").measured == 80000
    assert (
        one(metric="output_tokens_per_s_per_node", unit="tok/s/node", n_devices="16").measured
        == 20000
    )
    assert one(
        metric="ttft",
        unit="ms",
        value="250",
        batch_or_concurrency="1",
    ).measured == pytest.approx(0.25)
    user = one(
        metric="output_tokens_per_s_per_user",
        unit="tok/s/user",
        value="50",
        batch_or_concurrency="8",
    )
    assert (user.metric, user.measured) == ("tpot", 0.02)


def test_queries_of_a_task_in_tokens_are_a_regime() -> None:
    row = {
        "parallelism": "nodes=1",
        "batch_or_concurrency": "Offline",
        "model": "llama3.1-8b",
        "metric": "throughput_offline",
        "software": "TensorRT 10.8",
        "osl": "",
    }
    assert one(**row, unit="Queries/s").regime == "excluded: counted in tokens, printed as queries"
    assert one(**row, unit="Tokens/s").regime == "published"


@pytest.mark.parametrize(
    ("isl", "load", "swapped"),
    [("145", "Offline", True), ("430", "Offline", False), ("145", "64", False)],
)
def test_prompts_as_long_as_the_answers_of_a_task_are_a_regime(
    isl: str, load: str, *, swapped: bool
) -> None:
    row = {
        "parallelism": "nodes=1",
        "batch_or_concurrency": load,
        "model": "mixtral-8x7b",
        "metric": "output_tokens_per_second",
        "software": "TensorRT 10.8",
        "isl": isl,
        "osl": "145",
    }
    regime = "excluded: the prompts' length is that of the task's answers"
    assert (one(**row, unit="Tokens/s").regime == regime) == swapped


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("Nemotron 3 30B-A3B", "nemotron-3-nano-30b-a3b"),
        ("Cosmos Reasoning 2 2B", "qwen3-vl-2b"),
        ("Gemma 4 31B", "gemma-4-31b-nvfp4"),
        ("Gemma 2 2B", "gemma-2-2b"),
        ("Nemotron 3 Nano Omni", ""),
        ("Gemma 4 2B", ""),
    ],
)
def test_models_of_jetson_tables(text: str, model: str) -> None:
    known = model_name(text)
    assert (known.spec.id if known is not None else "") == model


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("Q4_K_M", "gguf mixture"),
        ("IQ2XXS", "gguf mixture"),
        ("~2-bit", "gguf mixture"),
        ("unset", "setting not stated"),
        ("zz", "unknown format"),
    ],
)
def test_weights_without_a_scheme(label: str, reason: str) -> None:
    assert one(w_dtype=label).reason == reason


def test_a_format_by_device_in_one_cell() -> None:
    label = "NVFP4 (Thor) / W4A16 (Orin)"
    row = {
        "n_devices": "1",
        "model": "Qwen3-8B",
        "parallelism": "",
        "software": "vLLM",
        "kv_dtype": "",
        "w_dtype": label,
        "batch_or_concurrency": "1",
    }
    assert one(**row, device="Jetson AGX Orin 64GB").format == "int4-w4a16"
    assert one(**row, device="Jetson AGX Thor T5000").format == "nvfp4"


@pytest.mark.parametrize(
    ("software", "engine"),
    [
        ("TensorRT Edge-LLM 0.4.0", "tensorrt-edge-llm"),
        ("TensorRT 10.8, CUDA 12.9", "tensorrt-llm"),
        ("SGLang CPU (AMX)", "sglang"),
        ("ik_llama.cpp", "llama.cpp"),
        ("LLMRuntime (x)", "llmruntime"),
        ("PyTorch 2.0.1 + IPEX", "pytorch"),
        ("", ""),
    ],
)
def test_engines(software: str, engine: str) -> None:
    assert engine_of(software) == engine


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("llama3.1-405b", "llama-3.1-405b"),
        ("llama2-70b-99.9", "llama-2-70b"),
        ("LLaMA v3.1 70B", "llama-3.1-70b"),
        ("deepseek-r1", "deepseek-r1"),
        ("DeepSeek-R1-0528", "deepseek-r1"),
        ("Mixtral 8x7B", "mixtral-8x7b"),
        ("GPT-OSS-120B", "gpt-oss-120b"),
        ("LLaMA 7B", "llama-2-7b"),
    ],
)
def test_names_of_models(name: str, id: str) -> None:
    assert one(model=name, parallelism="TP1", n_devices="1", value="1").model in (id, name)
    assert one(model=name).reason != "unknown model"


def test_the_same_chip_on_another_board_is_not_that_device() -> None:
    assert one(device="NVIDIA H200-NVL-141GB").reason == "unknown device"
    assert one(device="RTXPRO6000", parallelism="TP2PP1").device == "rtx-pro-6000"


def test_a_rate_beyond_the_peak_is_a_regime() -> None:
    row = {
        "device": "Jetson AGX Orin 64GB",
        "n_devices": "1",
        "model": "Qwen3-8B",
        "parallelism": "1.0",
        "software": "vLLM",
        "kv_dtype": "",
        "w_dtype": "W4A16",
        "batch_or_concurrency": "8",
        "isl": "2048",
        "osl": "128",
    }
    assert one(**row, value="60").regime == "published"
    assert one(**row, value="143").regime.startswith("excluded: faster than its prompts")


def test_active_parameters_of_known_models() -> None:
    assert active_parameters(bundled_model("qwen3-30b-a3b")) == pytest.approx(2.7e9, rel=0.05)
    assert active_parameters(bundled_model("deepseek-r1")) == pytest.approx(36e9, rel=0.05)


def test_prompts_of_older_software_are_a_regime() -> None:
    row = {
        "device": "Xeon Platinum 8480+",
        "n_devices": "1",
        "model": "LLaMA-7B",
        "parallelism": "56 cores",
        "software": "ggml (ITREX 2023-09)",
        "kv_dtype": "",
        "w_dtype": "int4 g32",
        "batch_or_concurrency": "1",
        "unit": "ms",
        "value": "30",
    }
    assert one(**row, metric="next_token_latency").regime == "published"
    assert one(**row, metric="first_token_latency").regime.startswith("excluded: ggml before")


@given(st.integers(1, 64), st.integers(1, 64))
def test_more_requests_never_take_less_time(few: int, more: int) -> None:
    few, more = sorted((few, more))
    row = {"parallelism": "TP8", "metric": "tpot", "unit": "ms"}
    a, b = (one(**row, batch_or_concurrency=str(n)).predicted for n in (few, more))
    assert a is not None
    assert b is not None
    assert a <= b * (1 + 1e-12)


def test_a_row_keeps_its_values_beside_the_prediction() -> None:
    found = one()
    assert found.predicted is not None
    line = found.to_row()
    assert line["row"] == 0
    assert line["measured"] == 10000
    assert line["low"] < line["predicted"] < line["high"]
    assert replace(found, predicted=None, reason="not legal").to_row()["low"] is None


@pytest.mark.parametrize(
    "software",
    [
        "LLMRuntime (ITREX 2023-09)",
        "ds4 CUDA (custom)",
        "x",
        "TensorRT Edge-LLM 0.7.0",
        "vLLM 99.9",
        "TensorRT-LLM 0.1",
    ],
)
def test_an_engine_that_is_not_modelled_is_priced_without_its_rules(software: str) -> None:
    found = one(software=software, batch_or_concurrency="8", parallelism="TP8")
    assert found.predicted is not None, found.reason
