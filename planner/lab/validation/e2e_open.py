"""Requests that arrive by themselves (``open_loop_*``), replayed through the engine's scheduler.

Stages of an inference-perf run are predicted by mean, median and 90th percentile of TTFT, TPOT and
E2E and by their mean ITL (each begins at an idle server). Its client counts stream events, two a
token: what it calls TPOT and ITL is brought to tokens by its own TTFT and E2E, and percentiles of
ITL, of which half are nothing, are left out. It gives a request up after ``PATIENCE``; who was
given up is in none of its figures. Rows with every request's own arrival and lengths are predicted
request by request, and by the figures of all of them.

The host's handling of a request is read off these very runs for dense models: it is left out by
model, the median of what the other models' runs show (:func:`handling_of_others`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.cells import MOST_TOKENS, count, positive
from planner.lab.validation.names import engine_name
from planner.lab.validation.open_requests import predict_requests
from planner.lab.validation.open_runs import (
    OPEN,
    OVERLOADED,
    OpenServer,
    OpenStage,
    blank_outcome,
    first_tokens,
    known_device,
    replay_of_stage,
)
from planner.lab.validation.parallelism import Shape
from planner.lab.validation.records import NotCoveredError, Outcome
from planner.lab.validation.served import Deployed, spec_of
from planner.planning.price.recipe import SchemeSet
from planner.planning.replay.request_times import RequestTimes, request_times
from planner.planning.replay.saturation import is_saturated
from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests

Array = NDArray[np.float64]
RELEASE = "0.15.1"
"""vLLM of February 2026, where a run of that month does not state its version."""
HITS = 0.97
"""Of the prompts of inference-perf's runs, 100 of which come again and again."""
PATIENCE = 300.0
"""Seconds after which inference-perf's client gives a request up: no E2E is longer."""
SUMMARY = "summary"
"""Of all stages of a run, each of which has rows of its own."""
MOST_STAGES, MOST_SECONDS = 20, 86_400.0
_METRIC = re.compile(r"(ttft|tpot|e2e)_(mean|median|p90)|(itl)_(mean)")
_AT = {"median": 50.0, "p90": 90.0}


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage with the figures [ms] that were measured of it, by metric."""

    stage: OpenStage
    measured: Mapping[str, float]

    @property
    def token_share(self) -> float:
        """Events between which the client measures ÷ tokens after the first."""
        m = self.measured
        events = (m["e2e_mean"] - m["ttft_mean"]) / m["tpot_mean"]
        return events / max(self.stage.osl - 1, 1)


def predict_rows(table_name: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """One outcome a row of a stage; three and the figures of all for rows of requests."""
    given = list(rows)
    if given and "request" in given[0]:
        return predict_requests(table_name, given)
    stages = stage_rows(given)
    out = []
    for i, row in enumerate(given):
        blank = replace(
            blank_outcome(table_name, i, row), metric=row.get("metric", ""), regime=OPEN
        )
        try:
            out.append(_predicted(blank, row, stages))
        except NotCoveredError as error:
            out.append(replace(blank, reason=error.reason))
    return out


def stage_rows(rows: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], StageRow | str]:
    """The stages of all runs with what was measured of each, or why one cannot be read."""
    figures: dict[tuple[str, str], dict[str, float]] = {}
    first: dict[tuple[str, str], Mapping[str, str]] = {}
    for row in rows:
        key = _key(row)
        first.setdefault(key, row)
        try:
            figures.setdefault(key, {})[row["metric"]] = positive(row["value"])
        except NotCoveredError:
            continue
    out: dict[tuple[str, str], StageRow | str] = {}
    for key, row in first.items():
        if "stages" not in row:  # means of requests whose arrivals and lengths are elsewhere
            out[key] = "setting not stated"
            continue
        try:
            out[key] = StageRow(_stage(row, figures[key]), figures[key])
        except NotCoveredError as error:
            out[key] = error.reason
        except (KeyError, ValueError, TypeError):
            out[key] = "malformed row"
    return out


def _key(row: Mapping[str, str]) -> tuple[str, str]:
    return row.get("experiment", ""), row.get("stage", "")


def _stage(row: Mapping[str, str], measured: Mapping[str, float]) -> OpenStage:
    """The stage of a row.

    Raises:
        NotCoveredError, KeyError, ValueError, TypeError: it is none, or malformed.
    """
    if row["stage"] == SUMMARY:
        raise NotCoveredError("quantity not predicted")
    place = int(row["stage"].removeprefix("stage_"))
    stages = json.loads(row["stages"])
    if not 0 <= place < len(stages) <= MOST_STAGES:
        raise NotCoveredError("malformed row")
    shared = json.loads(row["shared_prefix"])
    isl, osl = round(measured["prompt_len_mean"]), int(shared["output_len"])
    if not (1 <= isl <= MOST_TOKENS and 1 <= osl <= MOST_TOKENS):
        raise NotCoveredError("malformed row")
    seconds = min(float(stages[place]["duration"]), MOST_SECONDS)
    tp = count(row["tp"], 64)
    engine = engine_name(row["engine"].split()[0], RELEASE)
    if engine is None:
        raise NotCoveredError("unknown engine")
    spec_of(row["model"])
    case = Deployed(
        row["model"],
        known_device(row["device"]),
        engine.engine.name,
        (),
        SchemeSet("bf16", "bf16", "bf16"),
        Shape(tp, 1, 1, 0, 0),
        isl,
        osl,
        chunk=count(row["max_num_batched_tokens"], MOST_TOKENS),
        version_text=RELEASE,
    )
    server = OpenServer(
        case,
        count(row["max_num_seqs"], 1 << 16),
        case.chunk,
        count(row["max_model_len"], MOST_TOKENS),
    )
    return OpenStage(server, measured["requested_rate"], seconds, isl, osl, HITS)


def handling_of_others(row: StageRow, stages: Iterable[StageRow]) -> float | None:
    """Seconds of the host's handling of a request, as the runs of other dense models show it; None
    where the engine's rule was not read off such runs (experts), or there are no others."""
    model = row.stage.server.case.model
    if spec_of(model).experts is not None:
        return None
    left = []
    for other in stages:
        name = other.stage.server.case.model
        if name == model or spec_of(name).experts is not None:
            continue
        plain = first_tokens(other.stage)
        if plain is not None:
            left.append(other.measured["ttft_mean"] * 1e-3 - plain)
    return max(median(left), 0.0) if left else None


def _predicted(
    blank: Outcome, row: Mapping[str, str], stages: Mapping[tuple[str, str], StageRow | str]
) -> Outcome:
    known = stages[_key(row)]
    metric = _METRIC.fullmatch(row["metric"])
    if metric is None:
        raise NotCoveredError("quantity not predicted")
    if isinstance(known, str):
        raise NotCoveredError(known)
    name, how = (part for part in metric.groups() if part is not None)
    measured = positive(row["value"]) * 1e-3
    if name in ("tpot", "itl"):
        measured *= known.token_share
    others = [other for other in stages.values() if isinstance(other, StageRow)]
    handling = handling_of_others(known, others)
    stream, runs = replay_of_stage(known.stage, handling)
    values = [figure(stream, run, name, how) for run in runs.every]
    regime = OVERLOADED if is_saturated(stream, runs.middle) else OPEN
    return replace(
        blank,
        device=known.stage.server.case.device,
        model=spec_of(known.stage.server.case.model).id,
        metric=name,
        quantity=how,
        regime=regime,
        measured=measured,
        predicted=values[0],
        low=min(values),
        high=max(values),
        basis=runs.basis,
        evidence_level=runs.evidence["ttft" if name == "ttft" else "tpot"].level,
        reason="",
    )


def figure(stream: RequestStream, served: ServedRequests, name: str, how: str) -> float:
    """Mean, median or 90th percentile of TTFT, TPOT or E2E [s] of those that waited no longer than
    :data:`PATIENCE`; the mean ITL of all tokens."""
    times: RequestTimes = request_times(stream, served)
    if name == "itl":
        return float(times.summary()["itl_seconds"][0])
    patient = times.e2e <= PATIENCE
    if not patient.any():
        raise NotCoveredError("not legal")
    values = getattr(times, name)
    values = values[patient] if len(values) == len(patient) else values
    return float(values.mean() if how == "mean" else np.percentile(values, _AT[how]))
