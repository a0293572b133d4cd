"""Layouts of published rows: words, ranks, replicas, threads and what is data-parallel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.published_outcomes import DEEPSEEK, LLAMA, one

from planner.hardware.catalog import resolve_device
from planner.lab.validation import e2e_silicon
from planner.lab.validation.cpu_share import share_name, shared_device
from planner.lab.validation.parallelism import Shape, runnable_shape
from planner.lab.validation.published_case import (
    possible_shapes,
    stated_shape,
    words,
)
from planner.lab.validation.served import with_spare_experts


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("TP8", Shape(8, 1, 1, 0, 0)),
        ("TP2PP1", Shape(2, 1, 1, 0, 0)),
        ("DEP8", Shape(1, 1, 8, 1, 8)),
        ("DEP8PP1", Shape(1, 1, 8, 1, 8)),
        ("TEP4", Shape(4, 1, 1, 1, 4)),
        ("DTP8", Shape(1, 1, 8, 8, 1)),
        ("decode EP72 9 nodes TBO", Shape(1, 1, 72, 1, 72)),
        ("TP8 EP8", Shape(8, 1, 1, 1, 8)),
        ("agg:TP4/PP1/ADP1/mTP4/mEP1", Shape(4, 1, 1, 4, 1)),
        ("nodes=1", None),
        ("32 cores", None),
    ],
)
def test_layouts_in_words(text: str, shape: Shape | None) -> None:
    assert stated_shape(text, DEEPSEEK) == shape


def test_a_dense_model_has_no_data_parallel_attention() -> None:
    assert stated_shape("DEP8", LLAMA) == Shape(8, 1, 1, 0, 0)


@pytest.mark.parametrize("text", ["TP0", "EP0", "TP99999999"])
def test_impossible_ranks(text: str) -> None:
    assert one(parallelism=text).reason == "not legal"


def test_a_width_that_does_not_divide_is_a_reason() -> None:
    assert one(parallelism="TP7").reason == "not legal"
    assert one(parallelism="TP7", batch_or_concurrency="8").reason == "not legal"


def test_replicas_of_the_fastest_layout_and_the_row_says_so() -> None:
    row = {
        "parallelism": "nodes=1",
        "batch_or_concurrency": "Offline",
        "isl": "294",
        "osl": "294",
        "metric": "throughput_offline",
        "unit": "Tokens/s",
        "model": "llama2-70b-99.9",
        "software": "TensorRT 10.8, CUDA 12.9",
    }
    chosen = one(**row)
    assert chosen.predicted is not None
    assert chosen.basis.endswith("8 × TP1 chosen")
    stated = [one(**row | {"parallelism": f"TP{n}"}).predicted or 0.0 for n in (1, 2, 4, 8)]
    assert chosen.predicted == pytest.approx(max(stated))


@given(st.integers(1, 96))
def test_replicas_divide_the_devices_and_hold_the_model(count: int) -> None:
    for spec in (LLAMA, DEEPSEEK):
        for shape in possible_shapes(spec, resolve_device("gb200"), count):
            assert count % shape.ranks == 0
            assert shape.ranks <= 72
            assert spec.experts is not None or shape.dp == 1


def test_words_of_a_layout() -> None:
    assert words(Shape(2, 1, 1, 0, 0), 4) == "4 × TP2"
    assert words(Shape(1, 1, 8, 1, 8), 9) == "9 × DP8/EP8"


def test_wide_expert_parallelism_copies_experts() -> None:
    spare = with_spare_experts(DEEPSEEK, 72)
    assert spare.experts is not None
    assert spare.experts.count == 288
    held = {row.experts for row in spare.rows if row.kind == "experts-gate-up"}
    assert held == {288}
    assert with_spare_experts(DEEPSEEK, 64) is DEEPSEEK
    assert with_spare_experts(LLAMA, 72) is LLAMA
    assert with_spare_experts(DEEPSEEK, 10**6) is DEEPSEEK
    row = {
        "parallelism": "decode EP72 9 nodes TBO",
        "n_devices": "72",
        "model": "DeepSeek-V3",
        "batch_or_concurrency": "256/GPU",
        "metric": "output_tokens_per_s_per_node",
        "unit": "tok/s/node",
        "isl": "2000",
        "osl": "",
        "device": "H100 SXM",
        "w_dtype": "fp8",
        "software": "SGLang 2025-05",
        "kv_dtype": "bf16",
    }
    whole = one(**row)
    assert whole.predicted is not None
    assert whole.measured == 90000
    assert (
        one(**row | {"parallelism": "decode EP72 9 nodes"}).predicted or 0
    ) < 1.5 * whole.predicted


@pytest.mark.parametrize(
    ("given_", "settled"),
    [
        (Shape(12, 1, 1, 1, 12), Shape(1, 1, 12, 1, 12)),
        (Shape(12, 1, 12, 1, 12), Shape(1, 1, 12, 1, 12)),
        (Shape(1, 1, 48, 1, 48), Shape(1, 1, 48, 1, 48)),
        (Shape(8, 1, 1, 1, 8), Shape(8, 1, 1, 1, 8)),
        (Shape(64, 1, 1, 1, 8), Shape(8, 1, 1, 1, 8)),
        (Shape(4, 1, 1, 1, 1), Shape(4, 1, 1, 1, 1)),
    ],
)
def test_ranks_that_attention_cannot_split_are_data_parallel(given_: Shape, settled: Shape) -> None:
    assert runnable_shape(given_, DEEPSEEK) == settled
    assert runnable_shape(given_, LLAMA) == given_


@pytest.mark.sample(1)
@pytest.mark.parametrize("ranks", [12, 24, 36, 48, 72])
def test_wide_layouts_of_gb200_are_predicted(ranks: int) -> None:
    row = {
        "device": "gb200",
        "mode": "disagg",
        "software": "trtllm 1.2.0rc6",
        "model": "deepseek-ai/DeepSeek-V3",
        "precision": "fp4",
        "gemm_dtype": "nvfp4",
        "moe_dtype": "nvfp4",
        "concurrency": "512",
        "isl": "1024",
        "osl": "1024",
        "ttft_ms": "120.0",
        "tpot_ms": "11.0",
        "exclude": "",
        "parallelism": f"P1x[TP1/PP1/ADP4/mTP1/mEP4]+D1x[TP{ranks}/PP1/ADP1/mTP1/mEP{ranks}]",
    }
    found = {o.metric: o for o in e2e_silicon.predict_rows("e2e_silicon_x", [row])}
    assert found["tpot"].predicted is not None


def test_threads_are_a_share_of_the_cores() -> None:
    xeon = resolve_device("xeon-6980p")
    text = "Xeon Granite Rapids, 2 threads, AVX-512 VNNI (no AMX)"
    name = share_name(xeon, text)
    assert name == "xeon-6980p@2-noamx"
    part = shared_device(xeon, name)
    assert ("amx", "int8") not in part.rates
    turbo = xeon.rates["avx512", "int8"].dense.high
    assert turbo is not None
    assert part.rates["avx512", "int8"].dense.value == pytest.approx(turbo * 2 / 128)
    assert part.bandwidth_bytes_per_s.value == pytest.approx(24e9)
    most = shared_device(xeon, share_name(xeon, "96 cores"))
    assert most.bandwidth_bytes_per_s == replace(
        xeon.bandwidth_bytes_per_s, value=most.bandwidth_bytes_per_s.value, low=None, high=None
    )
    assert most.rates["amx", "int8"].dense.value == pytest.approx(
        xeon.rates["amx", "int8"].dense.value * 96 / 128
    )
    assert share_name(xeon, "128 cores") == share_name(xeon, "no words") == "xeon-6980p"
    assert share_name(resolve_device("h100-sxm"), "2 threads") == "h100-sxm"


def test_fewer_cores_are_never_faster() -> None:
    row = {
        "device": "Xeon Platinum 8480+",
        "n_devices": "1",
        "model": "LLaMA-7B",
        "kv_dtype": "",
        "software": "llama.cpp",
        "w_dtype": "q4_0",
        "batch_or_concurrency": "1",
        "unit": "ms",
        "value": "30",
    }
    for metric in ("ttft", "tpot"):
        times = [
            one(**row, metric=metric, parallelism=f"{n} cores").predicted
            for n in (1, 4, 16, 32, 48, 56)
        ]
        assert None not in times
        assert times == sorted(times, reverse=True)  # type: ignore[type-var]
    assert one(**row, metric="tpot", parallelism="32 cores").basis.startswith(
        "prior; on xeon-platinum-8480@32"
    )
