"""The page docs/evidence/devices.md."""

from __future__ import annotations

from evaluation.devices.rows import (
    DECODE,
    PROMPT,
    DeviceRow,
    DeviceSpeed,
    device_rows,
    mean_factor,
    median_error,
    predicted_speed,
)

_HEAD = """# Devices that nobody fitted: published speeds beside predictions

Made by `python -m evaluation.devices` from `evaluation/devices/published.csv`, where each row has
its source. Nothing was fitted to these rows: times are those of spec sheets and of achieved
fractions that come from classes, by llama.cpp's kernels as counted ([how](../guide/ggml.md)). That
its experts run on the kernels of dense products was read in its source after a first run of this
page, whose mixtures were a third too slow. One user; the 80 % interval stands in brackets, **bold**
where the published speed lies outside.
"""
_TITLES = {DECODE: "Decoding", PROMPT: "Prompts"}


def device_page() -> str:
    """The page's text."""
    found = [(row, predicted_speed(row)) for row in device_rows()]
    parts = [_HEAD]
    for metric, title in _TITLES.items():
        mine = [pair for pair in found if pair[0].metric == metric]
        parts += [f"## {title}\n", *_table(mine), "", _sum(mine), ""]
    return "\n".join(parts).rstrip() + "\n"


def _table(found: list[tuple[DeviceRow, DeviceSpeed]]) -> list[str]:
    lines = [
        "| device | model, format | tokens | published | predicted | error | note, source |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row, made in found:
        figure = f"{made.value:,.3g} [{made.low:,.3g}–{made.high:,.3g}]"
        figure = figure if made.holds(row.value) else f"**{figure}**"
        tokens = row.prompt_tokens if row.metric == PROMPT else row.output_tokens
        told = "; ".join(filter(None, (row.note, f"{row.source}, {row.date}")))
        lines.append(
            f"| {row.device} | {row.model}, {row.scheme or 'as released'} | {tokens:,} | "
            f"{row.value:,.4g} | {figure} | {made.value / row.value - 1:+.0%} | {told} |"
        )
    return lines


def _sum(found: list[tuple[DeviceRow, DeviceSpeed]]) -> str:
    pairs = [(made.value, row.value) for row, made in found]
    inside = sum(made.holds(row.value) for row, made in found)
    return (
        f"{len(pairs)} rows: median error {median_error(pairs):.0%}, mean factor ×/÷ "
        f"{mean_factor(pairs):.2f}; {inside} inside the interval."
    )
