"""Plans with their manifests, and the schemas that manifests are held to."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import planner
from planner.planning.plan.record import Plan
from support.wheels import ROOT

SCHEMAS = ROOT / "tests" / "export" / "deploy" / "schemas"
SPREAD = {
    "aggregated": ("compose", "kubernetes", "llm-d", "dynamo"),
    "multi-node": ("kubernetes", "llm-d", "dynamo"),
}
"""Case → the targets that run it."""
_OWN = {
    "LeaderWorkerSet": "leaderworkerset.json",
    "DynamoGraphDeployment": "dynamographdeployment.json",
}
_KUBERNETES = {
    ("apps/v1", "Deployment"): "io.k8s.api.apps.v1.Deployment",
    ("apps/v1", "StatefulSet"): "io.k8s.api.apps.v1.StatefulSet",
    ("v1", "Service"): "io.k8s.api.core.v1.Service",
    ("v1", "ConfigMap"): "io.k8s.api.core.v1.ConfigMap",
    ("v1", "PersistentVolumeClaim"): "io.k8s.api.core.v1.PersistentVolumeClaim",
}
MANIFESTS = {
    "compose": ("compose.yaml",),
    "kubernetes": ("kubernetes.yaml",),
    "llm-d": ("llm-d-modelserver.yaml", "llm-d-router.values.yaml"),
    "dynamo": ("dynamo.yaml",),
}


@cache
def planned(case: str) -> Plan:
    """A plan: ``aggregated`` on one node by vLLM, ``multi-node`` by SGLang."""
    if case == "aggregated":
        return planner.estimate(
            "llama-3.1-8b",
            "h100-sxm",
            scheme="fp8-channel",
            kv="fp8",
            devices=4,
            tp=2,
            dp=1,
            pp=1,
            batch=32,
            context=8192,
            engine="vllm",
        )
    return planner.estimate(
        "deepseek-v3",
        "h200-sxm",
        scheme="fp8-block",
        kv="bf16",
        devices=16,
        tp=16,
        dp=1,
        pp=1,
        ep=16,
        batch=64,
        context=16384,
        engine="sglang",
    )


def pooled(
    plan: Plan,
    prefill: tuple[int, int],
    decode: tuple[int, int],
    *,
    batch: int = 8,
    read_in: tuple[Any, ...] = (),
) -> Plan:
    """``plan`` with two pools: (workers, tp) of each; ``read_in`` are units of the prefill pool,
    with schemes of their own."""

    def pool(workers: int, tp: int, units: tuple[Any, ...] = ()) -> SimpleNamespace:
        layout = replace(
            plan.layout, tp=tp, dp=1, pp=1, ep=tp if plan.layout.ep > 1 else 1, replicas=1
        )
        return SimpleNamespace(
            device=plan.device.id,
            workers=workers,
            devices_per_worker=tp,
            layout=layout,
            batch=batch,
            units=units,
        )

    first, second = pool(*prefill, read_in), pool(*decode)
    layout = replace(second.layout, replicas=second.workers)
    count = sum(one.workers * one.devices_per_worker for one in (first, second))
    found = replace(plan, layout=layout, device=replace(plan.device, count=count))
    object.__setattr__(
        found, "deployment", SimpleNamespace(mode="disaggregated", prefill=first, decode=second)
    )
    return found


@cache
def exported(case: str, target: str) -> dict[str, str]:
    """The files of a case's export for a target."""
    return dict(planner.export_plan(planned(case), deploy=target).files)


def golden_deployments() -> dict[str, str]:
    """case/target/file → text: manifests, and the README's part on them."""
    out = {}
    for case, targets in SPREAD.items():
        for target in targets:
            files = exported(case, target)
            for name in MANIFESTS[target]:
                out[f"{case}/{target}/{name}"] = files[name]
            out[f"{case}/{target}/deployment.md"] = (
                "## Deployment" + files["README.md"].partition("## Deployment")[2]
            )
    return out


def loaded(text: str) -> list[dict[str, Any]]:
    """The documents of a file."""
    return [one for one in yaml.safe_load_all(text) if one is not None]


def problems(document: dict[str, Any]) -> list[str]:
    """What the schema of a document's kind finds wrong with it."""
    if "services" in document:
        checker = _validator("compose-spec.json")
    elif "router" in document:
        checker = _validator("llm-d-router-values.json")
    elif document["kind"] in _OWN:
        checker = _validator(_OWN[document["kind"]])
    else:
        name = _KUBERNETES[document["apiVersion"], document["kind"]]
        checker = _validator(f"kubernetes.json#/$defs/{name}")
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(document)]


def pods(document: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(how many, spec) of each kind of pod of an object."""
    spec = document.get("spec", {})
    if document["kind"] in ("Deployment", "StatefulSet"):
        yield spec["replicas"], spec["template"]["spec"]
    elif document["kind"] == "LeaderWorkerSet":
        template = spec["leaderWorkerTemplate"]
        yield spec["replicas"], template["leaderTemplate"]["spec"]
        yield spec["replicas"] * (template["size"] - 1), template["workerTemplate"]["spec"]
    elif document["kind"] == "DynamoGraphDeployment":
        for one in spec["components"]:
            nodes = one.get("multinode", {}).get("nodeCount", 1)
            yield one["replicas"] * nodes, one["podTemplate"]["spec"]


def devices(documents: list[dict[str, Any]]) -> int:
    """GPUs of all pods of all objects."""
    return sum(
        count * int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
        for document in documents
        for count, pod in pods(document)
        for container in pod["containers"]
        if "resources" in container
    )


@cache
def _validator(reference: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": reference}, registry=_registry())


@cache
def _registry() -> Registry[Any]:
    found: Registry[Any] = Registry()
    for path in SCHEMAS.glob("*.json"):
        text = json.loads(Path(path).read_text(encoding="utf-8"))
        found = found.with_resource(
            path.name, Resource.from_contents(text, default_specification=DRAFT202012)
        )
    return found
