"""What a served deployment takes for granted, a line each."""

from __future__ import annotations

from planner.planning.plan.record import Assumption, written
from planner.planning.question.question import Question
from planner.planning.serving.deployment import Options
from planner.throughput.calibration import ANY_ENGINE


def serving_notes(question: Question, *, candidates: int | None) -> list[Assumption]:
    """Workload, layout and kernels; ``candidates`` that were searched for the layout, None where
    it was given."""
    work = question.workload
    out = [written(note) for note in question.notes]
    if work.assumed:
        out.append(Assumption("workload", work.assumed, "not given"))
    if candidates is not None:
        out.append(
            Assumption(
                "layout", "searched", f"most tokens/s a device of {candidates} layouts and batches"
            )
        )
    if question.engine == ANY_ENGINE:
        out.append(
            Assumption(
                "kernels",
                "first measured stack",
                "TensorRT-LLM, vLLM, SGLang in this order, as no engine is given",
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
) -> list[Assumption]:
    """Every option of the closed loop, given or default."""
    usual = (
        "common engine default"
        if question.prefill_chunk.source is None
        else f"default of {question.engine} on {question.device.id}"
    )
    out = [
        Assumption("prefill chunk", f"{options.chunk} tokens", "given" if chunk_given else usual),
        Assumption(
            "stream interval",
            f"{stream_interval} tokens",
            "default" if stream_interval == 1 else "given",
        ),
        *(
            []
            if options.hit_rate
            else [Assumption("prefix cache", "0% of a prompt is found", "no hits assumed")]
        ),
        Assumption(
            "requests",
            "steady state"
            if options.requests is None
            else f"{options.requests:.0f} in the run, all slots filled at once",
            "given" if options.requests else "no number of requests given",
        ),
        Assumption(
            "cache",
            f"{options.cache_tokens:,.0f} tokens a rank",
            "given" if cache_given else "usable memory of the plan",
        ),
    ]
    if options.draft:
        out.append(
            Assumption(
                "speculation",
                f"{options.accepted:.2f} tokens a step of {options.draft} drafted",
                f"acceptance {acceptance:g} a token, independent; a drafted token costs "
                f"{options.draft_layers} of {question.spec.layers} layers",
            )
        )
    else:
        out.append(Assumption("speculation", "none", "no draft given"))
    if pooled:
        out.append(
            Assumption(
                "prefill workers",
                "one prompt on every attention rank at a time",
                "a busy pool; a lone prompt is read faster where dp > 1",
            )
        )
    if options.overlap:
        out.append(
            Assumption(
                "two micro-batches",
                "exchange of experts overlaps kernels",
                "given; half batches, the longer of both counts",
            )
        )
    return out
