"""Measured beside predicted, and what it says of the plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from planner.jobs.core_share import LEAST_SHARE
from planner.lab.verifying.records import (
    BUSY_FACT,
    DEFAULT,
    PLAN,
    QUANTITIES,
    SURE,
    ComparedRow,
    Forecast,
    Reading,
    Trial,
)
from planner.messages.catalogue import NAMES, STRUCTURE
from planner.messages.message import Message, message

Values = Mapping[str, Mapping[str, Reading]]
Predictions = Mapping[str, Mapping[str, Forecast]]
NO_FACTS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
LINKED = f"{STRUCTURE}linked"
COSTS = (("file_bytes", "bytes"), ("decode_seconds", "time"), ("kl", "loss"))
SAME_TIME, SAME_BYTES = 0.03, 0.002
"""Relative differences that count as none: repeats of a time, headers of a file."""


def compared_rows(
    subjects: Sequence[Trial],
    values: Values,
    predictions: Predictions,
    facts: Mapping[str, Mapping[str, Any]] = NO_FACTS,
) -> tuple[ComparedRow, ...]:
    """One row a subject and quantity that was measured or predicted, in the order of both;
    ``facts`` of the subjects' steps say which timings had not their cores."""
    rows = []
    for subject in subjects:
        readings, forecasts = values.get(subject.id, {}), predictions.get(subject.id, {})
        for quantity, unit in QUANTITIES.items():
            reading, forecast = readings.get(quantity), forecasts.get(quantity)
            if reading is None and forecast is None:
                continue
            measured, spread = (None, 0.0) if reading is None else (reading.value, reading.spread)
            if forecast is None:
                row = ComparedRow(
                    subject.id, quantity, unit, None, None, None, "", measured, spread
                )
            else:
                row = ComparedRow(
                    subject.id,
                    quantity,
                    unit,
                    forecast.value,
                    forecast.low,
                    forecast.high,
                    forecast.basis,
                    measured,
                    spread,
                )
            lost = facts.get(subject.id, {}).get(BUSY_FACT.get(quantity, ""), 0.0)
            rows.append(replace(row, disturbed=1.0 - lost < LEAST_SHARE))
    return tuple(rows)


def verdict(subjects: Sequence[Trial], values: Values, *, is_finished: bool = False) -> str:
    """Whether the engine's default, or another file, is at least as good as the plan in bytes, time
    and loss together; else what the plan gains and loses against the default."""
    mine = values.get(PLAN, {})
    if is_finished and "kl" not in mine:
        return message("verbs.finished_file")
    if any(name not in mine for name, _ in COSTS):
        return message("verbs.no_verdict")
    others = [
        s
        for s in subjects
        if s.id != PLAN and all(name in values.get(s.id, {}) for name, _ in COSTS)
    ]
    better = [s.id for s in others if _dominates(values[s.id], mine)]
    default = next((s for s in others if s.role == DEFAULT), None)
    if better:
        name = better[0]
        return message(
            "verbs.dominated",
            names=message(LINKED, parts=tuple(better)),
            name=name,
            figures=_against(values[name], mine),
        )
    if not others:
        return message("verbs.nothing_beside")
    named = message(NAMES, parts=tuple(s.id for s in others))
    if default is None:
        return message("verbs.not_dominated", names=named)
    return message(
        "verbs.not_dominated_and",
        names=named,
        name=default.id,
        figures=_against(mine, values[default.id]),
    )


def _dominates(readings: Mapping[str, Reading], mine: Mapping[str, Reading]) -> bool:
    """At least as good in all three, and better in one, by more than the spread can make."""
    signs = [_sign(name, readings[name], mine[name]) for name, _ in COSTS]
    return all(s <= 0 for s in signs) and any(s < 0 for s in signs)


def _sign(name: str, reading: Reading, other: Reading) -> int:
    """-1: ``reading`` is lower, 1: higher, 0: they cannot be told apart."""
    gap = reading.value - other.value
    room = SURE * math.hypot(reading.spread, other.spread)
    if name != "kl":
        share = SAME_TIME if name.endswith("seconds") else SAME_BYTES
        room = max(room, share * max(reading.value, other.value))
    return 0 if abs(gap) <= room else (1 if gap > 0 else -1)


def _against(readings: Mapping[str, Reading], other: Mapping[str, Reading]) -> Message:
    """``12 % fewer bytes, as much decode time and 2.1 × the loss``."""
    words = []
    for name, word in COSTS:
        sign = _sign(name, readings[name], other[name])
        ratio = readings[name].value / max(other[name].value, 1e-12)
        if sign == 0:
            words.append(message(f"verbs.as_much_{word}"))
        elif ratio >= 2 or (ratio <= 0.5 and name == "kl"):
            words.append(message(f"verbs.times_{word}", ratio=f"{ratio:.2g}"))
        else:
            more = "more" if sign > 0 else "less"
            words.append(message(f"verbs.{more}_{word}", share=f"{abs(ratio - 1):.1%}"))
    return message(NAMES, parts=tuple(words))
