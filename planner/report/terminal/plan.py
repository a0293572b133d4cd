"""The plan on a terminal: 80 columns, the answer in the first three lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.planning.answer.layouts import conventional_optimum
from planner.planning.plan.record import Plan
from planner.report.terminal.choices import (
    next_step_lines,
    other_lines,
    verdict_lines,
)
from planner.report.terminal.columns import columns, printable, styled, width_of_output, wrapped
from planner.report.terminal.headline import (
    LOSS_LINE,
    concurrent_requests,
    headline,
    reasoning_lines,
    request_capacity,
)
from planner.report.terminal.module_table import module_lines
from planner.report.terminal.plan_lines import anchor_lines, offload_lines
from planner.report.terminal.serve_lines import serve_lines
from planner.report.terminal.shown_plans import MOST_OTHERS

if TYPE_CHECKING:
    from io import StringIO

    from rich.console import Console


MOST_LINES, FEWEST_OTHERS = 40, 3
"""Lines that an answer should not exceed: other plans make room as far as FEWEST_OTHERS, then what
stands beside them is told in brief."""


def console(stream: StringIO) -> Console:
    """A rich console that writes to ``stream``; colour only where stdout is a terminal."""
    from rich.console import Console

    terminal = styled()
    return Console(
        file=stream,
        width=width_of_output(),
        force_terminal=terminal,
        no_color=not terminal,
        highlight=False,
        soft_wrap=False,
    )


def plan_text(plan: Plan) -> str:
    """The whole answer: first lines, verdict, table, other plans, the command that serves it; ends
    with a newline. Plain strings: this is the command that must start fast, and its columns are
    ids and numbers."""
    first = [_bold(printable(part)) for part in first_lines(plan)]
    for most, brief in (
        *((n, False) for n in range(MOST_OTHERS, FEWEST_OTHERS - 1, -1)),
        (FEWEST_OTHERS, True),
        (FEWEST_OTHERS - 1, True),
    ):
        parts = [
            verdict_lines(plan),
            module_lines(plan) + footer(plan),
            other_lines(plan, most) + next_step_lines(plan, brief=brief),
            serve_lines(plan),
        ]
        lines = [*first, *(line for part in parts if part for line in ("", *map(printable, part)))]
        if len(lines) <= MOST_LINES:
            break
    return "\n".join(lines) + "\n"


def first_lines(plan: Plan) -> list[str]:
    """The headline, the loss with its anchor on the same line where both fit, else below it and
    its warning."""
    lines, warned = headline(plan), len(reasoning_lines(plan))
    anchored, at = anchor_lines(plan), LOSS_LINE + 1 + warned
    if (
        len(anchored) == 1
        and not warned
        and columns(both := f"{lines[LOSS_LINE]}; {anchored[0]}") <= width_of_output()
    ):
        lines[LOSS_LINE], anchored = both, []
    return [
        part
        for group in (lines[:at], anchored, lines[at:])
        for line in group
        for part in ([line] if group is anchored else wrapped(line))
    ]


def _bold(line: str) -> str:
    return f"\x1b[1m{line}\x1b[0m" if styled() else line


def footer(plan: Plan) -> list[str]:
    """Under the table: how far such predictions were off, prefixes, the cache, the proof."""
    text = f"cache {plan.kv_cache.bytes_per_token:,} B a token, {_room(plan)}"
    return [
        part
        for line in (
            *offload_lines(plan),
            *_checked(plan),
            *_prefixes(plan),
            f"{text}; {_proof(plan)}",
        )
        for part in wrapped(line)
    ]


def _prefixes(plan: Plan) -> list[str]:
    """What the plan says of prefixes, where it was asked."""
    if plan.prefix_cache is None:
        return []
    from planner.report.terminal.plan_lines import prefix_lines

    return prefix_lines(plan.prefix_cache)


def _room(plan: Plan) -> str:
    """For how many requests there is room, or how long the context of one user may be."""
    if concurrent_requests(plan) == 1:
        return f"context up to {plan.capacity.max_context_at_batch:,}"
    if plan.capacity.max_concurrency_at_requests is not None:
        return f"room for {request_capacity(plan):,} requests"
    return f"room for {request_capacity(plan):,} × {plan.workload.context_tokens:,} tokens"


PUBLISHED = "as in the published recipe; no measured deployment of this kind"


def _checked(plan: Plan) -> list[str]:
    """How far predictions were off for measured deployments of this kind, or of which kind."""
    perf = plan.performance
    each, first = perf.tpot_seconds.evidence, perf.ttft_seconds.evidence
    if each is None:
        return []
    if each.median_ape is None:
        return [f"{each.kind}: interval widened"] if each.level != "recipe" else [PUBLISHED]
    off = f"TPOT {each.median_ape:.0f} % off"
    if first is not None and first.median_ape is not None:
        off += f", TTFT {first.median_ape:.0f} % off"
    if each.level == "measured":
        return [f"measured: {each.n} deployments of this kind, {off}"]
    return [f"{each.level}: {each.n} deployments ({each.kind}), {off}"]


def _proof(plan: Plan) -> str:
    solver = plan.solver
    if solver.status == "given":
        return "priced, not chosen"
    gap = f"{solver.gap:.1%}" if solver.gap >= 1e-3 else f"{solver.gap:.2%}"
    how = "proved" if solver.proved else f"within {gap} of its bound"
    scope = f" of {plan.engine.name}'s conventional layouts" if conventional_optimum(plan) else ""
    return f"optimum{scope} {how} ({solver.candidates:,} candidates)"
