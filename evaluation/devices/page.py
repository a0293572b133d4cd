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
from evaluation.pages import moved, narrow

_HEAD = """# Devices that nobody fitted

Published speeds of llama.cpp on devices without measurements of ours, one user, beside
predictions. Times rest on spec sheets and on the efficiency of other devices of the class; nothing
was fitted to these rows. The 80 % interval stands in brackets, **bold** where the published speed
lies outside. Made by `python -m evaluation.devices` from `evaluation/devices/published.csv`.
"""
_TITLES = {DECODE: "Decoding", PROMPT: "Prompts"}


def device_page() -> str:
    """The page's text."""
    found = [(row, predicted_speed(row)) for row in device_rows()]
    parts = [_HEAD]
    for metric, title in _TITLES.items():
        mine = [pair for pair in found if pair[0].metric == metric]
        said = "Notes and sources" if metric == DECODE else "Every row"
        every = moved(f"devices-{title.lower()}", said, _table(mine))
        shown = [narrow(_table(mine), range(6)), ""] if metric == DECODE else []
        parts += [f"## {title}\n", *shown, _sum(mine), every, ""]
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
