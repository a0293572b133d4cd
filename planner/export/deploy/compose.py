"""``compose.yaml``: all workers on one machine, each on devices of its own.

Source: the Compose specification (compose-spec), services and deploy.resources.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.base.errors import UnsupportedError
from planner.export.deploy import pods
from planner.export.deploy.catalog import part_image
from planner.export.deploy.groups import node_words
from planner.export.deploy.kubernetes import ROUTERS, router_words
from planner.export.deploy.pods import startup_seconds
from planner.export.deploy.roles import (
    CONFIG,
    MODELS,
    PORT,
    SIDE_CHANNEL,
    ServerRole,
    connected,
)
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine

FILE = "compose.yaml"


def project_of(
    name: str, roles: Sequence[ServerRole], engine: Engine, device: DeviceProfile, image: str
) -> dict[str, Any]:
    """The Compose project.

    Raises:
        UnsupportedError: the workers need more devices than one machine has.
    """
    wanted = sum(role.workers * role.devices for role in roles)
    if wanted > device.devices_per_node:
        raise UnsupportedError(
            f"--deploy compose is one machine, which has {device.devices_per_node} × {device.id}: "
            f"the plan has {wanted}",
            hint=f"--deploy kubernetes, or a plan for --devices {device.devices_per_node}",
        )
    services: dict[str, Any] = {}
    taken = 0
    for role in roles:
        for index in range(role.workers):
            own = f"{role.name}-{index}"
            services[own] = _worker(
                role, engine, device, image, own, taken, PORT + index if len(roles) == 1 else None
            )
            taken += role.devices
    if len(roles) > 1:
        services["router"] = _router(roles, engine)
    return {"name": name, "services": services}


def _worker(
    role: ServerRole,
    engine: Engine,
    device: DeviceProfile,
    image: str,
    own: str,
    first: int,
    outer: int | None,
) -> dict[str, Any]:
    """One worker on the devices from ``first`` on; ``outer`` is its port on the machine, if it is
    reached from outside."""
    words, _ = node_words(engine, role, connected(role, engine), PORT)
    command, arguments = pods.program(words)
    shared = pods.shared_bytes(engine)
    variables = {"HF_TOKEN": "${HF_TOKEN:-}", **pods.environment(role, engine, device)}
    if role.name != "server" and engine.name == "vllm":
        variables |= {
            "VLLM_NIXL_SIDE_CHANNEL_HOST": own,
            "VLLM_NIXL_SIDE_CHANNEL_PORT": str(SIDE_CHANNEL),
        }
    mounted = [f"${{MODELS:-./models}}:{MODELS}"]
    if role.options:
        mounted.append(f"./{role.options}:{CONFIG}/{role.options}:ro")
    return {
        "image": image,
        "entrypoint": command,
        "command": _plain(arguments),
        "environment": variables,
        "volumes": mounted,
        **({"ports": [f"{outer}:{PORT}"]} if outer is not None else {}),
        **({"shm_size": f"{-(-shared // pods.GIB)}gb"} if shared else {}),
        "ulimits": {"memlock": -1, "stack": 67108864},
        "restart": "unless-stopped",
        "stop_grace_period": f"{pods.grace_seconds(role)}s",
        "healthcheck": _health(role, engine),
        **(
            {}
            if device.kind == "cpu"
            else {
                "deploy": {
                    "resources": {
                        "reservations": {
                            "devices": [
                                {
                                    "driver": "nvidia",
                                    "capabilities": ["gpu"],
                                    "device_ids": [
                                        str(first + number) for number in range(role.devices)
                                    ],
                                }
                            ]
                        }
                    }
                }
            }
        ),
    }


def _plain(words: Sequence[str]) -> list[str]:
    """``words`` with what Compose would take for a variable written out."""
    return [word.replace("$", "$$") for word in words]


def _health(role: ServerRole, engine: Engine) -> dict[str, Any]:
    """/health from within, once the weights are loaded."""
    url = f"http://localhost:{PORT}/health"
    test = (
        ["CMD", "curl", "-f", url]
        if engine.name == "llama.cpp"
        else ["CMD", "python3", "-c", f"import urllib.request; urllib.request.urlopen('{url}')"]
    )
    return {
        "test": test,
        "interval": "10s",
        "timeout": "5s",
        "retries": 3,
        "start_period": f"{startup_seconds(role)}s",
    }


def _router(roles: Sequence[ServerRole], engine: Engine) -> dict[str, Any]:
    addresses = {
        role.name: [f"http://{role.name}-{index}:{PORT}" for index in range(role.workers)]
        for role in roles
    }
    words = router_words(
        engine, addresses["prefill"], addresses["decode"], max(map(startup_seconds, roles))
    )
    # SGLang's image starts its router itself; a command alone is its arguments.
    command = (
        {"entrypoint": words[:1], "command": words[1:]}
        if engine.name == "vllm"
        else {"command": words}
    )
    return {
        "image": part_image(ROUTERS[engine.name]).reference,
        **command,
        "ports": [f"{PORT}:{PORT}"],
        "restart": "unless-stopped",
        "depends_on": [f"{role.name}-{index}" for role in roles for index in range(role.workers)],
    }
