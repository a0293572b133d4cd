"""The files of one target for a plan: manifests, and the README's part on them."""

from __future__ import annotations

from dataclasses import replace

from planner.base.errors import UnknownNameError, UnsupportedError
from planner.export.deploy import compose, dynamo, guide, kubernetes, llm_d, objects
from planner.export.deploy.catalog import PLATFORMS, dynamo_image, engine_image
from planner.export.deploy.roles import Weights, roles_of
from planner.export.launch import SERVERS
from planner.export.readme import exported_weights
from planner.export.run import Export
from planner.export.serve_line import WeightsOfPlan, weights_of
from planner.export.trtllm import OPTIONS
from planner.export.yaml_text import documents
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Plan

TARGETS = ("compose", "kubernetes", "llm-d", "dynamo")
_README = "README.md"


def manifests(
    export: Export,
    plan: Plan,
    spec: ModelSpec,
    device: DeviceProfile,
    target: str,
) -> Export:
    """``export``, the export of ``plan``, with the manifests of ``target``.

    Raises:
        UnknownNameError: no such target.
        UnsupportedError: no one engine is named, or the target, its images or the engine cannot
        run the plan so; the hint names what can.
    """
    if target not in TARGETS:
        raise UnknownNameError("deployment", target[:80], TARGETS)
    if len(export.findings) != 1:
        raise UnsupportedError(
            f"--deploy {target}: no engine is named, and {export.target} is read by several",
            hint="--engine vllm, or another that serves the plan",
        )
    engine = export.findings[0].engine
    _check(target, engine, device)
    made = _dynamo if target == "dynamo" else _plain

    def weights(of_plan: Plan, on: Engine) -> WeightsOfPlan:
        if of_plan.units == plan.units:
            return exported_weights(export.target, of_plan, on, device, spec)
        return weights_of(of_plan, on, device, spec)  # a pool with schemes of its own

    files, section = made(target, export, plan, spec, device, engine, weights)
    readme = f"{export.files[_README].rstrip()}\n\n{section}"
    return replace(export, files=export.files | files | {_README: readme})


def _plain(
    target: str,
    export: Export,
    plan: Plan,
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine,
    weights: Weights,
) -> tuple[dict[str, str], str]:
    """(manifests of a target that runs the engine's own image, the README's part)."""
    image = engine_image(engine, PLATFORMS[device.kind])
    roles = roles_of(plan, spec, device, engine, export.target, weights)
    name, tag = objects.deployment_name(plan), image.reference
    if target == "compose":
        files = {compose.FILE: documents([compose.project_of(name, roles, engine, device, tag)])}
    elif target == "kubernetes":
        files = {
            kubernetes.FILE: documents(
                kubernetes.objects_of(name, roles, engine, device, tag, export.files)
            )
        }
    else:
        files = {
            llm_d.SERVERS_FILE: documents(
                llm_d.servers_of(name, roles, engine, device, tag, export.files)
            ),
            llm_d.VALUES_FILE: documents([llm_d.values_of(name, roles, engine)]),
        }
    notes = (
        []
        if image.version
        else [f"{engine.name}: the plan names no version; the image is pinned to one build"]
    )
    return files, guide.section(target, name, roles, engine, device, tag, image.source, notes)


def _dynamo(
    target: str,
    export: Export,
    plan: Plan,
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine,
    weights: Weights,
) -> tuple[dict[str, str], str]:
    """Dynamo's: the engine is the one in its runtime, whose flags the workers get."""
    image = dynamo_image(engine)
    within = parse_engine(f"{engine.name}@{image.version}")
    roles = roles_of(plan, spec, device, within, export.target, weights)
    name = objects.deployment_name(plan)
    graph = dynamo.objects_of(name, roles, within, device, image, export.files.get(OPTIONS, ""))
    notes = (
        []
        if image.version == engine.version
        else [
            f"the plan is for {engine.label}; Dynamo {image.release} has {within.label}, whose "
            f"flags "
            "the workers get. Kernels differ between versions: plan again with "
            f"--engine {within.address} to price those"
        ]
    )
    return {dynamo.FILE: documents(graph)}, guide.section(
        target, name, roles, within, device, image.reference, image.source, notes
    )


def _check(target: str, engine: Engine, device: DeviceProfile) -> None:
    """Refuse what a target cannot run at all.

    Raises:
        UnsupportedError: a library, an engine that the target does not know, or a device.
    """
    if engine.name not in SERVERS:
        raise UnsupportedError(
            f"--deploy {target}: {engine.name} is a library, not a server",
            hint="make the plan for one that serves: "
            + ", ".join(f"--engine {name}" for name in SERVERS),
        )
    if device.platform not in ("cuda", "cpu", ""):
        raise UnsupportedError(
            f"--deploy {target}: {device.id} is of {device.platform}; images and resources are "
            "known of NVIDIA GPUs and CPUs alone",
            hint="leave --deploy out: plan export writes the command that serves it",
        )
    if target == "llm-d":
        llm_d.check(engine)
    if target in ("llm-d", "dynamo") and device.kind != "gpu":
        raise UnsupportedError(
            f"--deploy {target}: {device.id} is no GPU of a server",
            hint="--deploy compose or kubernetes",
        )
