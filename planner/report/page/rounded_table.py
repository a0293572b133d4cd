"""A frame as a table that people read: three digits, bytes and seconds in units of their size."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.units import format_bytes, format_rate, format_seconds

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "–"


def rounded_table(frame: pd.DataFrame) -> str:
    """An HTML table without scripts. The frame keeps its exact values: a column whose name tells
    bytes or seconds is shown in units of its size, other numbers to three digits, whole ones with
    their thousands apart. Heads are words, so that they may wrap."""
    heads = {name: str(name).replace("_", " ") for name in frame.columns}
    shown: dict[Hashable, Callable[[Any], str]] = {
        heads[name]: _formatter(str(name)) for name in frame.columns
    }
    return str(
        frame.rename(columns=heads).to_html(index=False, border=0, formatters=shown, na_rep=NOTHING)
    )


def _formatter(name: str) -> Callable[[Any], str]:
    words = name.split("_")
    number = (
        format_bytes if "bytes" in words else format_seconds if "seconds" in words else format_rate
    )

    def shown(value: Any) -> str:
        if value is None or value != value:
            return NOTHING
        if isinstance(value, bool | np.bool_) or not hasattr(value, "__float__"):
            return str(value)
        if hasattr(value, "__index__") and number is format_rate:
            return f"{value:,}"
        return number(float(value))

    return shown
