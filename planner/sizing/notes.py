"""What a capacity answer takes for granted, each with its reason."""

from __future__ import annotations

from planner.base.units import format_seconds
from planner.messages.message import Note, message
from planner.sizing.answer import HOURS_A_MONTH
from planner.sizing.level import DRAWN
from planner.sizing.options import Sized
from planner.throughput.engine_policy import engine_policy

OF_A_PLAN = ("asked", "devices")
"""Notes of the question that are about the search of one plan."""


def capacity_notes(
    best: Sized,
    router: str,
    price: float | None,
    *,
    own_price: bool,
) -> tuple[Note, ...]:
    """Arrivals, router, queues, scheduler, memory, money and energy; then what the question
    took."""
    one, question = best.one, best.one.question
    policy, rule = one.rank.policy, engine_policy(question.engine, question.engine_version)
    spread = (
        "each rank is a queue of its own"
        if router == DRAWN
        else "ranks hold equal numbers of requests but for one"
    )
    out = [
        Note(
            "arrivals",
            "Poisson, all requests of one length",
            "bursts and long answers need more replicas",
        ),
        Note("router", f"{router}: {spread}", "--router"),
        Note(
            "decoding queue",
            f"state-dependent processor sharing with {one.rank.slots} slots a rank",
            "product form (Cohen 1979); the wait for a slot by Allen and Cunneen",
        ),
        Note(
            "prompt queue",
            "bulk service in passes",
            "Bailey 1954, Neuts 1967; played "
            "request by request in docs/evidence/capacity.md, or by --simulate",
        ),
        Note(
            "scheduler",
            "prompts run alone" if policy.exclusive else "prompts are mixed into decode steps",
            rule.source,
        ),
        Note(
            "host time",
            f"{policy.host_seconds * 1e6:.0f} + "
            f"{policy.host_seconds_per_sequence * 1e6:.0f}·B µs a step, "
            + ("hidden behind the device" if policy.overlapped else "added to it"),
            rule.source,
        ),
        Note(
            "host of a prompt",
            message(
                "assumptions.at_least_to_launch_it",
                prompt_floor_seconds=format_seconds(policy.prompt_floor_seconds),
                handling_seconds=format_seconds(policy.handling_seconds),
            ),
            question.prompt_host.source,
        ),
        Note(
            "slots",
            f"{one.rank.slots} requests a rank",
            f"what its cache holds, {policy.reserve:.0%} of the answer reserved; at most 4,096",
        ),
        Note(
            "prefill chunk",
            f"{question.chunk_tokens} tokens a pass",
            "the engine's default on the device",
        ),
        Note("pipeline stages", "none", "the queues model none"),
        Note("month", f"{HOURS_A_MONTH:g} hours", "a twelfth of 365 days"),
        Note(
            "energy",
            "power limit by what bounds each kernel and by the share of time that a rank works",
            "an assumption of this project; ×/÷ 1.5, hosts and cooling apart",
        ),
    ]
    if price is not None:
        out.append(
            Note(
                "price",
                f"{price:.2f} USD a device-hour",
                "given" if own_price else "the device profile's",
            )
        )
    return (*out, *(note for note in question.notes if note[0] not in OF_A_PLAN))
