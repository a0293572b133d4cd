"""The README beside an export: what it is, what to run, and what it cannot say."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from planner.export import deployment
from planner.export.assignment import ModuleAssignment
from planner.export.flags import sources_of
from planner.export.launch import CHECKPOINT, OPTIONS, SERVERS, command, trtllm_options
from planner.export.lint import EngineFinding
from planner.export.targets import Exported
from planner.planning.plan.record import Plan, layer_range


def bundle(target: str, exported: Exported, plan: Plan, assignment: ModuleAssignment,
           findings: Sequence[EngineFinding], *, cpu: bool = False) -> dict[str, str]:
    """All files of an export by name: the configuration, ``README.md``, and a ``serve-….sh`` for
    each server that can serve it, or of which nothing is known; ``cpu``: on CPU sockets."""
    files = {**exported.files, deployment.FILE: deployment.deployment_text(plan, assignment,
                                                                           exported)}
    parts = [_head(target, plan, assignment), _weights(exported)]
    for found in findings:
        words, unsaid = command(found.engine, target, plan, cpu=cpu)
        name = found.engine.name
        if found.status != "no" and name in SERVERS:
            files[f"serve-{name}.sh"] = _script(words)
            if name == "tensorrt-llm":
                files[OPTIONS] = trtllm_options(plan)
        parts.append(_engine(found, words, unsaid))
    parts.append(_list("What the configuration cannot say", exported.notes))
    files["README.md"] = "\n\n".join(part for part in parts if part) + "\n"
    return files


def _head(target: str, plan: Plan, assignment: ModuleAssignment) -> str:
    layout = plan.layout
    lines = [f"# {plan.model.id} on {plan.device.count} × {plan.device.id}, as {target}", "",
             f"Layout: tp {layout.tp}, dp {layout.dp}, pp {layout.pp}, ep {layout.ep}, "
             f"{layout.replicas} replica(s); batch {plan.workload.batch}, context "
             f"{plan.workload.context_tokens}.", "",
             "| module | layers | scheme |", "|---|---|---|"]
    rows: dict[tuple[str, str], set[int]] = {}
    for one in assignment.linears:
        if one.planned:
            rows.setdefault((one.kind, one.scheme), set()).update(one.layers)
    for cache in assignment.caches:
        rows.setdefault((cache.kind, cache.layout), set()).update(cache.layers)
    lines += [f"| {kind} | {layer_range(tuple(layers)) or '-'} | {scheme} |"
              for (kind, scheme), layers in rows.items()]
    return "\n".join(lines)


def _weights(exported: Exported) -> str:
    if not exported.files:
        return ("## Weights\n\nNo linear layer is quantised: the configuration stays as it is, "
                "and there is no file for it.")
    steps = [f"{i}. {text}" for i, text in enumerate(exported.steps, 1)]
    return "## Weights\n\n" + "\n".join(steps)


def _engine(found: EngineFinding, words: Sequence[str], unsaid: Sequence[str]) -> str:
    title = f"## {found.engine.label}: "
    if found.status == "no":
        return title + f"does not serve it\n\n{found.reason}"
    verdict = "serves it" if found.status == "yes" else "not known to serve it"
    body = f"```sh\n{shlex.join(words)}\n```"
    if found.reason:
        body = f"{found.reason}\n\n{body}"
    if unsaid:
        body += "\n\nNot in the command:\n\n" + "\n".join(f"- {text}" for text in unsaid)
    sources = sources_of(found.engine.name, words)
    if sources:
        body += "\n\nNot run here; flags as in " + "; ".join(sources) + "."
    return f"{title}{verdict}\n\n{body}"


def _script(words: Sequence[str]) -> str:
    text = shlex.join(words).replace(CHECKPOINT, '"${1:?folder of the checkpoint}"')
    text = text.replace(OPTIONS, f'"$(dirname -- "$0")/{OPTIONS}"')
    return f"#!/bin/sh\nset -eu\nexec {text}\n"


def _list(title: str, items: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {text}" for text in items) if items else ""
