"""What an engine does that times rest on, one line each: experts' tokens, streams, the host."""

from __future__ import annotations

from planner.planning.plan.record import Assumption
from planner.planning.price.price import Priced
from planner.planning.space.model import CostModel
from planner.throughput.curves import gathers_experts, one_sided_experts
from planner.throughput.engine_policy import beside_routed, stored_scales
from planner.units import format_seconds

GATHERED = "all-gather and reduce-scatter"
SCALED = "fp8-tensor"
"""The scheme whose activations have a scale that a checkpoint can store."""


def engine_notes(model: CostModel, priced: Priced) -> list[Assumption]:
    """Assumptions about the engine of ``model`` that this plan's times rest on."""
    question, layout = model.question, priced.layout
    out: list[Assumption] = []
    experts = question.spec.experts
    if experts is not None and layout.dp > 1:
        out += [
            _exchange(model, priced),
            Assumption(
                "attention ranks",
                "step together",
                "a prompt on one rank makes the step long for all; those of one step share it",
            ),
        ]
    if experts is not None and experts.shared:
        used = {
            model.choices[c.segment.choice]
            for c in priced.costs
            if model.units[c.segment.unit].kind == "shared-down" and c.segment.choice >= 0
        }
        for name in sorted(used):
            if source := beside_routed(question.engine, name):
                out.append(Assumption("shared experts", f"{name} on a second stream", source))
    source = stored_scales(question.engine)
    if source and SCALED in {
        model.choices[c.segment.choice] for c in priced.costs if c.segment.choice >= 0
    }:
        out.append(Assumption("activation scales", f"stored ({SCALED})", source))
    host = question.prompt_host
    if host.layer_seconds or host.handling_seconds:
        out.append(
            Assumption(
                "host of a prompt",
                f"at least {format_seconds(question.prompt_floor_seconds)} to "
                f"launch it, {format_seconds(host.handling_seconds)} of handling",
                host.source,
            )
        )
    return out


def _exchange(model: CostModel, priced: Priced) -> Assumption:
    """How tokens come to their experts."""
    net, layout = model.question.net, priced.layout
    if layout.ep == 1:
        return Assumption("expert tokens", GATHERED, "experts are split, not spread, over ranks")
    if net.gathers and layout.tp * layout.dp <= net.domain:
        return Assumption(
            "expert tokens", GATHERED, gathers_experts(model.machine.stacks, net.domain)
        )
    if net.one_sided:
        return Assumption(
            "expert tokens",
            "written straight to the ranks of their experts",
            one_sided_experts(model.machine.stacks, net.domain),
        )
    return Assumption(
        "expert tokens",
        "exchanged by rank",
        "the exchange that the engine's stack was measured with, else bytes over the link",
    )
