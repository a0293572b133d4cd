"""The README's part on a deployment: what runs, how to apply it, and what to change first."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.markdown_text import escape
from planner.export.deploy import compose, dynamo, kubernetes, llm_d
from planner.export.deploy.catalog import part_image
from planner.export.deploy.pods import (
    GIB,
    GPU,
    SECRET,
    VOLUME,
    host_bytes,
    shared_bytes,
    startup_seconds,
)
from planner.export.deploy.roles import MODELS, ServerRole
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine

_COLUMNS = (
    "workers",
    "devices a worker",
    "nodes a worker",
    "tp",
    "dp",
    "pp",
    "ep",
    "batch",
    "host memory a node",
    "first start",
)


def section(
    target: str,
    name: str,
    roles: Sequence[ServerRole],
    engine: Engine,
    device: DeviceProfile,
    image: str,
    source: str,
    notes: Sequence[str],
) -> str:
    """The Markdown of one target."""
    parts = [
        f"## Deployment: {target}",
        _workers(roles, engine, device),
        f"Image: `{image}` ({source}). Nothing was pulled or applied; the program's tests "
        "hold such manifests to schemas.",
        _apply(target, name),
        "### Change first",
        "\n".join(f"- {text}" for text in _changes(target, roles, engine, device)),
        _words(roles),
    ]
    left = [
        text if role.name == "server" else f"{role.name}: {text}"
        for role in roles
        for text in role.unsaid
    ]
    if left or notes:
        parts.append(
            "### Not in the manifests\n\n" + "\n".join(f"- {text}" for text in (*left, *notes))
        )
    return "\n\n".join(parts) + "\n"


def _workers(roles: Sequence[ServerRole], engine: Engine, device: DeviceProfile) -> str:
    lines = ["| role | " + " | ".join(_COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for role in roles:
        layout = role.plan.layout
        memory = -(-host_bytes(role, engine, device) // GIB)
        cells = (
            role.workers,
            role.devices,
            role.nodes,
            layout.tp,
            layout.dp,
            layout.pp,
            layout.ep,
            role.plan.workload.batch,
            f"{memory} GiB",
            f"≤ {startup_seconds(role)} s",
        )
        lines.append(f"| {role.name} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _apply(target: str, name: str) -> str:
    secret = f"kubectl create secret generic {SECRET} --from-literal=HF_TOKEN=TOKEN -n NAMESPACE"
    if target == "compose":
        return _block(
            "export HF_TOKEN=TOKEN MODELS=/srv/models",
            f"docker compose -f {compose.FILE} up -d",
            "curl http://localhost:8000/v1/models",
        )
    if target == "llm-d":
        chart, crds = part_image("llm-d-chart"), part_image("gateway-crds")
        return _block(
            secret,
            "kubectl apply -f https://github.com/kubernetes-sigs/gateway-api-inference-extension/"
            f"releases/download/{crds.version}/v1-manifests.yaml",
            f"kubectl apply -n NAMESPACE -f {llm_d.SERVERS_FILE}",
            f"helm install {name} {chart.reference.rpartition(':')[0]} --version {chart.version} "
            f"-n NAMESPACE -f {llm_d.VALUES_FILE}",
        ) + (
            "\n\nThe chart makes the InferencePool. Behind a Kubernetes Gateway install "
            "`llm-d-router-gateway` with the same values in place of `llm-d-router-standalone`."
        )
    file = dynamo.FILE if target == "dynamo" else kubernetes.FILE
    port, service = ("8000", f"{name}-frontend") if target == "dynamo" else ("80", name)
    return _block(
        secret,
        f"kubectl apply -n NAMESPACE -f {file}",
        f"kubectl port-forward -n NAMESPACE svc/{service} 8000:{port}",
    )


def _block(*lines: str) -> str:
    return "```sh\n" + "\n".join(lines) + "\n```"


def _changes(
    target: str, roles: Sequence[ServerRole], engine: Engine, device: DeviceProfile
) -> list[str]:
    """What no plan knows of a cluster."""
    changes = []
    own = [role.checkpoint for role in roles if not role.from_hub]
    if target == "compose":
        changes.append(
            "`MODELS`: a folder with room for the checkpoint; it keeps what is downloaded."
        )
    else:
        changes += [
            "NAMESPACE: the manifests name none.",
            f"Storage: `{VOLUME}` asks the cluster's default class; set `storageClassName` to one "
            "that several nodes may mount at once where it says ReadWriteMany.",
            f"Token: the Secret `{SECRET}` with the key HF_TOKEN; a public model needs none.",
        ]
        if device.kind != "cpu":
            changes.append(
                f"Nodes: `{GPU}` is any GPU. Add a `nodeSelector` (`{GPU}.product`) for "
                f"{escape(device.name)}, or the plan runs on what is free."
            )
    if own:
        changes.append(
            f"Weights: put the checkpoint at `{', '.join(own)}` (steps above); `{MODELS}` "
            "is the volume"
            + ("." if target == "compose" else ", and a Job or `kubectl cp` brings it there.")
        )
    for role in roles:
        if not role.from_hub and role.plan.units != roles[-1].plan.units:
            schemes = sorted({unit.scheme for unit in role.plan.units if unit.kv_layout is None})
            changes.append(
                f"Weights of the {role.name} pool are in other schemes ("
                f"{', '.join(schemes)}) than the recipe above, which is for decoding: the "
                "plan file lists them by layer."
            )
    if any(role.nodes > 1 for role in roles) and target in ("kubernetes", "llm-d"):
        changes.append(
            "LeaderWorkerSet: its controller must be in the cluster "
            "(lws.sigs.k8s.io); a replica is a group of pods, one a node."
        )
    if target == "dynamo":
        changes.append(
            "The Dynamo operator must be in the cluster"
            + (
                ", with Grove or LeaderWorkerSet for workers of several nodes."
                if any(role.nodes > 1 for role in roles)
                else "."
            )
        )
    if len(roles) > 1 or any(role.nodes > 1 for role in roles):
        changes.append(
            "Network: add your RDMA resource (such as `rdma/ib`) to the limits and set "
            "NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME where the default route is not the "
            "fast one; without it everything goes over TCP, slower than planned."
        )
    if shared_bytes(engine) and target != "compose":
        changes.append("Memory: /dev/shm counts against the limit.")
    return changes


def _words(roles: Sequence[ServerRole]) -> str:
    """The figures under the names that aiconfigurator's users know."""
    total = sum(role.workers * role.devices for role in roles)
    lines = [
        "### In aiconfigurator's words",
        "",
        "| there | here |",
        "|---|---|",
        f"| `--total-gpus` | {total} |",
        f"| mode | {'agg' if len(roles) == 1 else 'disagg'} |",
    ]
    for role in roles:
        layout, at = role.plan.layout, {"server": "", "prefill": "(p)", "decode": "(d)"}[role.name]
        group = layout.tp * layout.dp
        lines += [
            f"| {at}workers | {role.workers} |",
            f"| {at}tp / pp / dp / moe_tp / moe_ep | {layout.tp} / {layout.pp} / {layout.dp} "
            f"/ {group // layout.ep} / {layout.ep} |",
            f"| {at}bs (of a worker's rank) | {-(-role.plan.workload.batch // layout.dp)} |",
        ]
    return "\n".join(lines)
