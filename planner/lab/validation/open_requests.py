"""Rows of single requests with their own arrival and lengths (``open_loop_requests``): each is
predicted, and so are mean, median and 90th percentile of all of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.cells import MOST_TOKENS, count, not_negative, positive
from planner.lab.validation.open_runs import (
    OPEN,
    OVERLOADED,
    OpenServer,
    blank_outcome,
    known_device,
)
from planner.lab.validation.parallelism import Shape
from planner.lab.validation.records import NotCoveredError, Outcome
from planner.lab.validation.served import Deployed, spec_of
from planner.planning.price.recipe import SchemeSet
from planner.planning.replay.runs import Routing, Runs, three_runs
from planner.planning.replay.saturation import is_saturated
from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.served import ServedRequests

Array = NDArray[np.float64]
RELEASE = "0.19.0"
SLOTS, BUDGET = 128, 2048
"""Of the servers of these rows (their table of means): vLLM's version, requests that run, tokens of
a pass."""
_RANKS = re.compile(r"TP(\d{1,3}) DP(\d{1,3})")
EACH = "each request"
FIGURES = (("ttft", "ttft_ms"), ("tpot", "tpot_ms"), ("e2e", "e2e_ms"))
Run = tuple[str, str, str]


def predict_requests(table_name: str, rows: Sequence[Mapping[str, str]]) -> list[Outcome]:
    """Three outcomes a request, and nine of each run under its first row."""
    places: dict[Run, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault((row["device"], row["model"], row["parallelism"]), []).append(i)
    out = []
    for run, where in places.items():
        mine = [rows[i] for i in where]
        blanks = [blank_outcome(table_name, i, row) for i, row in zip(where, mine, strict=True)]
        try:
            out += _of_run(run, mine, blanks)
        except NotCoveredError as error:
            out += [replace(blank, reason=error.reason) for blank in blanks]
    return sorted(out, key=lambda o: o.row)


def _of_run(
    run: Run, rows: Sequence[Mapping[str, str]], blanks: Sequence[Outcome]
) -> list[Outcome]:
    cells = tuple(
        (
            not_negative(row["arrival_s"]),
            count(row["input_tokens"], MOST_TOKENS),
            count(row["output_tokens"], MOST_TOKENS),
        )
        for row in rows
    )
    stream, runs = _replayed(run, cells)
    regime = OVERLOADED if is_saturated(stream, runs.middle) else OPEN
    order = np.argsort([c[0] for c in cells], kind="stable")
    out = []
    for name, column in FIGURES:
        every = [_times(stream, served)[name] for served in runs.every]
        measured = np.array([positive(rows[i][column]) for i in order]) * 1e-3
        made = partial(_outcome, run=run, name=name, runs=runs)
        for k, i in enumerate(order):
            values = [float(times[k]) for times in every]
            if not np.isnan(values).any():
                single = f"{regime}, {EACH}"
                out.append(made(blanks[i], EACH, single, float(measured[k]), values))
        for how in ("mean", "median", "p90"):
            values = [_figure(times[~np.isnan(times)], how) for times in every]
            out.append(made(blanks[0], how, regime, _figure(measured, how), values))
    return out


def _outcome(
    blank: Outcome,
    how: str,
    regime: str,
    measured: float,
    values: Sequence[float],
    *,
    run: Run,
    name: str,
    runs: Runs,
) -> Outcome:
    return replace(
        blank,
        device=known_device(run[0]),
        model=spec_of(run[1]).id,
        software=f"vllm {RELEASE}",
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


def _shape(text: str) -> Shape:
    """Ranks of ``TP2 DP1``.

    Raises:
        NotCoveredError: other words.
    """
    match = _RANKS.fullmatch(text.strip())
    if match is None:
        raise NotCoveredError("malformed row")
    return Shape(int(match[1]), 1, int(match[2]), 0, 0)


@lru_cache(maxsize=16)
def _replayed(run: Run, cells: tuple[tuple[float, int, int], ...]) -> tuple[RequestStream, Runs]:
    """The run's requests in order of arrival, and their replay.

    Raises:
        NotCoveredError: its server would not start.
    """
    ordered = sorted(cells, key=lambda cell: cell[0])
    came, isl, osl = (np.array(column) for column in zip(*ordered, strict=True))
    stream = plain_stream(came - came[0], isl.astype(np.int64), osl.astype(np.int64))
    longest = int((isl + osl).max())
    case = Deployed(
        run[1],
        known_device(run[0]),
        "vllm",
        (),
        SchemeSet("bf16", "bf16", "bf16"),
        _shape(run[2]),
        int(isl.mean()),
        int(osl.mean()),
        chunk=BUDGET,
        version_text=RELEASE,
    )
    server = OpenServer(case, SLOTS, BUDGET, max(longest, 8192))
    where = server.replayed(longest, float(isl.mean() + osl.mean() / 2))
    return stream, three_runs(where, stream, Routing())


def _times(stream: RequestStream, served: ServedRequests) -> dict[str, Array]:
    """TTFT, TPOT and E2E [s] of every request [N]; nan where it was not served."""
    first, last = served.first_seconds, served.last_seconds
    came = stream.arrival_seconds
    tokens = np.maximum(stream.output_tokens - 1, 1)
    return {"ttft": first - came, "tpot": (last - first) / tokens, "e2e": last - came}


def _figure(values: Array, how: str) -> float:
    at = {"median": 50.0, "p90": 90.0}
    return float(values.mean() if how == "mean" else np.percentile(values, at[how]))
