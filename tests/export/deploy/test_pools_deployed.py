"""Manifests of two pools: their workers, the connector between them, what stands before them."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.deployments import devices, exported, loaded, planned, pooled, problems

import planner
from planner.base.errors import UnsupportedError
from planner.export.deploy.roles import MOST_ROUTED
from planner.planning.plan.record import Plan


def vllm() -> Plan:
    return pooled(planned("aggregated"), (2, 1), (1, 2))


def sglang() -> Plan:
    return pooled(planned("multi-node"), (1, 8), (1, 16))


def made(plan: Plan, target: str) -> list[dict[str, Any]]:
    """All manifests of a target, each of its schema."""
    files = planner.export_plan(plan, deploy=target).files
    names = {
        "compose": ["compose.yaml"],
        "kubernetes": ["kubernetes.yaml"],
        "llm-d": ["llm-d-modelserver.yaml", "llm-d-router.values.yaml"],
        "dynamo": ["dynamo.yaml"],
    }[target]
    found = [one for name in names for one in loaded(files[name])]
    assert [problems(one) for one in found] == [[]] * len(found)
    return found


def named(found: list[dict[str, Any]], kind: str, ending: str) -> dict[str, Any]:
    (one,) = [
        one for one in found if one.get("kind") == kind and one["metadata"]["name"].endswith(ending)
    ]
    return one


def arguments(pod: dict[str, Any]) -> list[str]:
    args: list[str] = pod["spec"]["containers"][0]["args"]
    return args


@pytest.mark.parametrize(
    ("plan", "target", "wanted"),
    [
        (vllm, "kubernetes", 4),
        (vllm, "llm-d", 4),
        (vllm, "dynamo", 4),
        (sglang, "kubernetes", 24),
        (sglang, "llm-d", 24),
        (sglang, "dynamo", 24),
    ],
)
def test_the_pools_have_their_devices(plan: Any, target: str, wanted: int) -> None:
    assert devices([one for one in made(plan(), target) if "kind" in one]) == wanted


def test_vllm_pools_share_caches_by_nixl() -> None:
    found = made(vllm(), "kubernetes")
    for ending, workers, tensor in (("prefill", 2, None), ("decode", 1, "2")):
        pool = named(found, "StatefulSet", ending)
        assert pool["spec"]["replicas"] == workers
        words = arguments(pool["spec"]["template"])
        connector = json.loads(words[words.index("--kv-transfer-config") + 1])
        assert connector == {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
        assert (
            words[words.index("--tensor-parallel-size") + 1]
            if "--tensor-parallel-size" in words
            else None
        ) == tensor
        variables = {
            one["name"]: one for one in pool["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        assert (
            variables["VLLM_NIXL_SIDE_CHANNEL_HOST"]["valueFrom"]["fieldRef"]["fieldPath"]
            == "status.podIP"
        )
        headless = named(found, "Service", ending)
        assert headless["spec"]["clusterIP"] == "None"
        assert headless["metadata"]["name"] == pool["spec"]["serviceName"]


def test_the_router_knows_every_worker_by_its_own_address() -> None:
    found = made(vllm(), "kubernetes")
    words = arguments(named(found, "Deployment", "-router")["spec"]["template"])
    name = named(found, "StatefulSet", "prefill")["metadata"]["name"]
    given = [words[at + 1] for at, word in enumerate(words) if word == "--prefill"]
    assert given == [f"http://{name}-{index}.{name}:8000" for index in range(2)]
    assert words.count("--decode") == 1


def test_sglang_pools_meet_at_a_port() -> None:
    found = made(sglang(), "kubernetes")
    prefill = arguments(named(found, "StatefulSet", "prefill")["spec"]["template"])
    assert prefill[-6:] == [
        "--disaggregation-bootstrap-port",
        "8998",
        "--host",
        "0.0.0.0",
        "--port",
        "8000",
    ]
    group = named(found, "LeaderWorkerSet", "decode")["spec"]["leaderWorkerTemplate"]
    assert group["size"] == 2
    assert "--disaggregation-mode decode" in " ".join(arguments(group["leaderTemplate"]))
    router = arguments(named(found, "Deployment", "-router")["spec"]["template"])
    at = router.index("--prefill")
    assert router[at + 1].startswith("http://")
    assert router[at + 2] == "8998"


def test_llm_d_puts_its_sidecar_before_decode_workers_alone() -> None:
    found = made(vllm(), "llm-d")
    decode = named(found, "Deployment", "decode")["spec"]["template"]
    prefill = named(found, "Deployment", "prefill")["spec"]["template"]
    (sidecar,) = decode["spec"]["initContainers"]
    assert "--kv-connector=nixlv2" in sidecar["args"]
    assert decode["spec"]["containers"][0]["ports"][0]["containerPort"] == 8200
    assert "initContainers" not in prefill
    values = found[-1]["router"]
    (rules,) = [loaded(text)[0] for text in values["epp"]["pluginsCustomConfig"].values()]
    assert {profile["name"] for profile in rules["schedulingProfiles"]} == {"prefill", "decode"}
    assert values["epp"]["pluginsConfigFile"] in values["epp"]["pluginsCustomConfig"]
    known = {one["type"] for one in rules["plugins"]}
    assert {
        one["pluginRef"] for profile in rules["schedulingProfiles"] for one in profile["plugins"]
    } <= known
    chosen = values["modelServers"]["matchLabels"].items()
    for template, role in ((prefill, "prefill"), (decode, "decode")):
        labels = template["metadata"]["labels"]
        assert chosen <= labels.items()
        assert labels["llm-d.ai/role"] == role


def test_dynamo_takes_the_roles_as_they_are() -> None:
    graph = named(made(sglang(), "dynamo"), "DynamoGraphDeployment", "")
    by_type = {one["type"]: one for one in graph["spec"]["components"]}
    assert set(by_type) == {"frontend", "prefill", "decode"}
    assert by_type["decode"]["multinode"] == {"nodeCount": 2}
    assert "multinode" not in by_type["prefill"]
    words = by_type["prefill"]["podTemplate"]["spec"]["containers"][0]["args"]
    assert "--disaggregation-mode prefill" in " ".join(words)


def test_compose_joins_pools_on_one_machine() -> None:
    (project,) = made(vllm(), "compose")
    services = project["services"]
    assert set(services) == {"prefill-0", "prefill-1", "decode-0", "router"}
    assert "http://decode-0:8000" in services["router"]["command"]
    assert [name for name, one in services.items() if "ports" in one] == ["router"]
    own = services["decode-0"]["environment"]["VLLM_NIXL_SIDE_CHANNEL_HOST"]
    assert own == "decode-0"


def test_pools_of_two_devices_are_no_one_export() -> None:
    plan = vllm()
    pools = plan.deployment  # type: ignore[attr-defined]
    pools.prefill.device = "h200-sxm"
    with pytest.raises(UnsupportedError, match="one export is for one device"):
        planner.export_plan(plan, deploy="kubernetes")


def test_an_aggregated_answer_is_deployed_as_one() -> None:
    plan = replace(planned("aggregated"))
    object.__setattr__(plan, "deployment", SimpleNamespace(mode="aggregated"))
    assert (
        planner.export_plan(plan, deploy="kubernetes").files["kubernetes.yaml"]
        == exported("aggregated", "kubernetes")["kubernetes.yaml"]
    )


def test_a_pool_has_the_schemes_that_it_was_given() -> None:
    """Prompts read in BF16, tokens decoded in the plan's FP8: the release, and a checkpoint."""
    plan = planned("aggregated")
    wide = tuple(
        SimpleNamespace(kind=unit.kind, part=unit.part, layers=unit.layers, scheme="bf16")
        for unit in plan.units
        if unit.kv_layout is None
    )
    found = made(pooled(plan, (2, 1), (1, 2), read_in=wide), "kubernetes")
    prefill, decode = (
        arguments(named(found, "StatefulSet", name)["spec"]["template"])
        for name in ("prefill", "decode")
    )
    assert prefill[0] == "meta-llama/Llama-3.1-8B"
    assert "--quantization" not in prefill
    assert decode[0] != prefill[0] or "--quantization" in decode


def test_a_router_is_not_given_addresses_without_end() -> None:
    """A million workers took minutes and gigabytes."""
    plan = pooled(planned("aggregated"), (MOST_ROUTED, 1), (1, 2))
    with pytest.raises(UnsupportedError, match="10001 workers in two pools") as told:
        planner.export_plan(plan, deploy="kubernetes")
    assert "fewer devices" in told.value.hint
