"""``llm-d-modelserver.yaml`` and ``llm-d-router.values.yaml``: model servers with llm-d's labels,
and the values of its router's chart, which makes the InferencePool.

Sources: llm-d/llm-d guides/optimized-baseline and guides/pd-disaggregation (labels, ports, the
decode workers' sidecar); llm-d/llm-d-router config/charts/README.md (values), pkg/sidecar (flags).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.base.errors import UnsupportedError
from planner.export.deploy import objects
from planner.export.deploy.catalog import part_image
from planner.export.deploy.groups import node_words
from planner.export.deploy.pods import pod_spec
from planner.export.deploy.roles import DECODE_PORT, PORT, ServerRole, connected
from planner.export.yaml_text import documents
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine

SERVERS_FILE, VALUES_FILE = "llm-d-modelserver.yaml", "llm-d-router.values.yaml"
_TYPES = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm-serve"}
"""Engine → router.modelServers.type."""
_CONNECTORS = {"vllm": "nixlv2", "sglang": "sglang"}
_PLUGINS = "pools.yaml"
_POOLS = {
    "apiVersion": "llm-d.ai/v1alpha1",
    "kind": "EndpointPickerConfig",
    "plugins": [
        {"type": "always-disagg-pd-decider"},
        {
            "type": "disagg-profile-handler",
            "parameters": {"deciders": {"prefill": "always-disagg-pd-decider"}},
        },
        {"type": "prefill-filter"},
        {"type": "decode-filter"},
        {"type": "queue-scorer"},
        {"type": "kv-cache-utilization-scorer"},
        {"type": "max-score-picker"},
    ],
    "schedulingProfiles": [
        {
            "name": name,
            "plugins": [
                {"pluginRef": f"{name}-filter"},
                {"pluginRef": "queue-scorer"},
                {"pluginRef": "kv-cache-utilization-scorer"},
                {"pluginRef": "max-score-picker"},
            ],
        }
        for name in ("prefill", "decode")
    ],
}
"""The router's rules for two pools: every request is read by one and decoded by another."""


def check(engine: Engine) -> None:
    """Refuse an engine that llm-d's router cannot read.

    Raises:
        UnsupportedError: such an engine.
    """
    if engine.name not in _TYPES:
        raise UnsupportedError(
            f"--deploy llm-d: its router does not know {engine.name}",
            hint="make the plan for one that it knows: "
            + ", ".join(f"--engine {name}" for name in _TYPES)
            + "; or --deploy compose or "
            "kubernetes",
        )


def servers_of(
    name: str,
    roles: Sequence[ServerRole],
    engine: Engine,
    device: DeviceProfile,
    image: str,
    files: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Volume, options and model servers."""
    manifests = [objects.model_volume(roles)]
    manifests += [
        objects.options_map(role, role.options, files[role.options])
        for role in roles
        if role.options
    ]
    return manifests + [_workload(name, role, engine, device, image) for role in roles]


def _workload(
    name: str,
    role: ServerRole,
    engine: Engine,
    device: DeviceProfile,
    image: str,
) -> dict[str, Any]:
    """The pods of a role; those that take requests carry the labels of the pool."""
    own, labels = objects.workload_name(name, role), objects.labels_of(name, role)
    port = DECODE_PORT if role.name == "decode" else PORT
    first, rest = node_words(engine, role, connected(role, engine), port)
    pod = pod_spec(role, engine, device, image, first, port=port)
    if role.name == "decode":
        pod["initContainers"] = [_sidecar(engine)]
    pool = pool_labels(name, role)
    if not rest:
        return objects.deployment(own, labels, role.workers, pod, pool)
    worker = pod_spec(role, engine, device, image, rest, port=port, probed=False)
    return objects.leader_worker_set(own, labels, role.workers, role.nodes, pod, worker, pool)


def pool_labels(name: str, role: ServerRole | None = None) -> dict[str, str]:
    """Labels of the pods of the pool; with a role, its own too, by which the router tells prefill
    from decode workers."""
    labels = {"llm-d.ai/inference-serving": "true", "llm-d.ai/model": name}
    if role is not None and role.name != "server":
        labels["llm-d.ai/role"] = role.name
    return labels


def _sidecar(engine: Engine) -> dict[str, Any]:
    """The proxy before a decode worker, which has the prompt read elsewhere first."""
    return {
        "name": "routing-proxy",
        "image": part_image("llm-d-sidecar").reference,
        "args": [
            f"--port={PORT}",
            f"--vllm-port={DECODE_PORT}",
            f"--kv-connector={_CONNECTORS[engine.name]}",
            "--secure-proxy=false",
        ],
        "restartPolicy": "Always",
        "ports": [{"name": "sidecar", "containerPort": PORT}],
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True},
    }


def values_of(name: str, roles: Sequence[ServerRole], engine: Engine) -> dict[str, Any]:
    """Values of the charts llm-d-router-standalone and llm-d-router-gateway."""
    picker: dict[str, Any] = {"replicas": 1, "image": {"tag": part_image("llm-d-picker").version}}
    if len(roles) > 1:
        picker |= {
            "pluginsConfigFile": _PLUGINS,
            "pluginsCustomConfig": {_PLUGINS: documents([_POOLS])},
        }
    return {
        "router": {
            "extraServicePorts": [
                {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8081}
            ],
            "epp": picker,
            "modelServers": {
                "type": _TYPES[engine.name],
                "protocol": "http",
                "targetPorts": [{"number": PORT}],
                "matchLabels": pool_labels(name),
            },
        }
    }
