"""The README beside an export: what it is, what to run, and what it cannot say."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.base.markdown_text import escape
from planner.base.units import format_layers
from planner.export import deployment, llama_cpp
from planner.export.assignment import ModuleAssignment
from planner.export.default_target import RELEASED
from planner.export.environment import variables
from planner.export.home_programs import MODELFILE, lm_studio, modelfile
from planner.export.launch import SERVERS, command
from planner.export.lint import EngineFinding
from planner.export.serve_line import GGUF, WeightsOfPlan, on_nodes, weights_of, words_at
from planner.export.serve_script import script
from planner.export.serving_facts import serving_facts_of
from planner.export.targets import TARGETS, Exported
from planner.export.trtllm import CHECKPOINT, OPTIONS, options_text
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Text
from planner.models.spec import ModelSpec
from planner.planning.engines.rules import requantised
from planner.planning.plan.record import Plan


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
    ready, at_home, parts = "", "", []
    for finding in findings:
        name = finding.engine.name
        weights = exported_weights(target, plan, finding.engine, device, assignment.spec)
        unplaced, unsaid = command(finding.engine, weights.container or target, plan, device)
        words = words_at(unplaced, weights)
        nodes, apart = on_nodes(plan, finding.engine, device, words)
        if finding.status != "no" and name in SERVERS:
            files[f"serve-{name}.sh"] = script(words, nodes, weights)
            if name == llama_cpp.TARGET and not nodes:
                files[MODELFILE] = modelfile(plan, weights)
                at_home = home_part(lm_studio(plan, weights))
            if name == "tensorrt-llm":
                files[OPTIONS] = options_text(plan, finding.engine, device)
        if name not in SERVERS and (target == RELEASED or not exported.files):
            # A library: the steps are all, and no script is there without a file.
            parts.append(_engine(finding, (), ()))
        else:
            changed = [
                f"{scheme}: {cell.note}"
                for scheme in serving_facts_of(plan).schemes
                if (cell := requantised(finding.engine, device, scheme)) is not None
            ]
            lines = [node.words for node in nodes] or [words]
            parts.append(_engine(finding, lines, (*weights.notes, *unsaid, *apart, *changed)))
        if weights.made == "ready":
            ready = ready or weights.place
    parts[:0] = [_head(target, plan, assignment), _weights(target, exported, ready)]
    parts.append(at_home)
    parts.append(_list("What the configuration cannot say", exported.notes))
    files["README.md"] = "\n\n".join(part for part in parts if part) + "\n"
    return files


def exported_weights(
    target: str, plan: Plan, engine: Engine, device: DeviceProfile, spec: ModelSpec
) -> WeightsOfPlan:
    """Where the weights of an export come from: a public release of its format, where there is
    one; new ones of the format that was asked for otherwise."""
    weights = weights_of(plan, engine, device, spec)
    if target == RELEASED or (
        weights.made == "ready" and TARGETS.get(weights.container) in (target, None)
    ):
        return weights
    return WeightsOfPlan("new", GGUF if engine.name == "llama.cpp" else CHECKPOINT)


def _head(target: str, plan: Plan, assignment: ModuleAssignment) -> str:
    layout = plan.layout
    lines = [
        f"# {escape(plan.model.id)} on {plan.device.count} × {escape(plan.device.id)}, as {target}",
        "",
        f"Layout: tp {layout.tp}, dp {layout.dp}, pp {layout.pp}, ep {layout.ep}, "
        f"{layout.replicas} replica(s); batch {plan.workload.batch}, context "
        f"{plan.workload.context_tokens}.",
        "",
        "| module | layers | scheme |",
        "|---|---|---|",
    ]
    rows: dict[tuple[str, str], set[int]] = {}
    for linear in assignment.linears:
        if linear.planned:
            rows.setdefault((linear.kind, linear.scheme), set()).update(linear.layers)
    for entry in assignment.caches:
        rows.setdefault((entry.kind, entry.layout), set()).update(entry.layers)
    lines += [
        f"| {kind} | {format_layers(tuple(layers)) or '-'} | {scheme} |"
        for (kind, scheme), layers in rows.items()
    ]
    return "\n".join(lines)


def home_part(lines: Sequence[str]) -> str:
    """The section on Ollama and LM Studio."""
    text = "\n".join(("ollama create NAME -f Modelfile", "ollama run NAME", "", *lines))
    return f"## Ollama, LM Studio\n\n```sh\n{text}\n```"


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


def _engine(finding: EngineFinding, lines: Sequence[Sequence[str]], unsaid: Sequence[Text]) -> str:
    title = f"## {finding.engine.label}: "
    if finding.status == "no":
        return title + f"does not serve it\n\n{finding.reason}"
    verdict = "serves it" if finding.status == "yes" else "not known to serve it"
    text = "\n".join(shlex.join(words) for words in lines)
    several = "One command a node; NODE0, NODE1, … are the addresses of the nodes."
    parts = [
        finding.reason,
        several if len(lines) > 1 else "",
        f"```sh\n{text}\n```" if lines else "",
    ]
    body = "\n\n".join(part for part in parts if part)
    if unsaid:
        body += "\n\nNot in the command:\n\n" + "\n".join(f"- {text}" for text in unsaid)
    sources = sources_of(finding.engine.name, [word for words in lines for word in words])
    if sources:
        body += "\n\nNot run here; flags as in " + "; ".join(sources) + "."
    return f"{title}{verdict}\n\n{body}".rstrip()


def _list(title: str, items: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {text}" for text in items) if items else ""


_DATA = Path(__file__).resolve().parent / "data" / "flags.csv"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of a program: what it means for a plan, and its source."""

    engine: str
    name: str
    means: str
    source: str
    date: str


@cache
def flags(engine: str) -> dict[str, Flag]:
    """The known flags of an engine's command, by name."""
    with _DATA.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["engine"] == engine]
    return {
        row["flag"]: Flag(engine, row["flag"], row["means"], row["source"], row["date"])
        for row in rows
    }


def sources_of(engine: str, words: Sequence[str]) -> list[str]:
    """``source, date`` of every flag and variable in a command, each once, in its order."""
    known = {name: (flag.source, flag.date) for name, flag in flags(engine).items()}
    known |= {row.name: (row.source, row.date) for row in variables() if row.engine == engine}
    used = (word.partition("=")[0] for word in words)
    return list(dict.fromkeys(", ".join(known[name]) for name in used if name in known))
