"""The columns of a sweep's table, and the table while it is filled.

Numbers are rounded to ten significant digits, so that the last bits of a machine's arithmetic do
not show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from planner.jobs.journal import is_number
from planner.planning.question.declaring import NO_LIMIT
from planner.planning.question.parameters import LIMITS_ON_TIME, SAID_BY_SWEEPS
from planner.sweeping.record import PRICE_KEY, SweepQuestion

Kind = Literal["whole", "number", "text", "truth"]
ASKED: tuple[tuple[str, Kind], ...] = (
    ("question", "whole"),
    ("key", "text"),
    ("verb", "text"),
    ("model", "text"),
    ("device", "text"),
    ("service", "text"),
    ("scheme", "text"),
    ("schemes", "text"),
    ("kv", "text"),
    ("engine", "text"),
    ("objective", "text"),
    ("scenario", "text"),
    ("profile", "text"),
    ("untie", "truth"),
    ("drop_policies", "text"),
    ("exact", "truth"),
    ("max_loss", "text"),
    ("memory_bytes", "whole"),
    ("ttft_limit_seconds", "number"),
    ("tpot_limit_seconds", "number"),
    ("asked_devices", "whole"),
    ("asked_tp", "whole"),
    ("asked_dp", "whole"),
    ("asked_pp", "whole"),
    ("asked_ep", "whole"),
    ("asked_context", "whole"),
    ("asked_isl", "whole"),
    ("asked_osl", "whole"),
    ("asked_batch", "whole"),
    ("workload", "text"),
    ("prefix_hit_rate", "number"),
    ("slots", "text"),
)
"""What was asked; empty where it was left open."""
ANSWER: tuple[tuple[str, Kind], ...] = (
    ("status", "text"),
    ("limit", "text"),
    ("reason", "text"),
    ("served_by", "text"),
    ("devices", "whole"),
    ("replicas", "whole"),
    ("tp", "whole"),
    ("dp", "whole"),
    ("pp", "whole"),
    ("ep", "whole"),
    ("context_tokens", "whole"),
    ("isl", "whole"),
    ("osl", "whole"),
    ("batch", "whole"),
    ("tpot_seconds", "number"),
    ("tpot_seconds_low", "number"),
    ("tpot_seconds_high", "number"),
    ("tpot_basis", "text"),
    ("ttft_seconds", "number"),
    ("ttft_seconds_low", "number"),
    ("ttft_seconds_high", "number"),
    ("ttft_basis", "text"),
    ("output_tokens_per_second", "number"),
    ("output_tokens_per_second_per_device", "number"),
    ("usd_per_million_output_tokens", "number"),
    ("usd_per_million_output_tokens_low", "number"),
    ("usd_per_million_output_tokens_high", "number"),
    ("joules_per_output_token", "number"),
    ("joules_per_output_token_low", "number"),
    ("joules_per_output_token_high", "number"),
    ("weights_bytes", "whole"),
    ("kv_cache_bytes", "whole"),
    ("activation_bytes", "whole"),
    ("runtime_bytes", "whole"),
    ("total_bytes", "whole"),
    ("usable_bytes", "whole"),
    ("loss", "number"),
    ("loss_low", "number"),
    ("loss_high", "number"),
    ("loss_unit", "text"),
    ("assignment", "text"),
    ("gap", "number"),
    ("layout", "text"),
    ("output_tokens_per_second_low", "number"),
    ("output_tokens_per_second_high", "number"),
    ("output_tokens_per_second_per_device_low", "number"),
    ("output_tokens_per_second_per_device_high", "number"),
    ("verdict", "text"),
    ("formats", "text"),
    ("cache", "text"),
    ("needs_new_weights", "truth"),
    ("checkpoint", "text"),
)
FIGURES = (
    "devices",
    "batch",
    "tpot_seconds",
    "output_tokens_per_second",
    "output_tokens_per_second_per_device",
    "total_bytes",
)
"""What every plan has, and every table of plans shows."""


def _limit_column(name: str) -> str:
    """The column of a limit on time."""
    return name.replace("_seconds", "_limit_seconds")


PRICE: tuple[str, Kind] = ("usd_per_device_hour", "number")
"""The price that a row was asked with; the last column, as columns are added at the end."""
LATER: tuple[tuple[str, Kind], ...] = (
    *(
        (column, "number")
        for name in LIMITS_ON_TIME
        if (column := _limit_column(name)) not in dict(ASKED)
    ),
    ("asked_concurrency", "whole"),
)
"""What may be asked since the first tables."""
COLUMNS = (*ASKED, *ANSWER, PRICE, *LATER)
KINDS: dict[str, Kind] = dict(COLUMNS)
_RENAMED = {
    **{name: _limit_column(name) for name in LIMITS_ON_TIME},
    **{name: f"asked_{name}" for name in SAID_BY_SWEEPS if name != "memory_bytes"},
}
_ANSWERED = frozenset(name for name, _ in ANSWER)
_FITS: dict[Kind, Callable[[object], bool]] = {
    "whole": lambda value: isinstance(value, int) and is_number(value) and value >= 0,
    "number": is_number,
    "text": lambda value: isinstance(value, str),
    "truth": lambda value: isinstance(value, bool),
}
Rows = Mapping[str, Sequence[Any]]
"""Answers by column, one value (None: empty) a row; a column that is empty throughout is absent."""


def ten(value: float | None) -> float | None:
    """Ten significant digits; None for what is no number."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.9e}")


class SweepTable:
    """All answers of a sweep, by position; memory is what the columns need."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._numbers = {name: np.full(count, np.nan) for name, kind in ANSWER if kind == "number"}
        self._wholes = {
            name: np.full(count, -1, np.int64) for name, kind in ANSWER if kind == "whole"
        }
        self._texts: dict[str, list[str | None]] = {
            name: [None] * count for name, kind in ANSWER if kind == "text"
        }
        self._truths: dict[str, list[bool | None]] = {
            name: [None] * count for name, kind in ANSWER if kind == "truth"
        }
        self._known: dict[str, str] = {}

    def put(self, places: Sequence[int], rows: Rows) -> None:
        """Answers of the questions at ``places``."""
        at = np.asarray(places, dtype=np.int64)
        for name, values in rows.items():
            kind = KINDS[name]
            if kind == "number":
                self._numbers[name][at] = [np.nan if v is None else v for v in values]
            elif kind == "whole":
                self._wholes[name][at] = [-1 if v is None else v for v in values]
            elif kind == "truth":
                for place, value in zip(places, values, strict=True):
                    self._truths[name][place] = value
            else:
                column = self._texts[name]
                for place, value in zip(places, values, strict=True):
                    column[place] = None if value is None else self._known.setdefault(value, value)

    def column(self, name: str) -> list[Any]:
        """Values of an answer's column, None where empty."""
        kind = KINDS[name]
        if kind == "number":
            return [None if v != v else v for v in self._numbers[name].tolist()]
        if kind == "whole":
            return [None if v < 0 else v for v in self._wholes[name].tolist()]
        return list((self._truths if kind == "truth" else self._texts)[name])


def fit_rows(rows: object, count: int) -> bool:
    """Whether ``rows`` are answers to ``count`` questions: a status for each, values of their
    columns' kinds, and the figures of every plan."""
    if not isinstance(rows, dict) or not all(
        name in _ANSWERED
        and isinstance(values, list)
        and len(values) == count
        and all(value is None or _FITS[KINDS[name]](value) for value in values)
        for name, values in rows.items()
    ):
        return False
    return "status" in rows and complete(rows)


def complete(rows: Rows) -> bool:
    """Whether every row has a status, and every plan its figures."""
    nothing = [None] * len(rows["status"])
    return None not in rows["status"] and not any(
        status == "ok" and value is None
        for name in FIGURES
        for status, value in zip(rows["status"], rows.get(name, nothing), strict=True)
    )


def question_columns(
    asks: Sequence[SweepQuestion], ids: Sequence[tuple[str, str]], prices: Sequence[float | None]
) -> dict[str, list[Any]]:
    """The columns of what is asked, and the price. ``ids`` are those of each question's model and
    device, ``prices`` USD a device-hour, None where none is known."""
    out: dict[str, list[Any]] = {name: [None] * len(asks) for name, _ in (*ASKED, *LATER)}
    out[PRICE[0]] = [ten(price) for price in prices]
    for n, question in enumerate(asks):
        out["question"][n], out["key"][n], out["verb"][n] = n + 1, question.key, question.verb
        out["service"][n] = question.service or None
        out["model"][n], out["device"][n] = ids[n]
        for key, value in question.values:
            if key != PRICE_KEY:
                out[_RENAMED.get(key, key)][n] = cell_value(key, value)
    return out


def cell_value(key: str, value: Any) -> Any:
    """A given value as a cell."""
    if key in ("schemes", "drop_policies"):
        return ",".join(value)
    if key in LIMITS_ON_TIME:
        return None if value == NO_LIMIT else ten(value)
    return f"{value:.10g}" if key == "max_loss" and isinstance(value, float) else value
