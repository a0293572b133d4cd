"""``kubernetes.yaml``: plain Kubernetes, with a LeaderWorkerSet where a worker spans nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.export.deploy import objects
from planner.export.deploy.catalog import part_image
from planner.export.deploy.groups import node_words
from planner.export.deploy.pods import grace_seconds, pod_spec, startup_seconds
from planner.export.deploy.roles import BOOTSTRAP, PORT, ServerRole, connected
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine

FILE = "kubernetes.yaml"
ROUTERS = {"vllm": "vllm-router", "sglang": "sglang-router"}
"""Engine → the program that sends a request to a prefill and a decode worker."""


def objects_of(
    name: str,
    roles: Sequence[ServerRole],
    engine: Engine,
    device: DeviceProfile,
    image: str,
    files: Mapping[str, str],
) -> list[dict[str, Any]]:
    """All objects of a deployment; ``files`` are texts of the export by name."""
    manifests = [objects.model_volume(roles)]
    manifests += [
        objects.options_map(role, role.options, files[role.options])
        for role in roles
        if role.options
    ]
    for role in roles:
        manifests += _workload(name, role, engine, device, image)
    if len(roles) > 1:
        manifests += _router(name, roles, engine)
    return manifests


def _workload(
    name: str,
    role: ServerRole,
    engine: Engine,
    device: DeviceProfile,
    image: str,
) -> list[dict[str, Any]]:
    """The pods of a role, and how they are found."""
    own, labels = objects.workload_name(name, role), objects.labels_of(name, role)
    first, rest = node_words(engine, role, connected(role, engine), PORT)
    pod = pod_spec(role, engine, device, image, first, port=PORT)
    if rest:
        worker = pod_spec(role, engine, device, image, rest, port=PORT, probed=False)
        made = objects.leader_worker_set(own, labels, role.workers, role.nodes, pod, worker)
        return (
            [made]
            if role.name != "server"
            else [objects.service(name, {**labels, **objects.LEADER}, PORT), made]
        )
    if role.name == "server":
        return [
            objects.service(name, labels, PORT),
            objects.deployment(own, labels, role.workers, pod),
        ]
    return [
        objects.service(own, labels, PORT, headless=True),
        objects.stateful_set(own, labels, role.workers, pod),
    ]


def _router(name: str, roles: Sequence[ServerRole], engine: Engine) -> list[dict[str, Any]]:
    """The router of two pools. It is given the address of every worker, since a decode worker
    fetches the cache from the very one that made it."""
    addresses = {
        role.name: [
            f"http://{objects.workload_name(name, role)}-{index}."
            f"{objects.workload_name(name, role)}:{PORT}"
            for index in range(role.workers)
        ]
        for role in roles
    }
    words = router_words(
        engine, addresses["prefill"], addresses["decode"], max(map(startup_seconds, roles))
    )
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "router"}
    command, arguments = words[:1], words[1:]
    if engine.name == "sglang":
        command, arguments = [], words
    pod = {
        "terminationGracePeriodSeconds": max(map(grace_seconds, roles)),
        "enableServiceLinks": False,
        "containers": [
            {
                "name": "router",
                "image": part_image(ROUTERS[engine.name]).reference,
                **({"command": command} if command else {}),
                "args": arguments,
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": {
                    "httpGet": {"path": "/readiness", "port": PORT},
                    "periodSeconds": 5,
                    "failureThreshold": 3,
                },
            }
        ],
    }
    return [
        objects.service(name, labels, PORT),
        objects.deployment(f"{name}-router", labels, 1, pod),
    ]


def router_words(
    engine: Engine,
    prefill: Sequence[str],
    decode: Sequence[str],
    seconds: int,
) -> list[str]:
    """The router's command (vLLM's) or its image's arguments (SGLang's) for the addresses of the
    workers, for which it waits ``seconds``.

    Sources: vllm-project/router README; SGLang documentation, SGLang Model Gateway.
    """
    words = (
        ["vllm-router", "--vllm-pd-disaggregation"]
        if engine.name == "vllm"
        else ["--pd-disaggregation"]
    )
    for address in prefill:
        words += ["--prefill", address, *([str(BOOTSTRAP)] if engine.name == "sglang" else [])]
    for address in decode:
        words += ["--decode", address]
    return [
        *words,
        "--worker-startup-timeout-secs",
        str(seconds),
        "--host",
        "0.0.0.0",
        "--port",
        str(PORT),
    ]
