"""Rows of the loop's verifications, and what they add up to: coverage, errors, domination."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

QUANTITIES = ("file_bytes", "decode_seconds", "prefill_seconds", "kl", "flips")
COUNTED = ("decode_seconds", "prefill_seconds", "kl", "flips", "weight_bytes", "cache_tokens")
"""Quantities whose errors are told before and after learning."""
ANSWER, PLAN, THE_ANSWER = "answer", "plan", "the answer"
WEIGHED = ", imatrix"
"""What the names and rounds of files end in that an importance matrix wrote."""
NOISE_SIGMAS = 2.0
NAMES_BYTES = 65_536
"""By how much two files of the same weights may differ: what a file says of itself."""
TIME_NOISE = 0.03
"""Two times that differ by less are not told apart, whatever their spread says."""


@dataclass(frozen=True)
class Figure:
    """One quantity of one thing that was run: predicted with its interval, and measured with its
    spread; None where it is not known."""

    model: str
    engine: str
    round: str
    name: str
    quantity: str
    predicted: float | None
    low: float | None
    high: float | None
    measured: float | None
    spread: float

    @property
    def inside(self) -> bool | None:
        """Whether the measured value is in the interval; None where one of them is missing."""
        if self.measured is None or self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high


def figures(loop: Mapping[str, Any], when: str) -> Iterator[Figure]:
    """The rows of a model's loop as predicted ``before`` or ``after`` learning; what an engine made
    by default is taken from the answer's verification alone, later ones ran it again."""
    for run in loop["runs"]:
        found = run[when]
        ending = WEIGHED if run["round"].endswith(WEIGHED) else ""
        for row in found["rows"]:
            first = run["name"].removesuffix(WEIGHED) == ANSWER
            if row["subject"] != PLAN and not first:
                continue
            name = (
                row["subject"]
                if row["subject"] != PLAN
                else (THE_ANSWER if first else f"plan ≤ {run['limit']}")
            )
            yield Figure(
                loop["model"],
                found["engine"]["name"],
                run["round"],
                name + ending,
                row["quantity"],
                row["predicted"],
                row["low"],
                row["high"],
                row["measured"],
                row["spread"] or 0.0,
            )


def coverage(rows: Iterable[Figure]) -> tuple[int, int]:
    """(inside the interval, rows that have both an interval and a measured value)."""
    told = [row.inside for row in rows if row.inside is not None]
    return sum(told), len(told)


def ratio_error(rows: Iterable[Figure]) -> float | None:
    """The median factor between measured and predicted, at least 1; None without rows."""
    logs = [
        abs(math.log(row.measured / row.predicted))
        for row in rows
        if row.measured and row.predicted and row.measured > 0 and row.predicted > 0
    ]
    return math.exp(median(logs)) if logs else None


def measured(rows: Sequence[Figure], name: str, quantity: str) -> tuple[float, float] | None:
    """(value, spread) of what was run under ``name``; None where it was not measured."""
    return next(
        (
            (row.measured, row.spread)
            for row in rows
            if (row.name, row.quantity) == (name, quantity) and row.measured is not None
        ),
        None,
    )


def beaten_by(rows: Sequence[Figure], plan: str, other: str) -> bool | None:
    """Whether ``other`` is at least as good as ``plan`` in bytes, loss and time per token, and
    better in one of them beyond the noise; None where one of the two was not measured."""
    if _alike(rows, plan, other):
        return False
    worse, better = False, False
    for quantity in ("file_bytes", "kl", "decode_seconds"):
        ours, theirs = measured(rows, plan, quantity), measured(rows, other, quantity)
        if ours is None or theirs is None:
            return None
        noise = _noise(quantity, ours, theirs)
        worse = worse or theirs[0] > ours[0] + noise
        better = better or theirs[0] < ours[0] - noise
    return better and not worse


def unseen(rows: Sequence[Figure]) -> list[Figure]:
    """The rows of plans that are none of the engine's own types under another name: of what is
    learned from those types they are no part. ``rows`` are of one model and round."""
    types = [n for n in names(rows) if not n.startswith((PLAN, THE_ANSWER))]
    plans = [n for n in names(rows) if n.startswith(PLAN)]
    new = {plan for plan in plans if not any(_alike(rows, plan, other) for other in types)}
    return [row for row in rows if row.name in new]


def _alike(rows: Sequence[Figure], plan: str, other: str) -> bool:
    """Whether both are the same weights in the same types: as many bytes but for names, and one
    loss to the last digit. Their times differ by noise alone."""
    sizes = [measured(rows, name, "file_bytes") for name in (plan, other)]
    losses = [measured(rows, name, "kl") for name in (plan, other)]
    return (
        None not in (*sizes, *losses)
        and losses[0] == losses[1]
        and abs(sizes[0][0] - sizes[1][0]) <= NAMES_BYTES
    )  # type: ignore[index]


def _noise(quantity: str, ours: tuple[float, float], theirs: tuple[float, float]) -> float:
    if quantity == "file_bytes":
        return 0.0
    spread = NOISE_SIGMAS * math.hypot(ours[1], theirs[1])
    return max(spread, TIME_NOISE * ours[0]) if quantity == "decode_seconds" else spread


def rivals(types: Sequence[Figure], round_: str) -> list[Figure]:
    """The rows of ``types`` that plans of a round stand beside: written with an importance matrix
    where the plans are."""
    weighed = round_.endswith(WEIGHED)
    return [row for row in types if row.name.endswith(WEIGHED) == weighed]


def names(rows: Sequence[Figure]) -> list[str]:
    """What was run, by measured size from the largest; what has no size last."""
    sizes = {
        row.name: row.measured
        for row in rows
        if row.quantity == "file_bytes" and row.measured is not None
    }
    return sorted(dict.fromkeys(row.name for row in rows), key=lambda name: -sizes.get(name, 0.0))
