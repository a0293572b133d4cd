"""docs/evidence/offload.md from the published rows and what is predicted for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from evaluation.offload.rows import DECODE, PREFILL, Predicted, Published, predicted, published
from evaluation.pages import moved

HEAD = """# Experts in host memory

Published speeds of one user with routed experts in the memory of the host, beside predictions.
Nothing was fitted to these rows; a host is a CPU of the catalogue with the row's own cores, clock
and memory channels. The 80 % interval stands in brackets, **bold** where the published speed lies
outside; *host* is the host's share of a decode step. Early KTransformers rows are predicted with
llama.cpp's kernels. Made by `python -m evaluation.offload` from
`evaluation/offload/published.csv`.
"""
READING = """Decoding is bound by host memory: published systems reach less of their channels than
assumed where few cores or several sockets share them. llama.cpp's prompts are bound by the link:
memory that is not pinned reaches about half of the assumed rate. Users' reports are of machines
that nobody tuned.
"""
NAMES = {DECODE: "Decoding", PREFILL: "Prompts"}


def page() -> str:
    """The whole page."""
    rows = [(row, predicted(row)) for row in published()]
    parts = [
        HEAD,
        *(
            _table(metric, [pair for pair in rows if pair[0].metric == metric])
            for metric in (DECODE, PREFILL)
        ),
        READING,
        _sources(rows),
    ]
    return "\n".join(parts)


def error(row: Published, found: Predicted) -> float:
    """Relative error of a prediction."""
    return found.value / row.value - 1


def _table(metric: str, rows: Sequence[tuple[Published, Predicted]]) -> str:
    errors = sorted(abs(error(*pair)) for pair in rows)
    inside = sum(found.low <= row.value <= found.high for row, found in rows)
    factor = math.exp(
        math.fsum(abs(math.log(found.value / row.value)) for row, found in rows) / len(rows)
    )
    lines = [
        "| engine | model, format | device + host | tokens | published | predicted | error "
        "| host |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [_line(row, found) for row, found in rows]
    said = (
        f"{len(rows)} rows: median error {_median(errors):.0%}, mean factor ×/÷ {factor:.2f}; "
        f"{inside} inside the interval."
    )
    if metric == PREFILL:
        return f"## {NAMES[metric]}\n\n{said}\n{moved('offload-prompts', 'Every row', lines)}\n"
    return "\n".join([f"## {NAMES[metric]}", "", *lines, "", said, ""])


def _line(row: Published, found: Predicted) -> str:
    span = f"{found.value:.3g} [{found.low:.3g}–{found.high:.3g}]"
    if not found.low <= row.value <= found.high:
        span = f"**{span}**"
    host = f"{row.sockets} × {row.id.split('-')[1]}"
    return (
        f"| {row.engine} {row.software} | {row.model}, {row.scheme or 'as released'} | "
        f"{row.device} + {host} | {row.prompt_tokens:,} | {row.value:.3g} | {span} | "
        f"{error(row, found):+.0%} | {found.host_share:.0%} |"
    )


def _median(values: Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _sources(rows: Iterable[tuple[Published, Predicted]]) -> str:
    lines = ["| row | note | source | date |", "|---|---|---|---|"]
    seen: dict[str, None] = {}
    for row, _ in rows:
        line = f"| {row.id} | {row.note} | {row.source} | {row.date} |"
        seen.setdefault(line, None)
    return moved("offload-sources", "Sources of the rows", [*lines, *seen]) + "\n"
