"""docs/evidence/offload.md from the published rows and what is predicted for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from evaluation.offload.rows import DECODE, PREFILL, Predicted, Published, predicted, published
from planner.report.columns import plain_width

HEAD = """# Experts in host memory: published speeds beside predictions

Made by `python -m evaluation.offload` from `evaluation/offload/published.csv`, where each row has
its source, its machine and what had to be assumed of it. Nothing was fitted to these rows: they
were predicted with what the profiles and `data/ggml.toml` said before. A host is a CPU of the
catalogue with the row's own cores, clock and memory channels; speeds are tokens/s of one user,
prompts read apart from decoding. The 80 % interval stands in brackets, **bold** where the
published speed lies outside; *host* is the host's share of a decode step.

KTransformers before kt-kernel ran llama.cpp's types in llamafile's kernels, with the dense layers
in four bits on the device: its rows are predicted by llama.cpp's kernels, on all sockets together
and without copying weights to the device for prompts.
"""
READING = """## Reading it

* Decoding is memory: bytes of the experts that a token picks over the host's bandwidth. Published
  systems reach less of their channels than the profiles assume where few cores or several sockets
  share them, and launch the device's kernels layer by layer, which is not counted.
* Users' reports are of machines that nobody tuned; a question why something is slow is a lower end.
* llama.cpp's prompts are bound by the link that weights are copied over. The profile's figure is
  the link's own rate; pages that are not pinned reach about half of it.
"""
NAMES = {DECODE: "Decoding", PREFILL: "Prompts"}


def page() -> str:
    """The whole page."""
    with plain_width():
        rows = [(row, predicted(row)) for row in published()]
    parts = [
        HEAD,
        *(
            _table(metric, [pair for pair in rows if pair[0].metric == metric])
            for metric in (DECODE, PREFILL)
        ),
        _questions(),
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
        f"## {NAMES[metric]}",
        "",
        "| engine | model, format | device + host | tokens | published | predicted | error "
        "| host |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [_line(row, found) for row, found in rows]
    return "\n".join(
        [
            *lines,
            "",
            f"{len(rows)} rows: median error {_median(errors):.0%}, mean factor "
            f"×/÷ {factor:.2f}; {inside} inside the interval.",
            "",
        ]
    )


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


def _questions() -> str:
    """Two of the questions that are asked most, with their answers."""
    import planner

    asked = (("deepseek-v3", "rtx-4090", "epyc-9575f"), ("kimi-k2.5", "l40s", "xeon-6980p"))
    parts = ["## What is planned", ""]
    for model, device, host in asked:
        with plain_width():
            text = str(planner.plan(model, device, host=host))
        parts += [
            "```console",
            f"$ plan {model} {device} --host {host}",
            "```",
            "",
            "```text",
            text.rstrip(),
            "```",
            "",
        ]
    return "\n".join(parts)


def _sources(rows: Iterable[tuple[Published, Predicted]]) -> str:
    lines = ["## Sources", "", "| row | note | source | date |", "|---|---|---|---|"]
    seen: dict[str, None] = {}
    for row, _ in rows:
        line = f"| {row.id} | {row.note} | {row.source} | {row.date} |"
        seen.setdefault(line, None)
    return "\n".join([*lines, *seen, ""])
