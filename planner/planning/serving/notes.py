"""What a served deployment takes for granted, a line each."""

from __future__ import annotations

from planner.base.units import format_seconds
from planner.messages.message import Message, Note, message
from planner.planning.question.question import Question
from planner.planning.serving.deployment import Options
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.scheduling import Scheduling


def serving_notes(question: Question, *, candidates: int | None) -> list[Note]:
    """Workload, layout and kernels; ``candidates`` that were searched for the layout, None where
    it was given."""
    work = question.workload
    out = list(question.notes)
    if work.assumed:
        out.append(Note("workload", work.assumed, message("assumptions.not_given")))
    if candidates is not None:
        out.append(
            Note(
                "layout",
                "searched",
                message("assumptions.most_tokens_s_device_of", candidates=candidates),
            )
        )
    if question.engine == ANY_ENGINE:
        out.append(
            Note(
                "kernels",
                message("assumptions.first_measured_stack"),
                message("assumptions.tensorrt_llm_vllm_sglang_in"),
            )
        )
    return out


def option_notes(
    question: Question,
    options: Options,
    *,
    acceptance: float | None,
    chunk_given: bool,
    cache_given: bool,
    stream_interval: int,
    pooled: bool,
) -> list[Note]:
    """Every option of the closed loop, given or default."""
    usual = (
        message("assumptions.common_engine_default")
        if question.prefill_chunk.source is None
        else message("assumptions.chunk_default", engine=question.engine, device=question.device.id)
    )
    out = [
        Note(
            "prefill chunk",
            message("assumptions.tokens", context=options.chunk),
            "given" if chunk_given else usual,
        ),
        Note(
            "stream interval",
            message("assumptions.tokens", context=stream_interval),
            "default" if stream_interval == 1 else "given",
        ),
        *(
            []
            if options.hit_rate
            else [
                Note(
                    "prefix cache",
                    message("assumptions.n_0_of_prompt_is_found"),
                    message("assumptions.no_hits_assumed"),
                )
            ]
        ),
        Note(
            "requests",
            message("assumptions.steady_state")
            if options.requests is None
            else message("assumptions.in_run_all_slots_filled", requests=f"{options.requests:.0f}"),
            "given" if options.requests else message("assumptions.no_number_of_requests_given"),
        ),
        Note(
            "cache",
            message("assumptions.tokens_rank", cache_tokens=f"{options.cache_tokens:,.0f}"),
            "given" if cache_given else message("assumptions.usable_memory_of_plan"),
        ),
    ]
    if options.draft:
        out.append(
            Note(
                "speculation",
                message(
                    "assumptions.tokens_step_of_drafted",
                    accepted=f"{options.accepted:.2f}",
                    draft=options.draft,
                ),
                message(
                    "assumptions.acceptance_token_independent_drafted_token",
                    acceptance=f"{acceptance:g}",
                    draft_layers=options.draft_layers,
                    layers=question.spec.layers,
                ),
            )
        )
    else:
        out.append(Note("speculation", "none", message("assumptions.no_draft_given")))
    if pooled:
        out.append(
            Note(
                "prefill workers",
                message("assumptions.one_prompt_on_every_attention"),
                message("assumptions.busy_pool_lone_prompt_is"),
            )
        )
    if options.overlap:
        out.append(
            Note(
                "two micro-batches",
                message("assumptions.exchange_of_experts_overlaps_kernels"),
                message("assumptions.given_half_batches_longer_of"),
            )
        )
    return out


def scheduler_message(policy: Scheduling) -> Message:
    """Whether prompts share steps with decoding."""
    if policy.exclusive:
        return message("serving.prompts_run_alone")
    return message("serving.prompts_mixed_in")


def host_time_message(policy: Scheduling) -> Message:
    """The host's time of a step, and whether the device hides it."""
    step = f"{policy.host_seconds * 1e6:.0f}"
    sequence = f"{policy.host_seconds_per_sequence * 1e6:.0f}"
    if policy.overlapped:
        return message("serving.host_time_hidden", step=step, sequence=sequence)
    return message("serving.host_time_added", step=step, sequence=sequence)


def prompt_host_message(policy: Scheduling) -> Message:
    """The host's time of a prompt."""
    return message(
        "assumptions.at_least_to_launch_it",
        prompt_floor_seconds=format_seconds(policy.prompt_floor_seconds),
        handling_seconds=format_seconds(policy.handling_seconds),
    )
