"""``plan explain`` as text: one sentence a module, the split by scheme, and the crossovers."""

from __future__ import annotations

from collections.abc import Sequence

from planner.planning.explain.module_time import ModuleExplanation, ModuleSplit, Split
from planner.report.columns import table_lines
from planner.report.columns import wrapped as _wrap

COLUMNS = (
    "scheme",
    "total",
    "busy",
    "compute",
    "memory",
    "convert",
    "quant",
    "floor",
    "comm",
    "bound",
    "basis",
)
TEXT_COLUMNS = (0, 9, 10)
MOST = 12
"""Crossovers printed for a module; --json has all."""


def explain_text(explanation: ModuleExplanation) -> str:
    """The whole answer; ends with a newline."""
    head = (
        f"{explanation.module} of {explanation.model} on {explanation.device}, "
        f"tp{explanation.tp} dp{explanation.dp} "
        f"ep{explanation.ep}; microseconds of one layer (busy = compute, memory and conversion "
        "overlapped; quant: to quantise activations; total = busy + quant + floor + "
        "communication); basis: f fitted, t transferred, p prior"
    )
    parts = ["\n".join(_wrap(head))]
    parts += [_module(explanation, m) for m in explanation.modules]
    if explanation.refused:
        parts.append(
            "not possible on this device\n"
            + "\n".join(
                line
                for scheme, why in explanation.refused
                for line in _wrap(f"  {scheme}: {why}", "    ")
            )
        )
    return "\n\n".join(parts) + "\n"


def explain_assumptions(explanation: ModuleExplanation) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for item in explanation.assumptions:
        lines += _wrap(f"  {item.key}: {item.value} — {item.reason}", "    ")
    return "\n".join(lines) + "\n"


def _module(explanation: ModuleExplanation, module: ModuleSplit) -> str:
    where = f"{module.unit}, layers {module.layers}" if module.layers else module.unit
    if module.shapes:
        where += f" ({'; '.join(module.shapes)} outputs × inputs)"
    blocks = ["\n".join([*_wrap(where), *_wrap(module.sentence)])]
    blocks.append(
        f"decode, {module.tokens:,} tokens a rank\n"
        + _splits([(s.scheme, s.decode, s.basis) for s in module.schemes])
    )
    by_prompt = sorted(module.schemes, key=lambda s: (s.prefill.total_seconds, s.scheme))
    blocks.append(
        f"prefill, a prompt of {explanation.isl:,} tokens\n"
        + _splits([(s.scheme, s.prefill, s.basis) for s in by_prompt])
    )
    blocks.append(
        "total by tokens a rank\n"
        + _aligned(
            [
                ("scheme", *(f"{t:,}" for t in explanation.tokens)),
                *((s.scheme, *(_us(t) for t in s.at_tokens_seconds)) for s in module.schemes),
            ],
            (0,),
        )
    )
    if len(module.schemes) > 1:
        blocks.append(_crossovers(explanation, module))
    return "\n\n".join(blocks)


def _splits(rows: Sequence[tuple[str, Split, str]]) -> str:
    return _aligned(
        [
            COLUMNS,
            *(
                (
                    name,
                    _us(s.total_seconds),
                    _us(s.busy_seconds),
                    _us(s.compute_seconds),
                    _us(s.memory_seconds),
                    _us(s.conversion_seconds),
                    _us(s.quantise_seconds),
                    _us(s.launch_seconds),
                    _us(s.communication_seconds),
                    s.bound,
                    basis[0],
                )
                for name, s, basis in rows
            ),
        ],
        TEXT_COLUMNS,
    )


def _crossovers(explanation: ModuleExplanation, module: ModuleSplit) -> str:
    """Those with the reference or the fastest first; the others are counted."""
    ends = {explanation.reference, module.schemes[0].scheme}
    crossovers = [c for c in module.crossovers if ends & {c.faster, c.slower}]
    if not module.crossovers:
        return "the order of no two schemes changes with the number of tokens"
    lines = [
        part
        for c in crossovers[:MOST]
        for part in _wrap(f"  from {c.tokens:,} tokens: {c.faster} before {c.slower}", "    ")
    ]
    left = len(module.crossovers) - len(crossovers[:MOST])
    if left:
        lines += _wrap(
            f"  and {left} more between other schemes or further on (--json lists them)", "    "
        )
    return "where the order changes\n" + "\n".join(lines)


def _us(seconds: float) -> str:
    value = seconds * 1e6
    return "-" if value == 0 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _aligned(rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    return "\n".join(table_lines(rows, left=left))
