"""What each engine would do with an export: the serving rules, checked before a file is written.

Sources are those of the engine matrix. An engine that refuses, emulates or silently leaves a layer
unquantised is told apart from one of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from planner.export import modelopt
from planner.export.assignment import ModuleAssignment
from planner.export.targets import TARGETS, Exported
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import message, with_name
from planner.models.spec import ModelSpec
from planner.planning.answer.servability import verdicts
from planner.planning.engines.rules import (
    PLAIN,
    containers,
    kind_group,
    support_cell,
    types_each_matrix,
)
from planner.planning.engines.writers import writers
from planner.planning.plan.record import Plan

CONSUMERS = {target: writers()[container].readers for container, target in TARGETS.items()}
"""The engines that read a target's files."""


@dataclass(frozen=True, slots=True)
class EngineFinding:
    """One engine on one export: ``status`` is yes, no or unknown, ``reason`` what speaks
    against."""

    engine: Engine
    status: str
    reason: str


def lint(
    target: str,
    exported: Exported,
    assignment: ModuleAssignment,
    plan: Plan,
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine,
) -> EngineFinding:
    """The verdict on ``engine`` with the checkpoint format of ``target``."""
    if engine.name not in CONSUMERS[target]:
        return EngineFinding(engine, "no", f"it does not read {target}")
    fused = [] if types_each_matrix(engine, device) else split_fused_layers(assignment)
    if fused:
        return EngineFinding(engine, "no", f"{fused[0]}: parts of one matrix in several schemes")
    serving_verdict = verdicts(spec, device, plan.units, plan.layout, (engine.address,))[0]
    against = [
        *(("refused", text) for text in modelopt.rules_broken(exported.files)),
        *_against(exported, assignment, device, engine),
    ]
    if against:
        status = "unknown" if all(word == "unknown" for word, _ in against) else "no"
        return EngineFinding(engine, status, "; ".join(dict.fromkeys(text for _, text in against)))
    # Its own formats do not matter to `whole`; caches, layouts and fused matrices do.
    return EngineFinding(engine, serving_verdict.status, str(serving_verdict.reason))


def split_fused_layers(assignment: ModuleAssignment) -> list[str]:
    """Layers whose parts of one matrix (q/k/v, gate/up, all experts) are not in one scheme."""
    by_fused: dict[tuple[str, int, bool], set[str]] = {}
    for linear in assignment.linears:
        for layer in linear.layers:
            by_fused.setdefault((linear.fused, layer, linear.experts > 1), set()).add(linear.scheme)
    return [
        f"{name} of layer {layer} in {' and '.join(sorted(schemes))}"
        for (name, layer, _), schemes in by_fused.items()
        if name and len(schemes) > 1
    ]


def _against(
    exported: Exported, assignment: ModuleAssignment, device: DeviceProfile, engine: Engine
) -> Iterator[tuple[str, str]]:
    mine = [c for c in exported.containers if c in containers(engine)]
    uses = dict.fromkeys(
        (linear.scheme, kind_group(linear.kind)) for linear in assignment.quantised()
    )
    if uses and not mine:
        yield "unknown", f"no source says that it reads {exported.containers[0]}"
        return
    schemes = {scheme for scheme, _ in uses}
    for scheme, group in uses:
        best = min(
            (support_cell(engine, device, "scheme", scheme, group, c) for c in mine),
            key=lambda c: ("supported", "emulated", "refused", "unquantised", "unknown").index(
                c.status
            ),
        )
        if best.status != "supported":
            yield best.status, str(with_name(f"{scheme} ({group}) in {mine[0]}", best.verdict))
        mixed = support_cell(engine, device, "mixed", "*", group, mine[0])
        if len(schemes - set(PLAIN)) > 1 and mixed.status != "supported":
            several = message("engines.several_schemes", x=mine[0])
            yield mixed.status, str(with_name(several, mixed.verdict))
