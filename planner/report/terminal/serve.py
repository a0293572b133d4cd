"""``plan serve`` as text: the operating point, pools, and throughput against interactivity."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.units import format_bytes, format_rate, format_seconds
from planner.planning.plan.record import Estimate
from planner.planning.serving.deployment import ServedPoint, ServingAnswer
from planner.report.terminal.columns import table_lines
from planner.report.terminal.columns import wrapped as _wrap

COLUMNS = ("requests", "tok/s/device", "tok/s/user", "TPOT", "TTFT", "batch", "prompts", "")


def serve_text(answer: ServingAnswer) -> str:
    """The whole answer; ends with a newline."""
    la = answer.layout
    shape = " ".join(
        f"{name}{value}"
        for name, value in (("tp", la.tp), ("dp", la.dp), ("pp", la.pp), ("ep", la.ep))
        if value > 1
    )
    what = "worker" if answer.pools else "replica"
    copies = f"{la.replicas} {what}s" if la.replicas > 1 else ""
    head = (
        f"{answer.model} on {answer.devices} × {answer.device}"
        + (f" ({', '.join(filter(None, (shape, copies)))})" if shape or copies else "")
        + f", {answer.scheme}, caches {answer.kv}, engine {answer.engine}; prompts of "
        f"{answer.isl:,} and answers of {answer.osl:,} tokens"
    )
    blocks = ["\n".join(_wrap(head))]
    if answer.point is not None:
        blocks.append(
            "\n".join(part for line in _point(answer, answer.point) for part in _wrap(line, "  "))
        )
    for anchor in answer.anchors:
        blocks.append(
            "\n".join(
                _wrap(
                    f"anchor: {anchor.quantity} {anchor.predicted:.4g} predicted / "
                    f"{anchor.measured:.4g} "
                    f"measured = {anchor.ratio:.3f}; reported, never folded in"
                )
            )
        )
    if answer.frontier:
        blocks.append(
            "\n".join(
                [
                    *_wrap("throughput against interactivity (* not beaten in both)"),
                    _table(answer.frontier),
                ]
            )
        )
    return "\n\n".join(blocks) + "\n"


def serve_assumptions(answer: ServingAnswer) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for item in answer.assumptions:
        lines += _wrap(f"  {item.key}: {item.value} — {item.reason}", "    ")
    return "\n".join(lines) + "\n"


def _point(answer: ServingAnswer, point: ServedPoint) -> list[str]:
    assert answer.tpot_seconds is not None
    assert answer.ttft_seconds is not None
    where = "worker" if answer.pools else "replica"
    lines = [
        f"{point.concurrency:,g} requests in flight: {format_rate(point.output_tokens_per_second)} "
        f"tokens/s, {format_rate(point.output_tokens_per_second_per_device)} a device, "
        f"{format_rate(point.output_tokens_per_second_per_user)} a user",
        f"TPOT {_span(answer.tpot_seconds)}, TTFT {_span(answer.ttft_seconds)}, a request "
        f"{format_seconds(point.request_seconds)}",
        f"{point.active_sequences:.1f} sequences decode in a {where}; prompts take "
        f"{point.prompt_share:.0%} of TPOT, the host {point.host_share:.0%}; prompts are read "
        f"{point.prefill_utilisation:.0%} of the time"
        + ("; the cache is full, the others wait" if point.cache_full else ""),
    ]
    if answer.pools is not None:
        p = answer.pools
        lines.append(
            f"pools {p.prefill_workers}:{p.decode_workers} (prefill:decode), limited by {p.limit}; "
            f"prefill {p.prefill_utilisation:.0%} busy, decode {p.decode_utilisation:.0%}; "
            f"balanced at {p.balanced_ratio:.3g} prefill workers a decode worker; a prompt's cache "
            f"({format_bytes(p.transfer_bytes)}) moves in {format_seconds(p.transfer_seconds)}"
        )
    return lines


def _span(value: Estimate) -> str:
    return (
        f"{format_seconds(value.value)} ({format_seconds(value.low)}–"
        f"{format_seconds(value.high)}, {value.basis})"
    )


def _table(points: Sequence[ServedPoint]) -> str:
    rows = [
        COLUMNS,
        *(
            (
                f"{p.concurrency:,.0f}",
                format_rate(p.output_tokens_per_second_per_device),
                format_rate(p.output_tokens_per_second_per_user),
                format_seconds(p.tpot_seconds),
                format_seconds(p.ttft_seconds),
                f"{p.active_sequences:.1f}",
                f"{p.prompt_share:.0%}",
                ("*" if p.pareto else "") + (" full" if p.cache_full else ""),
            )
            for p in points
        ),
    ]
    return "\n".join(table_lines(rows, left=(len(COLUMNS) - 1,)))
