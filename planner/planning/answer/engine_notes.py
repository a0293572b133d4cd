"""What an engine does that times rest on, one line each: experts' tokens, streams, the host."""

from __future__ import annotations

from planner.base.units import format_seconds
from planner.messages.message import Note, message
from planner.planning.price.price import Priced
from planner.planning.space.model import CostModel
from planner.throughput.curves import gathers_experts, one_sided_experts
from planner.throughput.engine_policy import shared_experts_overlap, stored_scales

GATHERED = message("assumptions.all_gather_and_reduce_scatter")
SCALED = "fp8-tensor"
"""The scheme whose activations have a scale that a checkpoint can store."""


def engine_notes(model: CostModel, priced: Priced) -> list[Note]:
    """Assumptions about the engine of ``model`` that this plan's times rest on."""
    question, layout = model.question, priced.layout
    out: list[Note] = []
    experts = question.spec.experts
    if experts is not None and layout.dp > 1:
        out += [
            _exchange(model, priced),
            Note(
                "attention ranks",
                message("assumptions.step_together"),
                message("assumptions.prompt_on_one_rank_makes"),
            ),
        ]
    if experts is not None and experts.shared:
        used = {
            model.choices[c.segment.choice]
            for c in priced.costs
            if model.units[c.segment.unit].kind == "shared-down" and c.segment.choice >= 0
        }
        for name in sorted(used):
            if source := shared_experts_overlap(question.engine, name):
                out.append(
                    Note(
                        "shared experts",
                        message("assumptions.on_second_stream", x=name),
                        source,
                    )
                )
    source = stored_scales(question.engine)
    if source and SCALED in {
        model.choices[c.segment.choice] for c in priced.costs if c.segment.choice >= 0
    }:
        out.append(Note("activation scales", message("assumptions.stored", scaled=SCALED), source))
    host = question.prompt_host
    if host.layer_seconds or host.handling_seconds:
        out.append(
            Note(
                "host of a prompt",
                message(
                    "assumptions.at_least_to_launch_it",
                    prompt_floor_seconds=format_seconds(question.prompt_floor_seconds),
                    handling_seconds=format_seconds(host.handling_seconds),
                ),
                host.source,
            )
        )
    return out


def _exchange(model: CostModel, priced: Priced) -> Note:
    """How tokens come to their experts."""
    net, layout = model.question.net, priced.layout
    if layout.ep == 1:
        return Note("expert tokens", GATHERED, message("assumptions.experts_are_split_not_spread"))
    if net.gathers and layout.tp * layout.dp <= net.domain:
        return Note("expert tokens", GATHERED, gathers_experts(model.machine.stacks, net.domain))
    if net.one_sided:
        return Note(
            "expert tokens",
            message("assumptions.written_straight_to_ranks_of"),
            one_sided_experts(model.machine.stacks, net.domain),
        )
    return Note(
        "expert tokens",
        message("assumptions.exchanged_by_rank"),
        message("assumptions.exchange_that_engines_stack_was"),
    )
