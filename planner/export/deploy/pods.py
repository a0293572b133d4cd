"""A pod of a worker: container, probes, resources, volumes. Plain data, one pod spec a node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from planner.export.deploy.catalog import figure
from planner.export.deploy.roles import CONFIG, MODELS, SIDE_CHANNEL, ServerRole
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.planning.question.time_limits import request_seconds

GIB = 1 << 30
GPU = "nvidia.com/gpu"
SECRET = "hf-token"
VOLUME = "model-cache"
PROBE_SECONDS = 10
_EXECUTABLE = {"llama-server": "/app/llama-server"}
"""Where an image keeps a program that is on no path."""
_COMMAND_WORDS = {"vllm": 2, "python3": 3}
"""Words of a program that belong together: vllm serve, python3 -m MODULE."""


def startup_seconds(role: ServerRole) -> int:
    """How long a first start may take [s]: the checkpoint is read from the volume, and written to
    it before where it comes from a hub; then the engine compiles and captures."""
    moved = role.weight_bytes * (2 if role.from_hub else 1)
    return math.ceil(figure("warm_up_seconds") + moved / figure("load_bytes_per_second"))


def grace_seconds(role: ServerRole) -> int:
    """How long a worker may finish what it began [s]: a request from its first token to its last
    as the plan expects it, twice, and at least half a minute."""
    took = role.plan.performance
    osl = role.plan.workload.osl
    request = request_seconds(took.ttft_seconds.high, took.tpot_seconds.high, osl)
    return max(30, math.ceil(2 * request))


def shared_bytes(engine: Engine) -> int:
    """Bytes of /dev/shm, through which an engine's processes talk."""
    return int(figure(f"shm_{engine.name}"))


def host_bytes(role: ServerRole, engine: Engine, device: DeviceProfile) -> int:
    """Host memory of one node's share of a worker [B]: processes, or the node's share of the
    weights while a loader holds them, whichever is more; and what is shared. On CPUs the plan's own
    bytes."""
    each = role.devices_per_node
    if device.kind == "cpu":
        device_bytes = each * role.plan.memory_per_device.total_bytes
    else:
        device_bytes = max(
            int(figure("host_bytes_per_device")) * each, -(-role.weight_bytes // role.nodes)
        )
    return device_bytes + shared_bytes(engine) + _kept_in_host(role)


def _kept_in_host(role: ServerRole) -> int:
    """Bytes that the plan keeps in the memory of one node: weights, and prefixes of prompts."""
    weights, prefixes = role.plan.offload, role.plan.prefix_cache
    size = 0 if weights is None else -(-int(weights.host_bytes) // role.nodes)
    tier = None if prefixes is None else prefixes.offload
    if tier is not None and tier.loads and tier.tier == "host":
        size += int(tier.bytes_per_device) * role.devices_per_node
    return size


def quantity(count: int) -> str:
    """Bytes as Kubernetes writes them, in whole GiB."""
    return f"{-(-count // GIB)}Gi"


def program(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(command, arguments) of a container."""
    first = _EXECUTABLE.get(words[0], words[0])
    if words[:2] == ["sh", "-c"]:
        return ["sh", "-c"], list(words[2:])
    count = _COMMAND_WORDS.get(words[0], 1)
    return [first, *words[1:count]], list(words[count:])


def environment(role: ServerRole, engine: Engine, device: DeviceProfile) -> dict[str, str]:
    """Variables of a worker with fixed values: caches on the volume, and what its command sets."""
    variables = {"HF_HOME": f"{MODELS}/huggingface"}
    if engine.name == "llama.cpp":
        variables["LLAMA_CACHE"] = f"{MODELS}/llama.cpp"
    return variables | dict(role.environment)


def pod_spec(
    role: ServerRole,
    engine: Engine,
    device: DeviceProfile,
    image: str,
    words: Sequence[str],
    *,
    port: int,
    probed: bool = True,
    container: str = "server",
) -> dict[str, Any]:
    """The pod of one node of a worker; ``probed``: it has a server of its own."""
    first: dict[str, Any] = {
        "name": container,
        "image": image,
        **_program(words),
        "env": _variables(role, engine, device),
        **({"ports": _ports(role, engine, port)} if probed else {}),
        "resources": resources(role, engine, device),
        **_security(role),
        "volumeMounts": mounts(role, engine),
        **(probes(role, port) if probed else {}),
    }
    return {
        "terminationGracePeriodSeconds": grace_seconds(role),
        # A Service called vllm would set VLLM_PORT, which vLLM reads as its own.
        "enableServiceLinks": False,
        **(
            {}
            if device.kind == "cpu"
            else {"tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]}
        ),
        "containers": [first],
        "volumes": volumes(role, engine),
    }


def _program(words: Sequence[str]) -> dict[str, Any]:
    command, arguments = program(words)
    return {"command": command, "args": arguments}


def _variables(role: ServerRole, engine: Engine, device: DeviceProfile) -> list[dict[str, Any]]:
    token = {
        "name": "HF_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "HF_TOKEN", "optional": True}},
    }
    fixed = [
        {"name": name, "value": value} for name, value in environment(role, engine, device).items()
    ]
    return [token, *fixed, *side_channel(role, engine)]


def side_channel(role: ServerRole, engine: Engine) -> list[dict[str, Any]]:
    """Where NIXL's handshake of a vLLM pool is found: at the pod's own address."""
    if role.name == "server" or engine.name != "vllm":
        return []
    return [
        {
            "name": "VLLM_NIXL_SIDE_CHANNEL_HOST",
            "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
        },
        {"name": "VLLM_NIXL_SIDE_CHANNEL_PORT", "value": str(SIDE_CHANNEL)},
    ]


def _ports(role: ServerRole, engine: Engine, port: int) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = [{"name": "http", "containerPort": port}]
    if role.name != "server" and engine.name == "vllm":
        ports.append({"name": "nixl", "containerPort": SIDE_CHANNEL})
    return ports


def resources(role: ServerRole, engine: Engine, device: DeviceProfile) -> dict[str, Any]:
    """Requests and limits of one node's share of a worker."""
    each = role.devices_per_node
    memory = quantity(host_bytes(role, engine, device))
    if device.kind == "cpu":
        return {"requests": {"memory": memory}, "limits": {"memory": memory}}
    return {
        "requests": {"cpu": str(int(figure("cpus_per_device")) * each), "memory": memory},
        "limits": {GPU: str(each), "memory": memory},
    }


def _security(role: ServerRole) -> dict[str, Any]:
    """Locked memory, which RDMA between nodes and pools registers."""
    if role.nodes == 1 and role.name == "server":
        return {}
    return {"securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}}


def probes(role: ServerRole, port: int | str) -> dict[str, Any]:
    """/health at the start, for life and for traffic."""
    get = {"path": "/health", "port": port}
    return {
        "startupProbe": startup_probe(role, get),
        "livenessProbe": {
            "httpGet": get,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "readinessProbe": {
            "httpGet": get,
            "periodSeconds": 5,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
    }


def startup_probe(role: ServerRole, get: Mapping[str, Any]) -> dict[str, Any]:
    """The probe that waits for the weights."""
    return {
        "httpGet": dict(get),
        "periodSeconds": PROBE_SECONDS,
        "timeoutSeconds": 5,
        "failureThreshold": -(-startup_seconds(role) // PROBE_SECONDS),
    }


def mounts(role: ServerRole, engine: Engine) -> list[dict[str, Any]]:
    """What a worker's container sees of its pod's volumes."""
    entries: list[dict[str, Any]] = [{"name": VOLUME, "mountPath": MODELS}]
    if shared_bytes(engine):
        entries.append({"name": "shm", "mountPath": "/dev/shm"})
    if role.options:
        entries.append({"name": "config", "mountPath": CONFIG, "readOnly": True})
    return entries


def volumes(role: ServerRole, engine: Engine) -> list[dict[str, Any]]:
    """The pod's volumes: the model cache, shared memory, files of the export."""
    entries: list[dict[str, Any]] = [
        {"name": VOLUME, "persistentVolumeClaim": {"claimName": VOLUME}}
    ]
    if shared_bytes(engine):
        entries.append(
            {
                "name": "shm",
                "emptyDir": {"medium": "Memory", "sizeLimit": quantity(shared_bytes(engine))},
            }
        )
    if role.options:
        entries.append({"name": "config", "configMap": {"name": config_name(role)}})
    return entries


def config_name(role: ServerRole) -> str:
    """The ConfigMap with a worker's options."""
    return f"{role.name}-options"
