"""The README beside an export: what it is, what to run, and what it cannot say."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from planner.export import deployment
from planner.export.assignment import ModuleAssignment
from planner.export.default_target import RELEASED
from planner.export.flags import sources_of
from planner.export.launch import CHECKPOINT, OPTIONS, SERVERS, command, trtllm_options
from planner.export.lint import EngineFinding
from planner.export.serve_line import GGUF, MODEL, WeightsOfPlan, weights_of, words_at
from planner.export.served import served_of
from planner.export.targets import TARGETS, Exported
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.models.spec import ModelSpec
from planner.planning.engines.rules import requantised
from planner.planning.plan.record import Plan
from planner.units import format_layers


def bundle(
    target: str,
    exported: Exported,
    plan: Plan,
    assignment: ModuleAssignment,
    findings: Sequence[EngineFinding],
    device: DeviceProfile,
) -> dict[str, str]:
    """All files of an export by name: the configuration, ``README.md``, and a ``serve-….sh`` for
    each server that can serve it, or of which nothing is known."""
    made = (
        {}
        if exported.files
        else deployment.weights_said(plan, assignment.spec, loading=target == RELEASED)
    )
    files = {
        **exported.files,
        deployment.FILE: deployment.deployment_text(plan, assignment, exported, made),
    }
    ready, parts = "", []
    for found in findings:
        name = found.engine.name
        weights = exported_weights(target, plan, found.engine, device, assignment.spec)
        words, unsaid = command(
            found.engine, weights.container or target, plan, cpu=device.kind == "cpu"
        )
        if found.status != "no" and name in SERVERS:
            files[f"serve-{name}.sh"] = _script(words, weights)
            if name == "tensorrt-llm":
                files[OPTIONS] = trtllm_options(plan, found.engine)
        if name not in SERVERS and (target == RELEASED or not exported.files):
            # A library: the steps are all, and no script is there without a file.
            parts.append(_engine(found, (), ()))
        else:
            changed = [
                f"{scheme}: {cell.note}"
                for scheme in served_of(plan).schemes
                if (cell := requantised(found.engine, device, scheme)) is not None
            ]
            parts.append(
                _engine(found, words_at(words, weights), (*weights.notes, *unsaid, *changed))
            )
        if weights.made == "ready":
            ready = ready or weights.place
    parts[:0] = [_head(target, plan, assignment), _weights(target, exported, ready)]
    parts.append(_list("What the configuration cannot say", exported.notes))
    files["README.md"] = "\n\n".join(part for part in parts if part) + "\n"
    return files


def exported_weights(
    target: str, plan: Plan, engine: Engine, device: DeviceProfile, spec: ModelSpec
) -> WeightsOfPlan:
    """Where the weights of an export come from: a public release of its format, where there is
    one; new ones of the format that was asked for otherwise."""
    found = weights_of(plan, engine, device, spec)
    if target == RELEASED or (
        found.made == "ready" and TARGETS.get(found.container) in (target, None)
    ):
        return found
    return WeightsOfPlan("new", GGUF if engine.name == "llama.cpp" else CHECKPOINT)


def _head(target: str, plan: Plan, assignment: ModuleAssignment) -> str:
    layout = plan.layout
    lines = [
        f"# {plan.model.id} on {plan.device.count} × {plan.device.id}, as {target}",
        "",
        f"Layout: tp {layout.tp}, dp {layout.dp}, pp {layout.pp}, ep {layout.ep}, "
        f"{layout.replicas} replica(s); batch {plan.workload.batch}, context "
        f"{plan.workload.context_tokens}.",
        "",
        "| module | layers | scheme |",
        "|---|---|---|",
    ]
    rows: dict[tuple[str, str], set[int]] = {}
    for one in assignment.linears:
        if one.planned:
            rows.setdefault((one.kind, one.scheme), set()).update(one.layers)
    for cache in assignment.caches:
        rows.setdefault((cache.kind, cache.layout), set()).update(cache.layers)
    lines += [
        f"| {kind} | {format_layers(tuple(layers)) or '-'} | {scheme} |"
        for (kind, scheme), layers in rows.items()
    ]
    return "\n".join(lines)


def _weights(target: str, exported: Exported, ready: str) -> str:
    if not exported.files and target != RELEASED:
        return (
            "## Weights\n\nNo linear layer is quantised, and there is no file for it: the "
            "configuration stays as it is; a quantised release is widened to 16 bits first."
        )
    steps = (
        "\n".join(f"{i}. {text}" for i, text in enumerate(exported.steps, 1))
        if len(exported.steps) > 1
        else "".join(exported.steps)
    )
    made = f"A public checkpoint has these schemes: `{ready}`. To make one:\n\n" if ready else ""
    return f"## Weights\n\n{made}{steps}"


def _engine(found: EngineFinding, words: Sequence[str], unsaid: Sequence[str]) -> str:
    title = f"## {found.engine.label}: "
    if found.status == "no":
        return title + f"does not serve it\n\n{found.reason}"
    verdict = "serves it" if found.status == "yes" else "not known to serve it"
    parts = [found.reason, f"```sh\n{shlex.join(words)}\n```" if words else ""]
    body = "\n\n".join(part for part in parts if part)
    if unsaid:
        body += "\n\nNot in the command:\n\n" + "\n".join(f"- {text}" for text in unsaid)
    sources = sources_of(found.engine.name, words)
    if sources:
        body += "\n\nNot run here; flags as in " + "; ".join(sources) + "."
    return f"{title}{verdict}\n\n{body}".rstrip()


def _script(words: Sequence[str], weights: WeightsOfPlan) -> str:
    """The command as a script; its first word is another checkpoint, or the one to be made."""
    given = (
        '"${1:?checkpoint}"'
        if weights.made == "new" or weights.place in (GGUF, MODEL)
        else f'"${{1:-{weights.place}}}"'
    )
    parts = [
        given
        if word == weights.place
        else f'"$(dirname -- "$0")/{OPTIONS}"'
        if word == OPTIONS
        else shlex.quote(word)
        for word in words_at([*words], weights)
    ]
    return f"#!/bin/sh\nset -eu\nexec {' '.join(parts)}\n"


def _list(title: str, items: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {text}" for text in items) if items else ""
