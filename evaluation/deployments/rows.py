"""Rows of served models as deployments: what was measured of each, and what is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from planner.lab.validation.e2e_silicon import predict_rows, resolved
from planner.lab.validation.grouping import REPEATED
from planner.lab.validation.reader import MeasuredTable, read_directory
from planner.lab.validation.records import EXCLUDED, Outcome
from planner.lab.validation.served_pools import planned_rate
from planner.lab.validation.serving_rules import run_of

TABLES = "e2e_silicon"
POOLS = "disagg"


@dataclass(frozen=True, slots=True)
class Pair:
    """A predicted and a measured value of one unit."""

    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        """Predicted / measured."""
        return self.predicted / self.measured


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment under a load: times in seconds, ``rate`` in output tokens/s and device.

    ``planned``: the rate that a plan counts on from these pools, None in one pool. ``excluded``:
    why the row stays out of headlines, empty for others; ``first_token``: whether its TTFT counts.
    ``runs``: requests of the run for each slot.
    """

    mode: str
    model: str
    device: str
    precision: str
    software: str
    setting: str
    isl: int
    osl: int
    concurrency: float
    devices: int
    tpot: Pair
    ttft: Pair
    rate: Pair
    planned: float | None
    excluded: str
    first_token: bool
    runs: float

    @property
    def pools(self) -> bool:
        """Whether two pools serve it."""
        return self.mode == POOLS

    @property
    def case(self) -> tuple[str, str, str, int, int]:
        """What rows are compared within: model, device, precision, lengths."""
        return self.model, self.device, self.precision, self.isl, self.osl


def per_device(concurrency: float, osl: float, tpot: float, ttft: float, devices: int) -> float:
    """Output tokens/s and device of a closed loop by Little's law: every request takes TTFT and
    then TPOT for each token after the first."""
    return concurrency * osl / (ttft + (osl - 1) * tpot) / devices


def deployment_rows(folder: Path) -> tuple[list[DeploymentRow], dict[str, int]]:
    """(the rows of ``folder`` that are predicted, rows in pools without a prediction by reason).

    Raises:
        DataError: no such folder.
    """
    found: list[DeploymentRow] = []
    left: dict[str, int] = {}
    for table in read_directory(folder):
        if table.name.startswith(TABLES) and table.rows:
            mine, reasons = of_table(table)
            found += mine
            for reason, count in reasons.items():
                left[reason] = left.get(reason, 0) + count
    return found, left


def of_table(table: MeasuredTable) -> tuple[list[DeploymentRow], dict[str, int]]:
    """:func:`deployment_rows` of one table."""
    rows = table.rows or ()
    found: list[DeploymentRow] = []
    left: dict[str, int] = {}
    for i, outcomes in _by_row(predict_rows(table.name, rows)):
        if all(o.predicted is not None for o in outcomes.values()):
            found.append(_row(i, rows[i], outcomes))
        elif rows[i]["mode"] == POOLS:
            reason = outcomes["tpot"].reason
            left[reason] = left.get(reason, 0) + 1
    return found, left


def _by_row(outcomes: Iterable[Outcome]) -> Iterator[tuple[int, dict[str, Outcome]]]:
    """(row, its outcome by metric), without those that are predicted a second time."""
    found: dict[int, dict[str, Outcome]] = {}
    for one in outcomes:
        if one.regime != REPEATED:
            found.setdefault(one.row, {})[one.metric] = one
    return iter(sorted(found.items()))


def _row(i: int, row: Mapping[str, str], outcomes: Mapping[str, Outcome]) -> DeploymentRow:
    here, tpot, ttft = resolved(i, row), outcomes["tpot"], outcomes["ttft"]
    times = {name: Pair(o.predicted or 0.0, o.measured or 0.0) for name, o in outcomes.items()}
    workers, osl = here.workers, here.case.osl
    devices = workers.decode_workers * workers.decode.ranks
    planned = None
    if workers.prefill is not None:
        devices += workers.prefill_workers * workers.prefill.ranks
        planned = planned_rate(here.case, here.policy, here.concurrency, workers) * osl / devices
    rate = Pair(
        *(
            per_device(here.concurrency, osl, tpot_seconds, ttft_seconds, devices)
            for tpot_seconds, ttft_seconds in (
                (times["tpot"].predicted, times["ttft"].predicted),
                (times["tpot"].measured, times["ttft"].measured),
            )
        )
    )
    isl, answer = int(float(row["isl"])), int(float(row["osl"]))
    excluded = tpot.regime.removeprefix(EXCLUDED) if tpot.regime.startswith(EXCLUDED) else ""
    return DeploymentRow(
        row["mode"],
        tpot.model,
        tpot.device,
        row["precision"],
        row["software"],
        row["parallelism"],
        isl,
        answer,
        here.concurrency,
        devices,
        times["tpot"],
        times["ttft"],
        rate,
        planned,
        excluded,
        not ttft.regime.startswith(EXCLUDED),
        run_of(tpot.model, isl, answer).requests,
    )
