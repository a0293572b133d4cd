"""Published speeds of one user on devices whose kernels nobody fitted, and what is predicted."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import planner
from planner.base.records import record

FILE = Path(__file__).resolve().parent / "published.csv"
DECODE, PROMPT = "decode", "prompt"


@record
class DeviceRow:
    """A speed of one user [tokens/s]: of answers, or of reading a prompt."""

    device: str
    model: str
    scheme: str
    engine: str
    metric: str
    prompt_tokens: int
    output_tokens: int
    value: float
    note: str
    source: str
    date: str


@record
class DeviceSpeed:
    """Tokens/s with the 80 % interval."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the interval has ``value``."""
        return self.low <= value <= self.high


def device_rows() -> tuple[DeviceRow, ...]:
    """The rows, in the order of the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            DeviceRow(
                row["device"],
                row["model"],
                row["scheme"],
                row["engine"],
                row["metric"],
                int(row["prompt_tokens"]),
                int(row["output_tokens"]),
                float(row["published"]),
                row["note"],
                row["source"],
                row["date"],
            )
            for row in csv.DictReader(file)
        )


def predicted_speed(row: DeviceRow) -> DeviceSpeed:
    """What is predicted for the row; a step of decoding is told without prompts in between."""
    isl = row.prompt_tokens if row.metric == PROMPT else 1
    osl = row.output_tokens if row.metric == PROMPT else row.prompt_tokens + row.output_tokens
    plan = planner.estimate(
        row.model,
        row.device,
        engine=row.engine,
        devices=1,
        batch=1,
        isl=isl,
        osl=osl,
        **({"scheme": row.scheme} if row.scheme else {}),
    )
    found = plan.performance.ttft_seconds if row.metric == PROMPT else plan.performance.tpot_seconds
    tokens = row.prompt_tokens if row.metric == PROMPT else 1
    return DeviceSpeed(tokens / found.value, tokens / found.high, tokens / found.low)


def median_error(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of |predicted ÷ published − 1|."""
    return statistics.median(abs(made / told - 1) for made, told in pairs)


def mean_factor(pairs: Sequence[tuple[float, float]]) -> float:
    """exp of the mean of |ln predicted ÷ published|."""
    return math.exp(statistics.mean(abs(math.log(made / told)) for made, told in pairs))
