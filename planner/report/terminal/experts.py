"""The answer of ``experts`` for a terminal of 80 columns."""

from __future__ import annotations

from planner.base.units import format_bytes, format_seconds
from planner.placement.tiers import Residency
from planner.planning.serving.experts import ExpertUse, FetchTimes
from planner.planning.serving.offloaded import OffloadedStep
from planner.report.terminal.columns import wrapped as _wrapped


def experts_text(answer: ExpertUse) -> str:
    """Distinct experts, ranks, residency and times; ends with a newline."""
    touch = "token touches" if answer.batch == 1 else "tokens touch"
    lines = [
        f"{answer.model}: {answer.per_token} of {answer.count} experts a token in "
        f"{answer.layers} layers, {format_bytes(answer.expert_bytes)} each; always on "
        f"{format_bytes(answer.always_on_bytes)}",
        f"{answer.batch} {touch} {answer.distinct:.1f} experts a layer "
        f"({answer.popularity}; uniform and independent {answer.distinct_uniform:.1f})"
        + (
            f", as {answer.effective_batch:.1f} independent tokens would"
            if answer.effective_batch is not None
            else ""
        ),
        *_ranks(answer),
    ]
    if answer.residency is not None and answer.room_bytes is not None:
        lines += _residency(answer.residency, answer.room_bytes)
    if answer.times is not None:
        lines += _times(answer.times)
    if answer.offloaded is not None:
        lines.append(_offloaded(answer.offloaded))
    wrapped = [part for line in lines for part in _wrapped(line)]
    return "\n".join(wrapped) + "\n"


def experts_assumptions(answer: ExpertUse) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for key, value, reason in answer.assumptions:
        lines += _wrapped(f"  {key}: {value} — {reason}", "    ")
    return "\n".join(lines) + "\n"


def _ranks(answer: ExpertUse) -> list[str]:
    spread = answer.ranks
    if spread.ranks == 1:
        return []
    text = (
        f"{spread.ranks} ranks hold {spread.held} experts each and touch at most "
        f"{spread.distinct:.1f}; the fullest rank has {spread.straggler:.2f} × the mean load"
    )
    if spread.straggler_without_redundancy is not None:
        text += (
            f" ({spread.straggler_without_redundancy:.2f} × without the {spread.redundant} "
            "redundant experts)"
        )
    return [text]


def _residency(residency: Residency, room: int) -> list[str]:
    return [
        f"{format_bytes(room)} a device for experts: {residency.device.experts:,} of "
        f"{residency.experts:,} stay, {residency.host.experts:,} in host memory, "
        f"{residency.drive.experts:,} on the drive",
        f"hit rate {residency.hit_rate:.1%} of touched experts, "
        f"{residency.pick_hit_rate:.1%} of picks; "
        f"a step fetches {format_bytes(residency.host_bytes_per_step)} from the host, "
        f"{format_bytes(residency.drive_bytes_per_step)} from the drive",
    ]


def _offloaded(step: OffloadedStep) -> str:
    layer = step.layer
    return (
        f"experts on {step.sockets} × {step.cpu} ({step.scheme} on {layer.unit}, bound by "
        f"{layer.bound}): a step of {step.context} cached tokens takes "
        f"{format_seconds(step.seconds)}: {format_seconds(step.expert_seconds)} of experts "
        f"({format_seconds(step.layers * layer.transfer)} of it on the link), "
        f"{format_seconds(step.gpu_seconds)} on the GPU"
    )


def _times(times: FetchTimes) -> list[str]:
    return [
        f"fetching takes {format_seconds(times.step.seconds)} a step ({times.host.id}); one "
        f"expert {format_seconds(times.expert_seconds)} from the host, "
        f"{format_seconds(times.expert_from_drive_seconds)} from the drive",
        f"loading the whole model from one drive takes {format_seconds(times.checkpoint_seconds)}",
    ]
