"""``dynamo.yaml``: a DynamoGraphDeployment (nvidia.com/v1beta1) with its volume and options.

Sources: ai-dynamo/dynamo deploy/operator/api/v1beta1 (fields), examples/backends/*/deploy/v1beta1
(commands of the workers); Dynamo documentation, Customize Health Probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from planner.export.deploy import objects, pods
from planner.export.deploy.catalog import DynamoImage
from planner.export.deploy.roles import CONFIG, ServerRole
from planner.export.yaml_text import documents
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine

FILE = "dynamo.yaml"
_FRAMEWORKS = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm"}
_TYPES = {"server": "worker", "prefill": "prefill", "decode": "decode"}
_SYSTEM_PORT = 9090
_ENGINE_FILE = "engine.yaml"
_ARGUMENTS = {
    "--tp_size": "tensor_parallel_size",
    "--pp_size": "pipeline_parallel_size",
    "--ep_size": "moe_expert_parallel_size",
    "--max_seq_len": "max_seq_len",
    "--max_batch_size": "max_batch_size",
    "--max_num_tokens": "max_num_tokens",
}
"""Flags of trtllm-serve → arguments of TensorRT-LLM's LLM, which its file of options names."""


def objects_of(
    name: str,
    roles: Sequence[ServerRole],
    engine: Engine,
    device: DeviceProfile,
    image: DynamoImage,
    options: str,
) -> list[dict[str, Any]]:
    """Volume, options and the graph; ``options`` is the text of ``trtllm-serve``'s file, empty for
    other engines."""
    manifests = [objects.model_volume(roles)]
    manifests += [
        objects.options_map(role, _ENGINE_FILE, engine_options(role, options))
        for role in roles
        if role.options
    ]
    front = {
        "name": "Frontend",
        "type": "frontend",
        "replicas": 1,
        "podTemplate": {"spec": {"containers": [{"name": "main", "image": image.reference}]}},
    }
    graph = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": name},
        "spec": {
            "backendFramework": _FRAMEWORKS[engine.name],
            "components": [front, *(_component(role, engine, device, image) for role in roles)],
        },
    }
    return [*manifests, graph]


def _component(
    role: ServerRole,
    engine: Engine,
    device: DeviceProfile,
    image: DynamoImage,
) -> dict[str, Any]:
    """A kind of worker. Its operator starts the nodes of a worker and gives them their ranks."""
    words = worker_words(role, engine)
    pod = pods.pod_spec(
        role,
        engine,
        device,
        image.reference,
        words,
        port=_SYSTEM_PORT,
        probed=False,
        container="main",
    )
    pod["containers"][0]["startupProbe"] = pods.startup_probe(
        role, {"path": "/live", "port": _SYSTEM_PORT}
    )
    # The operator mounts /dev/shm itself, of the size that is stated below.
    pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != "shm"]
    main = pod["containers"][0]
    main["volumeMounts"] = [volume for volume in main["volumeMounts"] if volume["name"] != "shm"]
    return {
        "name": role.name.capitalize() if role.name != "server" else "Worker",
        "type": _TYPES[role.name],
        "replicas": role.workers,
        **({"multinode": {"nodeCount": role.nodes}} if role.nodes > 1 else {}),
        "sharedMemorySize": pods.quantity(pods.shared_bytes(engine)),
        "podTemplate": {"spec": pod},
    }


def worker_words(role: ServerRole, engine: Engine) -> list[str]:
    """The command of Dynamo's worker: the engine's own arguments behind another module."""
    words = list(role.words)
    mode = [] if role.name == "server" else ["--disaggregation-mode", role.name]
    if engine.name == "vllm":  # vllm serve CHECKPOINT …
        pair = (
            []
            if not mode
            else ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
        )
        return ["python3", "-m", "dynamo.vllm", "--model", words[2], *words[3:], *mode, *pair]
    if engine.name == "sglang":  # python3 -m sglang.launch_server …
        pair = [] if not mode else ["--disaggregation-transfer-backend", "nixl"]
        return ["python3", "-m", "dynamo.sglang", *words[3:], *mode, *pair]
    return [
        "python3",
        "-m",
        "dynamo.trtllm",
        "--model-path",
        role.checkpoint,
        "--served-model-name",
        role.model_name,
        "--extra-engine-args",
        f"{CONFIG}/{_ENGINE_FILE}",
        *mode,
    ]


def engine_options(role: ServerRole, options: str) -> str:
    """The options of a TensorRT-LLM worker: those of its command and of its file, as one file."""
    arguments: dict[str, Any] = {"backend": "pytorch"}
    for flag, value in zip(role.words, role.words[1:], strict=False):
        if flag in _ARGUMENTS:
            arguments[_ARGUMENTS[flag]] = int(value)
    arguments |= yaml.safe_load(options)
    if role.name != "server":
        arguments["cache_transceiver_config"] = {"backend": "DEFAULT"}
    if role.name == "prefill":
        # NVIDIA's own files of prefill workers switch it off: it is for decoding.
        arguments["disable_overlap_scheduler"] = True
    return documents([arguments])
