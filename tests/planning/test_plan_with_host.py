"""Plans whose experts or layers live in the memory of a host: the answer, its flags, bad input."""

from dataclasses import replace
from typing import Any

import pytest

import planner
from planner.base.errors import InfeasibleError, InputError, UnsupportedError
from planner.export.serve_line import serving_command
from planner.planning.plan.record import Plan
from planner.report.render.plan_text import plan_text

ONE: dict[str, Any] = {"batch": 1, "isl": 512, "osl": 256, "tpot_seconds": "none"}


def planned(model: str, device: str, **given: Any) -> Plan:
    return planner.plan(model, device, **{**ONE, **given})


@pytest.fixture(scope="module")
def llama() -> Plan:
    return planned(
        "olmoe-1b-7b",
        "rtx-4090",
        host="epyc-9575f",
        engine="llama.cpp",
        memory_bytes=3 << 30,
        schemes=["ggml-q8_0", "ggml-q4_k"],
    )


@pytest.fixture(scope="module")
def kernel() -> Plan:
    return planned(
        "olmoe-1b-7b",
        "rtx-4090",
        host="xeon-6980p",
        host_sockets=2,
        engine="sglang",
        memory_bytes=5 << 30,
        schemes=["bf16", "int8-w8a8"],
    )


def test_llama_cpp_keeps_experts_of_the_first_layers(llama: Plan) -> None:
    found = llama.offload
    assert found is not None
    assert found.layers == tuple(range(len(found.layers)))
    assert found.flags == ("--n-cpu-moe", str(len(found.layers)))
    assert found.flags[0] in serving_command(llama).words
    there = [u for u in llama.units if u.place == "host"]
    assert {u.kind for u in there} <= {"experts-gate-up", "experts-down"}
    table = next(u.weight_bytes for u in llama.units if u.kind == "embedding")
    assert sum(u.weight_bytes for u in there) + table == found.host_bytes
    assert all(u.weight_bytes_per_device == 0 for u in there)
    assert llama.memory_per_device.total_bytes <= 3 << 30
    assert found.experts_on_device + found.experts_in_host == 16 * 64


def test_its_choices_are_not_explained(llama: Plan, kernel: Plan) -> None:
    for plan in (llama, kernel):
        with pytest.raises(UnsupportedError, match="weights in host memory are not explained"):
            planner.explain(plan=plan)
        assert planner.estimate(plan=plan).offload is not None  # what the hint names


def test_a_host_that_was_asked_for_and_is_not_used_is_not_explained_either() -> None:
    plan = planner.plan(
        "qwen2.5-0.5b",
        "rtx-4090",
        host="epyc-9575f",
        engine="llama.cpp",
        batch=1,
        context=1024,
        schemes=["ggml-q8_0", "ggml-q4_k"],
    )
    assert plan.offload is None
    with pytest.raises(UnsupportedError, match="asked beside a host"):
        planner.explain(plan=plan)
    assert planner.estimate(plan=plan).offload is None


def test_a_step_adds_up(llama: Plan, kernel: Plan) -> None:
    for plan in (llama, kernel):
        assert plan.offload is not None
        step, perf = plan.offload.step_seconds, plan.performance
        assert perf.interruption_seconds is not None
        assert step.device + step.host + step.link == pytest.approx(
            perf.tpot_seconds.value - perf.interruption_seconds
        )
        assert min(step.device, step.host, step.link) > 0


def test_kernels_of_ktransformers_keep_the_popular_experts_on_the_device(kernel: Plan) -> None:
    found = kernel.offload
    assert found is not None
    assert found.places == "experts"
    assert found.hit_rate > found.experts_on_device / (16 * 64)
    assert len(found.scheme_host) == 1
    words = serving_command(kernel).words
    at = words.index("--kt-num-gpu-experts")
    assert int(words[at + 1]) * 16 == found.experts_on_device
    assert words[words.index("--kt-threadpool-count") + 1] == "2"


def test_a_plan_file_is_read_and_priced_again(llama: Plan, kernel: Plan) -> None:
    for plan in (llama, kernel):
        again = planner.read_plan(plan.to_dict())
        assert again == plan
        priced = planner.estimate(plan=again)
        assert priced.performance.tpot_seconds.value == pytest.approx(
            plan.performance.tpot_seconds.value
        )
        assert priced.offload is not None
        assert plan.offload is not None
        assert priced.offload.host_bytes == plan.offload.host_bytes


def test_the_answer_says_what_lives_where(llama: Plan) -> None:
    text = plan_text(llama)
    assert "Host memory  experts of layers 0-" in text
    assert "in 1 × epyc-9575f" in " ".join(text.split())
    assert " at " in plan_text(llama, details=True)
    assert "--n-cpu-moe" in text


def test_dense_models_keep_their_mlp_there() -> None:
    plan = planned(
        "llama-3.1-8b",
        "rtx-4090",
        host="epyc-9575f",
        engine="llama.cpp",
        memory_bytes=6 << 30,
        schemes=["ggml-q8_0"],
    )
    assert plan.offload is not None
    assert plan.offload.flags[0] == "--n-cpu-ffn"
    assert plan.offload.experts_in_host == 0


def test_vllm_reads_layers_over_the_link() -> None:
    plan = planned(
        "llama-3.1-8b",
        "rtx-4090",
        host="epyc-9575f",
        engine="vllm",
        memory_bytes=12 << 30,
        schemes=["bf16"],
    )
    found = plan.offload
    assert found is not None
    assert (found.mode, found.step_seconds.host) == ("fetched", 0.0)
    assert found.flags[0] == "--cpu-offload-gb"
    rate = found.host_bytes / found.step_seconds.link
    assert rate == pytest.approx(found.link_bytes_per_second, rel=0.1)


def test_a_faster_host_makes_no_slower_plan(llama: Plan) -> None:
    host = planner.load_device("epyc-9575f")
    wide = replace(host.bandwidth_bytes_per_s, value=2 * host.bandwidth_bytes_per_s.value)
    faster = planned(
        "olmoe-1b-7b",
        "rtx-4090",
        engine="llama.cpp",
        memory_bytes=3 << 30,
        host=replace(host, bandwidth_bytes_per_s=wide),
        schemes=["ggml-q8_0", "ggml-q4_k"],
        exact=True,
    )
    slower = planned(
        "olmoe-1b-7b",
        "rtx-4090",
        engine="llama.cpp",
        memory_bytes=3 << 30,
        host=host,
        schemes=["ggml-q8_0", "ggml-q4_k"],
        exact=True,
    )
    assert faster.performance.tpot_seconds.value < slower.performance.tpot_seconds.value


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"host": "l40s"}, UnsupportedError, "it is no CPU"),
        ({"host": "epyc-9575f", "host_sockets": 3}, InputError, "--host-sockets 3"),
        ({"host": "epyc-9575f", "devices": 2}, InputError, "one is planned for"),
        ({"host_sockets": 1}, InputError, "without one"),
        ({"host": "epyc-9575f", "engine": "any"}, UnsupportedError, "engine's rules"),
        ({"host": "epyc-9575f", "engine": "tensorrt-llm"}, UnsupportedError, "no source says"),
        (
            {
                "host": "epyc-9575f",
                "engine": "llama.cpp",
                "host_memory_bytes": 1 << 30,
                "memory_bytes": 3 << 30,
                "schemes": ["ggml-q8_0", "ggml-q4_k"],
            },
            InfeasibleError,
            "host memory",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_do(
    given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        planned("olmoe-1b-7b", "rtx-4090", **given)
    assert getattr(caught.value, "hint", "")


def test_a_device_without_a_host_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no host with a memory of its own"):
        planned("qwen3-8b", "jetson-agx-orin-64gb", host="epyc-9575f")


def test_hints_for_memory_work() -> None:
    with pytest.raises(InfeasibleError) as caught:
        planned(
            "olmoe-1b-7b",
            "rtx-4090",
            host="epyc-9575f",
            engine="llama.cpp",
            host_memory_bytes=1 << 30,
            memory_bytes=3 << 30,
            schemes=["ggml-q8_0", "ggml-q4_k"],
        )
    needed = int(str(caught.value.hint).split()[1].rstrip(","))
    plan = planned(
        "olmoe-1b-7b",
        "rtx-4090",
        host="epyc-9575f",
        engine="llama.cpp",
        host_memory_bytes=needed,
        memory_bytes=3 << 30,
        schemes=["ggml-q8_0", "ggml-q4_k"],
    )
    assert plan.offload is not None
