"""Measured configurations with their predicted rates, from tables of served models.

Every row has output tokens/s measured and predicted. Rows of one ``page`` may be compared: one
source, model, device, lengths and way of loading.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from planner.lab.validation.e2e_silicon import resolved as silicon_row
from planner.lab.validation.e2e_windows import window_row
from planner.lab.validation.published_case import resolve as published_row
from planner.lab.validation.records import NotCoveredError, Outcome
from planner.lab.validation.served import Deployed, layout_of, spec_of
from planner.lab.validation.served_commands import serve_command
from planner.planning.choose.calibrated import Configuration

RATES = ("throughput", "output_tokens_per_second")
REGIMES = ("aggregated", "disaggregated", "burst", "published", "window")
SERVED = "e2e_silicon"
"""How tables of served rows begin: current engines in closed loops at a stated load."""
LEFT_OUT = ("e2e_community", "e2e_xeon", "e2e_jetson")
"""Users one by one, and devices without layouts."""


@dataclass(frozen=True, slots=True)
class MeasuredConfiguration:
    """One row: output tokens/s of a device ``measured`` and ``predicted``. ``family`` names the
    shape of the model; ``page`` is what rows share that may be compared, but for ``lengths``;
    ``basis`` is what rows of others must share to speak for it: engine, architecture, class of
    model and of layout."""

    table: str
    page: tuple[str, ...]
    family: str
    model: str
    lengths: tuple[float, float]
    configuration: Configuration
    basis: tuple[str, ...]
    measured: float
    predicted: float

    @property
    def served(self) -> bool:
        """Whether the row is one of served deployments."""
        return self.table.startswith(SERVED)


def configurations(outcomes: Iterable[Outcome], folder: Path) -> list[MeasuredConfiguration]:
    """The rows of ``outcomes``, whose tables lie in ``folder``, that state a whole configuration
    and have a rate that was measured and predicted."""
    tables: dict[str, list[dict[str, str]]] = {}
    kept = []
    for one in outcomes:
        if one.predicted is None or one.metric not in RATES or one.regime not in REGIMES:
            continue
        if one.kind is None or one.table.startswith(LEFT_OUT):
            continue
        if one.table not in tables:
            with (folder / f"{one.table}.csv").open(encoding="utf-8", newline="") as file:
                tables[one.table] = list(csv.DictReader(file))
        try:
            kept += list(_configured(one, tables[one.table][one.row]))
        except NotCoveredError:
            continue
    return kept


def _configured(one: Outcome, row: Mapping[str, str]) -> Iterator[MeasuredConfiguration]:
    """The configuration of ``row``, none where it does not state all of it."""
    if one.regime == "published":
        stated = _published(one, row)
    elif one.regime == "window":
        stated = _window(row)
    elif one.table.startswith(SERVED):
        stated = _silicon(one, row)
    else:
        stated = _commanded(one, row)
    if stated is None or one.predicted is None:
        return
    configuration, lengths, way = stated
    spec = spec_of(one.model)
    experts = spec.experts.count if spec.experts is not None else 0
    family = f"{spec.layers} {spec.hidden_size} {spec.vocab_size} {experts}"
    kind = one.kind
    assert kind is not None
    yield MeasuredConfiguration(
        one.table,
        (one.table, row.get("source", ""), family, one.device, way),
        family,
        one.model,
        lengths,
        configuration,
        (kind.engine, kind.architecture, kind.model, kind.layout),
        one.measured / configuration.devices,
        one.predicted / configuration.devices,
    )


Stated = tuple[Configuration, tuple[float, float], str] | None
"""A configuration, its lengths [tokens] and the way of loading; None where it is not stated."""


def _silicon(one: Outcome, row: Mapping[str, str]) -> Stated:
    served = silicon_row(one.row, row)
    workers, case = served.workers, served.case
    devices = workers.decode.ranks * workers.decode_workers
    pools = ""
    if workers.prefill is not None:
        devices += workers.prefill.ranks * workers.prefill_workers
        pools = row["parallelism"]
    return (
        _configuration(case, devices, served.concurrency, pools=pools),
        (float(case.isl), float(case.osl)),
        "closed loop",
    )


def _commanded(one: Outcome, row: Mapping[str, str]) -> Stated:
    command = serve_command(row["command"], said=row["section"])
    assert one.kind is not None
    spec = spec_of(one.model)
    layout = layout_of(spec, command.engine, command.shape, one.format)
    requests = float(row["max_concurrency"] or row["num_requests"])
    configuration = Configuration(
        command.engine,
        one.software.partition(" ")[2],
        layout,
        layout.ranks * command.replicas,
        one.format,
        one.kind.cache,
        min(requests, float(row["num_requests"])),
        command.drafts,
    )
    lengths = float(row["isl_mean"]), float(row["osl_mean"])
    way = one.regime if one.regime == "aggregated" else f"{one.regime} of {row['num_requests']}"
    return configuration, lengths, way


def _published(one: Outcome, row: Mapping[str, str]) -> Stated:
    stated = published_row(row)
    if not stated.stated and stated.devices > 1:
        return None
    case = stated.cases[0]
    requests = stated.load.batch or stated.load.each * stated.devices
    way = f"{stated.phase} {'static' if stated.static else row['batch_or_concurrency']}"
    if requests:
        way = stated.phase or ("static" if stated.static else "closed loop")
    return (
        _configuration(case, stated.devices, requests),
        (float(case.isl), float(case.osl)),
        way,
    )


def _window(row: Mapping[str, str]) -> Stated:
    window = window_row(row)
    configuration = _configuration(
        window.case, window.case.shape.ranks, window.batch, drafts=window.case.drafts
    )
    return configuration, (float(window.context), 1.0), "window"


def _configuration(
    case: Deployed, devices: int, requests: float, *, drafts: int = 0, pools: str = ""
) -> Configuration:
    spec = spec_of(case.model)
    layout = layout_of(spec, case.engine, case.shape, case.recipe.experts)
    return Configuration(
        case.engine,
        case.engine_version,
        layout,
        devices,
        case.recipe.dense if spec.experts is None else f"{case.recipe.dense}+{case.recipe.experts}",
        case.recipe.kv,
        requests,
        drafts,
        pools,
    )
