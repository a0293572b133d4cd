"""The laboratory's pages: one workload, and the configurations that were measured for it.

A page is one model, device, way of loading and pair of lengths, of one source. Runs of one page
that share engine, version, layout, format, cache and drafted tokens are one choice: they differ in
settings that a plan does not compare (graphs, batched tokens, asynchronous scheduling).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.gains_rows import MeasuredConfiguration, configurations
from planner.lab.validation.e2e_gpustack import predict_rows
from planner.lab.validation.reader import read_directory
from planner.lab.validation.records import EXCLUDED, Outcome
from planner.planning.choose.calibrated import Configuration
from planner.planning.practice.recipes import base_model

TABLE = "e2e_gpustack"
ALIKE = 0.05
"""Share by which mean lengths of one workload may differ: models stop at different tokens."""
BURST = "burst of "


@dataclass(frozen=True)
class LaboratoryPage:
    """One workload with its ``runs`` in the order in which they were taken, of two choices or
    more. Rates are output tokens/s over all devices."""

    runs: tuple[MeasuredConfiguration, ...]

    @property
    def source(self) -> str:
        """Where it was published: model/device of the laboratory's document."""
        text = self.runs[0].page[1]
        return "/".join(Path(text).with_suffix("").parts[-2:])

    @cached_property
    def model(self) -> str:
        """The model that it is about: as released where any run was, else the release of all."""
        models = list(dict.fromkeys(run.model for run in self.runs))
        plain = [name for name in models if base_model(name) == name]
        return (plain or models)[0]

    @property
    def device(self) -> str:
        return self.runs[0].page[3]

    @property
    def devices(self) -> int:
        """Devices of the machine, as its largest run used them."""
        return max(run.configuration.devices for run in self.runs)

    @property
    def lengths(self) -> tuple[int, int]:
        """Tokens of a prompt and of an answer."""
        isl, osl = self.runs[0].lengths
        return round(isl), round(osl)

    @cached_property
    def requests(self) -> int | None:
        """Requests in flight where the page limits them; None: all are sent at once."""
        way = self.runs[0].page[4]
        most = round(max(run.configuration.requests for run in self.runs))
        at_once = way.startswith(BURST) and most >= int(way.removeprefix(BURST))
        return None if at_once else most

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines of its runs, in order."""
        return tuple(dict.fromkeys(run.configuration.engine for run in self.runs))

    @property
    def best(self) -> MeasuredConfiguration:
        """The fastest run."""
        return max(self.runs, key=rate)

    def of_engine(self, name: str) -> LaboratoryPage:
        """The page with runs of one engine."""
        return LaboratoryPage(tuple(r for r in self.runs if r.configuration.engine == name))


def rate(run: MeasuredConfiguration) -> float:
    """Measured output tokens/s over all devices."""
    return run.measured * run.configuration.devices


def choice(one: Configuration) -> tuple[object, ...]:
    """What a plan chooses of a configuration, and the version."""
    return (
        one.engine,
        one.version,
        one.layout,
        one.devices,
        one.format,
        one.cache,
        one.drafts,
        one.pools,
    )


def pages_of(runs: Iterable[MeasuredConfiguration]) -> list[LaboratoryPage]:
    """Pages of two choices or more, in the order of their first runs."""
    pages: list[list[MeasuredConfiguration]] = []
    for run in runs:
        mine = next((page for page in pages if _one_page(page[0], run)), None)
        if mine is None:
            pages.append([run])
        else:
            mine.append(run)
    return [
        LaboratoryPage(tuple(page))
        for page in pages
        if len({choice(run.configuration) for run in page}) > 1
    ]


def _one_page(one: MeasuredConfiguration, other: MeasuredConfiguration) -> bool:
    near = all(
        abs(a - b) <= ALIKE * max(a, b) for a, b in zip(one.lengths, other.lengths, strict=True)
    )
    return near and one.page == other.page


@dataclass(frozen=True)
class Measurements:
    """What the folders have: ``runs`` that can be compared, and ``left_out``: (run, why, output
    tokens/s) of the others."""

    runs: tuple[MeasuredConfiguration, ...]
    left_out: tuple[tuple[str, str, float], ...]


def read(folders: Iterable[Path]) -> Measurements:
    """Every run of the table in the folders.

    Raises:
        FileNotFoundError: a folder is absent or has no such table.
    """
    runs: list[MeasuredConfiguration] = []
    left_out: list[tuple[str, str, float]] = []
    for folder in folders:
        if not (folder / f"{TABLE}.csv").is_file():
            raise FileNotFoundError(f"{folder / TABLE}.csv is not there")
        for table in read_directory(folder):
            if table.name == TABLE and table.rows:
                outcomes = predict_rows(TABLE, table.rows)
                runs += configurations(outcomes, folder)
                left_out += _left_out(outcomes, table.rows)
    return Measurements(tuple(runs), tuple(left_out))


def _left_out(
    outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, str]]
) -> list[tuple[str, str, float]]:
    some = []
    for outcome in outcomes:
        row = rows[outcome.row]
        if row["metric"] != "output_tokens_per_s":
            continue
        if outcome.predicted is None:
            some.append((row["run_id"], outcome.reason, float(row["value"])))
        elif outcome.regime.startswith(EXCLUDED):
            some.append((row["run_id"], outcome.regime.removeprefix(EXCLUDED), outcome.measured))
    return some
