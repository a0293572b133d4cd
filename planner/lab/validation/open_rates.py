"""Rows of published tables whose load is a rate (``rate 4.0/s``): Poisson arrivals, replayed.

The tables state mean lengths, so that requests are all alike and means alone are predicted. The
classes of hosts that drive devices (:func:`planner.throughput.engine_policy.host_class`) were read
off such rows: a class that differs from the one which the rules were read for is left out by model,
as the runs of other models on devices of its class show it (:func:`factor_of_others`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import log

from planner.lab.validation.cells import MOST_REQUESTS, MOST_TOKENS, count, positive
from planner.lab.validation.open_runs import (
    OPEN,
    OVERLOADED,
    OpenServer,
    OpenStage,
    replayed_stage,
)
from planner.lab.validation.published_case import resolve
from planner.lab.validation.records import NotCoveredError, Outcome
from planner.lab.validation.served import device_of, engine_limits, spec_of
from planner.memory.engines.records import Settings
from planner.planning.replay.deployment import Replayed
from planner.planning.replay.request_times import request_times
from planner.planning.replay.runs import Routing, served, three_runs
from planner.planning.replay.saturation import is_saturated
from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests
from planner.throughput.engine_policy import host_class, with_slower_prompts, with_slower_steps

RATE = re.compile(r"rate (\d+(?:\.\d+)?)\s*(?:/s|req/s)?", re.IGNORECASE)
_SAID = {
    "count": re.compile(r"(\d+) requests"),
    "slots": re.compile(r"max_num_seqs (\d+)"),
    "context": re.compile(r"max_model_len (\d+)"),
}
_ONE = {"batch_or_concurrency": "1"}
"""A load that does not matter: who serves what is asked, the rate is read here."""
MEAN = re.compile(r"(ttft|tpot)_mean")
FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the host's times as the rules state them, those that a class may have."""


@dataclass(frozen=True, slots=True)
class RateRun:
    """A ``stage`` with its measured mean TPOT [s], None where the table lacks it."""

    stage: OpenStage
    tpot: float | None

    @property
    def model(self) -> str:
        """Its model's id."""
        return spec_of(self.stage.server.case.model).id

    @property
    def host(self) -> str:
        """The class of its host."""
        return host_class(self.stage.server.case.device).name


def predict_rates(blanks: Sequence[Outcome], rows: Sequence[Mapping[str, str]]) -> list[Outcome]:
    """One outcome for each of ``blanks``, which are of the ``rows`` in order."""
    runs: dict[tuple[str, ...], RateRun | str] = {}
    for row in rows:
        if _key(row) not in runs:
            mine = [other for other in rows if _key(other) == _key(row)]
            try:
                runs[_key(row)] = _run(mine)
            except NotCoveredError as error:
                runs[_key(row)] = error.reason
    known = [run for run in runs.values() if isinstance(run, RateRun)]
    out = []
    for blank, row in zip(blanks, rows, strict=True):
        try:
            out.append(_predicted(blank, row, runs[_key(row)], known))
        except NotCoveredError as error:
            out.append(replace(blank, reason=error.reason))
    return out


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    names = ("device", "software", "model", "batch_or_concurrency", "note")
    return tuple(row[name] for name in names)


def _run(rows: Sequence[Mapping[str, str]]) -> RateRun:
    """The run of ``rows``.

    Raises:
        NotCoveredError: it cannot be read, or its server would not start.
    """
    row, *_ = rows
    rate = RATE.fullmatch(row["batch_or_concurrency"].strip())
    said = {name: pattern.search(row["note"]) for name, pattern in _SAID.items()}
    if rate is None or None in said.values():
        raise NotCoveredError("setting not stated")
    requests, slots, context = (
        count(found[1], most)
        for found, most in zip(said.values(), (MOST_REQUESTS, 1 << 16, MOST_TOKENS), strict=True)
        if found is not None
    )
    resolved = resolve({**row, **_ONE, "metric": "tpot_mean", "unit": "ms"})
    if len(resolved.cases) != 1 or not resolved.stated:
        raise NotCoveredError("setting not stated")
    isl, osl = (max(round(positive(row[name])), 1) for name in ("isl", "osl"))
    case = replace(resolved.cases[0], isl=isl, osl=osl)
    limits = engine_limits(case, Settings(context=context, max_seqs=slots))
    case = replace(case, chunk=limits.chunk)
    server = OpenServer(case, slots, limits.chunk, context)
    each = positive(rate[1])
    tpot = next((positive(r["value"]) * 1e-3 for r in rows if r["metric"] == "tpot_mean"), None)
    return RateRun(OpenStage(server, each, requests / each, isl, osl, 0.0), tpot)


def factor_of_others(run: RateRun, runs: Sequence[RateRun]) -> float | None:
    """The factor on the host's times with which TPOT of other models on hosts of the same class is
    off least (the sum of its logarithms' sizes); None where there are none."""
    others = [
        other
        for other in runs
        if other.model != run.model and other.host == run.host and other.tpot is not None
    ]
    if not others:
        return None
    return min(FACTORS, key=lambda factor: sum(_off(other, factor) for other in others))


@cache
def _off(run: RateRun, factor: float) -> float:
    """|ln(TPOT as replayed / as measured)| with that factor."""
    stream, where = _deployed(run)
    replayed = served(at_factor(where, run, factor), stream, Routing())
    assert run.tpot is not None
    return abs(log(_mean(stream, replayed, "tpot") / run.tpot))


@cache
def _deployed(run: RateRun) -> tuple[RequestStream, Replayed]:
    return run.stage.stream(), replayed_stage(run.stage)


def at_factor(where: Replayed, run: RateRun, factor: float) -> Replayed:
    """``where`` with a host that takes ``factor`` times as long as the rules state, in place of
    what its class has."""
    share = factor / host_class(run.stage.server.case.device).factor
    policy = with_slower_prompts(with_slower_steps(where.policy, share), share)
    return replace(where, policy=policy)


def _mean(stream: RequestStream, run: ServedRequests, name: str) -> float:
    times = request_times(stream, run)
    return float((times.ttft if name == "ttft" else times.tpot).mean())


def _predicted(
    blank: Outcome, row: Mapping[str, str], run: RateRun | str, runs: Sequence[RateRun]
) -> Outcome:
    metric = MEAN.fullmatch(row["metric"])
    if metric is None:
        raise NotCoveredError("quantity not predicted")
    if isinstance(run, str):
        raise NotCoveredError(run)
    stream, where = _deployed(run)
    case = run.stage.server.case
    if host_class(case.device).factor != 1.0:
        factor = factor_of_others(run, runs)
        where = where if factor is None else at_factor(where, run, factor)
    three = three_runs(where, stream, Routing())
    values = [_mean(stream, one, metric[1]) for one in three.every]
    return replace(
        blank,
        device=device_of(case.device).id,
        model=run.model,
        format=case.recipe.dense,
        metric=metric[1],
        quantity="mean",
        regime=OVERLOADED if is_saturated(stream, three.middle) else OPEN,
        measured=positive(row["value"]) * 1e-3,
        predicted=values[0],
        low=min(values),
        high=max(values),
        basis=three.basis,
        evidence_level=three.evidence[metric[1]].level,
        reason="",
    )
