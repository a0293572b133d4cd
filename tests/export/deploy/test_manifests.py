"""What every manifest must hold: its schema, the plan's devices, pinned images, room to start."""

import re
import shlex
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.deployments import (
    MANIFESTS,
    SPREAD,
    devices,
    exported,
    golden_deployments,
    loaded,
    planned,
    pods,
    problems,
)

from planner.base.versions import Version
from planner.export.deploy.catalog import figure
from planner.memory.engines.catalog import parse_engine

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "deployments"
CASES = [(case, target) for case, targets in SPREAD.items() for target in targets]
ON_KUBERNETES = [(case, target) for case, target in CASES if target != "compose"]


def documents(case: str, target: str) -> list[dict[str, Any]]:
    return [one for name in MANIFESTS[target] for one in loaded(exported(case, target)[name])]


def objects(case: str, target: str) -> list[dict[str, Any]]:
    return [one for one in documents(case, target) if "kind" in one]


def images(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["image"]] if isinstance(value.get("image"), str) else []
        return own + [found for one in value.values() for found in images(one)]
    return [found for one in value for found in images(one)] if isinstance(value, list) else []


def test_bytes_of_manifests() -> None:
    """Anew with ``python tests/golden/make_deployments.py``."""
    found = golden_deployments()
    kept = {
        str(path.relative_to(GOLDEN)): path.read_text(encoding="utf-8")
        for path in GOLDEN.rglob("*")
        if path.is_file()
    }
    assert set(found) == set(kept)
    for name, text in found.items():
        assert text == kept[name], name


@pytest.mark.parametrize(("case", "target"), CASES)
def test_every_document_is_of_its_schema(case: str, target: str) -> None:
    found = documents(case, target)
    assert found
    for one in found:
        assert problems(one) == []


def test_the_schemas_find_what_is_wrong() -> None:
    """A field that is not there, a type that is not it, a thing that is missing: in each kind."""
    compose = documents("aggregated", "compose")[0]
    wrong = deepcopy(compose)
    wrong["services"]["server-0"]["gpus_please"] = 2
    assert problems(wrong)
    for case, target in ON_KUBERNETES:
        for one in objects(case, target):
            spread = deepcopy(one)
            (spread.get("spec") or spread)["replicaz"] = 2
            assert problems(spread), one["kind"]
            for at, _ in enumerate(list(pods(one))):
                spread = deepcopy(one)
                _, pod = list(pods(spread))[at]
                pod["containers"][0]["ressources"] = {}
                assert problems(spread), one["kind"]
                spread = deepcopy(one)
                _, pod = list(pods(spread))[at]
                pod["containers"][0]["args"] = "--port 8000"
                assert problems(spread), one["kind"]
    values = deepcopy(documents("aggregated", "llm-d")[-1])
    values["router"]["modelServers"]["labels"] = {}
    assert problems(values)


@pytest.mark.parametrize(("case", "target"), ON_KUBERNETES)
def test_all_pods_together_have_the_devices_of_the_plan(case: str, target: str) -> None:
    assert devices(objects(case, target)) == planned(case).device.count


def test_workers_of_one_machine_share_no_device() -> None:
    services = documents("aggregated", "compose")[0]["services"]
    taken = [
        one
        for service in services.values()
        for reserved in service["deploy"]["resources"]["reservations"]["devices"]
        for one in reserved["device_ids"]
    ]
    assert sorted(taken) == [str(one) for one in range(planned("aggregated").device.count)]


@pytest.mark.parametrize(("case", "target"), CASES)
def test_images_are_pinned(case: str, target: str) -> None:
    found = images(documents(case, target))
    assert found
    for one in found:
        assert re.fullmatch(r"[a-z0-9.]+(/[a-z0-9._-]+)+:[\w.-]*\d[\w.-]*", one), one
    if target == "dynamo":
        return
    plan = planned(case)
    version = parse_engine(f"{plan.engine.name}@{plan.engine.version}").version
    tag = next(one.rpartition(":v")[2] for one in found if plan.engine.name in one)
    assert Version(tag) == version


@pytest.mark.parametrize(("case", "target"), ON_KUBERNETES)
def test_a_start_has_time_to_read_the_weights(case: str, target: str) -> None:
    stored = sum(unit.weight_bytes for unit in planned(case).units)
    allowed = [
        probe["periodSeconds"] * probe["failureThreshold"]
        for one in objects(case, target)
        for _, pod in pods(one)
        for probe in [pod["containers"][0].get("startupProbe")]
        if probe
    ]
    assert allowed
    assert min(allowed) >= figure("warm_up_seconds") + stored / figure("load_bytes_per_second")


@pytest.mark.parametrize("target", ["compose", "kubernetes", "llm-d"])
def test_a_worker_of_one_node_runs_the_exported_command(target: str) -> None:
    files = exported("aggregated", target)
    *_, named, script = files["serve-vllm.sh"].splitlines()
    checkpoint = re.sub(r"checkpoint=\$\{1:-(.*)\}", r"\1", named)
    words = [
        word.replace("$checkpoint", checkpoint)
        for word in shlex.split(script.removeprefix("exec "))
    ]
    if target == "compose":
        service = documents("aggregated", target)[0]["services"]["server-0"]
        said = [*service["entrypoint"], *service["command"]]
    else:
        container = next(
            pod["containers"][0] for one in objects("aggregated", target) for _, pod in pods(one)
        )
        said = [*container["command"], *container["args"]]
    assert said == [*words, "--host", "0.0.0.0", "--port", "8000"]


def test_the_nodes_of_a_group_differ_by_their_rank_alone() -> None:
    (group,) = [
        one for one in objects("multi-node", "kubernetes") if one["kind"] == "LeaderWorkerSet"
    ]
    template = group["spec"]["leaderWorkerTemplate"]
    assert template["size"] == 2
    leader, worker = (
        template[f"{name}Template"]["spec"]["containers"][0] for name in ("leader", "worker")
    )
    assert leader["args"] == worker["args"]
    words = " ".join(leader["args"])
    assert "--nnodes 2 --node-rank $(LWS_WORKER_INDEX)" in words
    assert "--dist-init-addr $(LWS_LEADER_ADDRESS):20000" in words
    assert "--tp-size 16" in words
    assert "readinessProbe" in leader
    assert "readinessProbe" not in worker
    (service,) = [one for one in objects("multi-node", "kubernetes") if one["kind"] == "Service"]
    chosen = service["spec"]["selector"].items()
    assert chosen <= template["leaderTemplate"]["metadata"]["labels"].items()
    assert not chosen <= template["workerTemplate"]["metadata"]["labels"].items()


@pytest.mark.parametrize(("case", "target"), CASES)
def test_the_readme_says_what_to_change(case: str, target: str) -> None:
    text = exported(case, target)["README.md"]
    assert f"## Deployment: {target}" in text
    wanted = [
        "Change first",
        "aiconfigurator",
        "`--total-gpus`",
        "moe_ep",
        str(planned(case).device.count),
    ]
    wanted += (
        ["MODELS"]
        if target == "compose"
        else ["NAMESPACE", "storageClassName", "hf-token", "nodeSelector"]
    )
    assert [words for words in wanted if words not in text] == []
