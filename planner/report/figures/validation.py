"""Predicted against measured, as numbers: a panel a table and metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MOST = 1500
"""Points drawn in a panel; of more, one in n is drawn and the title says so."""
UNITS = {
    "latency": "s",
    "tpot": "s",
    "ttft": "s",
    "output_tokens_per_second": "tokens/s",
    "memory": "bytes, blocks or tokens",
}


@dataclass(frozen=True, slots=True)
class PredictedRow:
    """One row; ``low`` to ``high`` holds the measured value in 80 % of cases, None where it is not
    told. ``excluded`` rows count in no headline."""

    device: str
    measured: float
    predicted: float
    low: float | None
    high: float | None
    excluded: bool


@dataclass(frozen=True, slots=True)
class PredictedPanel:
    """Rows of one table and metric."""

    table: str
    metric: str
    rows: tuple[PredictedRow, ...]

    @property
    def step(self) -> int:
        """One row in so many is drawn."""
        return -(-len(self.rows) // MOST)

    @property
    def shown(self) -> tuple[PredictedRow, ...]:
        """The rows that are drawn."""
        return self.rows[:: self.step]

    @property
    def unit(self) -> str:
        """The unit of the metric, ``its own unit`` where tables differ."""
        return UNITS.get(self.metric, "its own unit")


def panels(outcomes: Iterable[Any]) -> list[PredictedPanel]:
    """Panels of predicted rows, in order of table and metric. Rows have ``table``, ``metric``,
    ``device``, ``measured``, ``predicted`` (None: no point), ``low``, ``high`` and ``regime``."""
    found: dict[tuple[str, str], list[PredictedRow]] = {}
    for o in outcomes:
        if o.predicted is None or o.predicted <= 0 or o.measured <= 0:
            continue
        sure = 0 < o.low < o.high
        found.setdefault((o.table, o.metric), []).append(
            PredictedRow(
                o.device,
                o.measured,
                o.predicted,
                o.low if sure else None,
                o.high if sure else None,
                o.regime.startswith("excluded"),
            )
        )
    return [PredictedPanel(*key, tuple(found[key])) for key in sorted(found)]
