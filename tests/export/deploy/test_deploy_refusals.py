"""What no manifest is written for, and what the error says would do; and layouts at the limits."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.deployments import loaded, planned, problems

import planner
from planner.base.errors import UnknownNameError, UnsupportedError
from planner.cli.main import run
from planner.export.deploy.pods import host_bytes
from planner.export.deploy.roles import roles_of
from planner.export.serve_line import WeightsOfPlan
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import bundled_model
from planner.planning.plan.record import Plan


def estimate(model: str, device: str, **more: Any) -> Plan:
    given: dict[str, Any] = {"devices": 1, "tp": 1, "dp": 1, "pp": 1, "batch": 4, "context": 4096}
    return planner.estimate(model, device, **{**given, **more})


def refused(plan: Plan, target: str, **more: Any) -> UnsupportedError:
    with pytest.raises(UnsupportedError) as caught:
        planner.export_plan(plan, deploy=target, **more)
    assert caught.value.hint
    return caught.value


def test_an_unknown_target_is_refused_with_its_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="unknown deployment 'kubernets'") as caught:
        planner.export_plan(planned("aggregated"), deploy="kubernets")
    assert "kubernetes" in caught.value.hint


def test_several_nodes_are_no_compose_project() -> None:
    error = refused(planned("multi-node"), "compose")
    assert "one machine, which has 8" in error.message
    assert "--deploy kubernetes" in error.hint


@pytest.mark.parametrize("target", ["llm-d", "dynamo"])
def test_llama_cpp_is_of_no_router(target: str) -> None:
    plan = estimate("llama-3.2-1b", "l40s", engine="llama.cpp", scheme="ggml-q8_0")
    error = refused(plan, target)
    assert "llama.cpp" in error.message
    assert "--engine vllm" in error.hint
    assert "compose" in error.hint


def test_llama_cpp_alone_is_deployed() -> None:
    plan = estimate("llama-3.2-1b", "l40s", engine="llama.cpp", scheme="ggml-q8_0")
    (project,) = loaded(planner.export_plan(plan, deploy="compose").files["compose.yaml"])
    assert problems(project) == []
    service = project["services"]["server-0"]
    assert service["entrypoint"] == ["/app/llama-server"]
    assert service["command"][:2] == ["-m", "/models/model.gguf"]
    assert "shm_size" not in service


def test_a_library_is_no_server() -> None:
    plan = estimate("llama-3.2-1b", "h100-sxm", engine="pytorch", scheme="bf16")
    assert "is a library" in refused(plan, "kubernetes").message


def test_a_plan_for_any_engine_needs_one_named() -> None:
    plan = estimate("llama-3.2-1b", "h100-sxm", engine="any", scheme="fp8-channel")
    error = refused(plan, "kubernetes", to="compressed-tensors", engine="any")
    assert "no engine is named" in error.message
    named = planner.export_plan(plan, "compressed-tensors", engine="vllm", deploy="kubernetes")
    assert "kubernetes.yaml" in named.files


def test_tensorrt_llm_spans_nodes_in_dynamo_alone() -> None:
    plan = estimate(
        "llama-3.1-70b",
        "h100-sxm",
        engine="tensorrt-llm",
        scheme="fp8-tensor",
        devices=16,
        tp=8,
        pp=2,
        batch=8,
    )
    assert "--deploy dynamo" in refused(plan, "kubernetes").hint
    found = loaded(planner.export_plan(plan, deploy="dynamo").files["dynamo.yaml"])
    assert [problems(one) for one in found] == [[]] * len(found)
    (options,) = [
        loaded(one["data"]["engine.yaml"])[0] for one in found if one["kind"] == "ConfigMap"
    ]
    assert options["tensor_parallel_size"] == 8
    assert options["pipeline_parallel_size"] == 2
    assert options["max_batch_size"] == 4  # a pipeline stage has half of the batch in hand
    assert "kv_cache_config" in options


def test_tensorrt_llm_reads_its_options_from_a_map() -> None:
    plan = estimate("llama-3.1-8b", "h100-sxm", engine="tensorrt-llm", scheme="fp8-tensor")
    files = planner.export_plan(plan, deploy="kubernetes").files
    found = loaded(files["kubernetes.yaml"])
    assert [problems(one) for one in found] == [[]] * len(found)
    (options,) = [one for one in found if one["kind"] == "ConfigMap"]
    assert options["data"] == {"trtllm_options.yaml": files["trtllm_options.yaml"]}
    (server,) = [one for one in found if one["kind"] == "Deployment"]
    words = server["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "/config/trtllm_options.yaml" in words


def test_vllm_spreads_attention_over_nodes_by_its_ranks() -> None:
    plan = estimate(
        "deepseek-v3",
        "h200-sxm",
        engine="vllm",
        scheme="fp8-block",
        devices=16,
        dp=16,
        ep=16,
        batch=64,
    )
    found = loaded(planner.export_plan(plan, deploy="kubernetes").files["kubernetes.yaml"])
    assert [problems(one) for one in found] == [[]] * len(found)
    (group,) = [
        one["spec"]["leaderWorkerTemplate"] for one in found if one["kind"] == "LeaderWorkerSet"
    ]
    leader, worker = (
        group[f"{name}Template"]["spec"]["containers"][0] for name in ("leader", "worker")
    )
    assert leader["args"][leader["args"].index("--data-parallel-size-local") + 1] == "8"
    assert worker["command"] == ["sh", "-c"]
    (text,) = worker["args"]
    assert text.endswith('--headless --data-parallel-start-rank "$((LWS_WORKER_INDEX * 8))"')
    assert '--data-parallel-address "${LWS_LEADER_ADDRESS}"' in text


def test_vllm_before_0_12_spans_no_nodes_here() -> None:
    plan = estimate(
        "llama-3.1-70b",
        "h100-sxm",
        engine="vllm@0.10",
        scheme="bf16",
        devices=16,
        tp=8,
        pp=2,
        batch=8,
    )
    assert "vllm@0.12" in refused(plan, "kubernetes").hint
    newer = estimate(
        "llama-3.1-70b", "h100-sxm", engine="vllm", scheme="bf16", devices=16, tp=8, pp=2, batch=8
    )
    text = planner.export_plan(newer, deploy="kubernetes").files["kubernetes.yaml"]
    assert "--master-addr" in text
    assert "--headless" in text


def test_a_part_of_a_node_is_not_left_idle() -> None:
    plan = planned("multi-node")
    odd = replace(
        plan, layout=replace(plan.layout, tp=4, pp=3, ep=1), device=replace(plan.device, count=12)
    )
    error = refused(odd, "kubernetes")
    assert "leaves a part of a node of 8 idle" in error.message


def test_new_weights_lie_on_the_volume() -> None:
    plan = estimate("llama-3.2-1b", "h100-sxm", engine="vllm", scheme="int4-w4a16")
    found = loaded(planner.export_plan(plan, deploy="kubernetes").files["kubernetes.yaml"])
    (server,) = [one for one in found if one["kind"] == "Deployment"]
    words = server["spec"]["template"]["spec"]["containers"][0]["args"]
    if words[0].startswith("/models/"):
        assert words[0] == "/models/checkpoint"
        assert words[words.index("--served-model-name") + 1]
    else:  # a public checkpoint has the schemes
        assert "--served-model-name" not in words


def test_what_the_host_keeps_is_asked_for() -> None:
    """Weights in host memory and prefixes of prompts beside them, by node."""
    plan = planned("aggregated")
    before = memory(plan)
    with_weights, with_both = replace(plan), replace(plan)
    offload = SimpleNamespace(host_bytes=64 << 30)
    prefixes = SimpleNamespace(
        offload=SimpleNamespace(loads=True, tier="host", bytes_per_device=8 << 30)
    )
    object.__setattr__(with_weights, "offload", offload)
    object.__setattr__(with_both, "offload", offload)
    object.__setattr__(with_both, "prefix_cache", prefixes)
    device = planner.load_device("h100-sxm")
    engine = parse_engine("vllm")
    (role,) = roles_of(
        plan,
        bundled_model("llama-3.1-8b"),
        device,
        engine,
        "release",
        lambda one, on: WeightsOfPlan("release", "a/b"),
    )
    assert host_bytes(role, engine, device) == before
    assert host_bytes(replace(role, plan=with_weights), engine, device) - before == 64 << 30
    assert host_bytes(replace(role, plan=with_both), engine, device) - before == 80 << 30


def memory(plan: Plan) -> int:
    (server,) = [
        one
        for one in loaded(planner.export_plan(plan, deploy="kubernetes").files["kubernetes.yaml"])
        if one["kind"] == "Deployment"
    ]
    asked = server["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    return int(asked.removesuffix("Gi")) << 30


def test_a_cpu_has_memory_in_place_of_devices() -> None:
    plan = estimate("llama-3.2-1b", "xeon-6980p", engine="vllm", scheme="bf16", kv="bf16")
    files = planner.export_plan(plan, deploy="kubernetes").files
    found = loaded(files["kubernetes.yaml"])
    assert [problems(one) for one in found] == [[]] * len(found)
    text = files["kubernetes.yaml"]
    assert "nvidia.com/gpu" not in text
    assert "vllm-openai-cpu:v" in text
    assert "VLLM_CPU_KVCACHE_SPACE" in text
    assert "no GPU of a server" in refused(plan, "dynamo").message


def test_an_image_that_was_never_released_is_told() -> None:
    plan = estimate("llama-3.2-1b", "xeon-6980p", engine="sglang", scheme="bf16", kv="bf16")
    error = refused(plan, "compose")
    assert "no released image is known" in error.message
    assert "--engine vllm" in error.hint


@pytest.mark.parametrize("target", ["compose", "kubernetes", "llm-d", "dynamo"])
def test_no_manifest_asks_for_gpus_of_another_maker(target: str) -> None:
    plan = estimate("llama-3.2-1b", "mi300x", engine="vllm", scheme="bf16", kv="bf16")
    error = refused(plan, target)
    assert "mi300x is of rocm" in error.message
    assert "leave --deploy out" in error.hint


def test_the_command_line_writes_manifests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "plan.json", tmp_path / "out"
    file.write_text(json.dumps(planned("aggregated").to_dict()), encoding="utf-8")
    assert run(["export", str(file), str(out), "--deploy", "kubernetes"]) == 0
    assert str(out / "kubernetes.yaml") in capsys.readouterr().out.splitlines()
    assert all(
        problems(one) == [] for one in loaded((out / "kubernetes.yaml").read_text(encoding="utf-8"))
    )
    assert run(["export", str(file), str(tmp_path / "no"), "--deploy", "swarm"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: unknown deployment 'swarm'")
    assert second.startswith("hint: ")
    assert not (tmp_path / "no").exists()


def test_without_a_target_there_is_no_manifest() -> None:
    assert not {"compose.yaml", "kubernetes.yaml"} & set(
        planner.export_plan(planned("aggregated")).files
    )
