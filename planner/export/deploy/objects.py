"""Kubernetes objects around a worker's pods: volumes, services, workloads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from planner.export.deploy.catalog import figure
from planner.export.deploy.pods import VOLUME, config_name, quantity
from planner.export.deploy.roles import ServerRole
from planner.planning.plan.record import Plan

LEADER = {"role": "leader"}
"""The label of a group's first pod, which alone has a server."""
_MOST_NAME = 40
"""Characters of a deployment's name: pods and services add to it, and DNS labels end at 63."""


def deployment_name(plan: Plan) -> str:
    """A DNS label for a plan's deployment."""
    text = re.sub(r"[^a-z0-9]+", "-", f"{plan.model.id}-{plan.engine.name}".lower())
    return text[:_MOST_NAME].strip("-")


def labels_of(name: str, role: ServerRole) -> dict[str, str]:
    """Labels that select the workers of a role."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/component": role.name}


def workload_name(name: str, role: ServerRole) -> str:
    """The name of a role's pods."""
    return f"{name}-{role.name}"


def model_volume(roles: Sequence[ServerRole]) -> dict[str, Any]:
    """The claim that holds the checkpoints, read by all pods."""
    total = sum({role.checkpoint: role.weight_bytes for role in roles}.values())
    pods = sum(role.workers * role.nodes for role in roles)
    return _object(
        "v1",
        "PersistentVolumeClaim",
        VOLUME,
        spec={
            "accessModes": ["ReadWriteMany" if pods > 1 else "ReadWriteOnce"],
            "resources": {"requests": {"storage": quantity(int(total * figure("volume_share")))}},
        },
    )


def options_map(role: ServerRole, file: str, text: str) -> dict[str, Any]:
    """A file of the export as a ConfigMap."""
    return _object("v1", "ConfigMap", config_name(role), data={file: text})


def service(
    name: str, selector: Mapping[str, str], port: int, *, headless: bool = False, outer: int = 80
) -> dict[str, Any]:
    """A Service on ``port`` of the pods that ``selector`` finds; ``headless`` gives each pod a name
    of its own, also while it starts."""
    spec: dict[str, Any] = {
        "selector": dict(selector),
        "ports": [{"name": "http", "port": port if headless else outer, "targetPort": port}],
    }
    if headless:
        spec = {"clusterIP": "None", "publishNotReadyAddresses": True, **spec}
    return _object("v1", "Service", name, spec=spec)


def deployment(
    name: str,
    labels: Mapping[str, str],
    replicas: int,
    pod: Mapping[str, Any],
    extra: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Interchangeable workers of one node; an update takes one down first, since no devices are
    spare."""
    return _object(
        "apps/v1",
        "Deployment",
        name,
        labels=labels,
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
            },
            "template": _template({**labels, **(extra or {})}, pod),
        },
    )


def stateful_set(
    name: str,
    labels: Mapping[str, str],
    replicas: int,
    pod: Mapping[str, Any],
) -> dict[str, Any]:
    """Workers of one node that a router addresses one by one: NAME-0.NAME, NAME-1.NAME, …"""
    return _object(
        "apps/v1",
        "StatefulSet",
        name,
        labels=labels,
        spec={
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": dict(labels)},
            "template": _template(labels, pod),
        },
    )


def leader_worker_set(
    name: str,
    labels: Mapping[str, str],
    groups: int,
    nodes: int,
    leader: Mapping[str, Any],
    worker: Mapping[str, Any],
    extra: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Workers of several nodes, a group each; a pod that fails takes its group with it. The leader
    of group i is NAME-i.NAME."""
    return _object(
        "leaderworkerset.x-k8s.io/v1",
        "LeaderWorkerSet",
        name,
        labels=labels,
        spec={
            "replicas": groups,
            "leaderWorkerTemplate": {
                "size": nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": _template({**labels, **LEADER, **(extra or {})}, leader),
                "workerTemplate": _template(labels, worker),
            },
        },
    )


def _template(labels: Mapping[str, str], pod: Mapping[str, Any]) -> dict[str, Any]:
    return {"metadata": {"labels": dict(labels)}, "spec": dict(pod)}


def _object(
    version: str, kind: str, name: str, *, labels: Mapping[str, str] | None = None, **body: Any
) -> dict[str, Any]:
    metadata = {"name": name, **({"labels": dict(labels)} if labels else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}
