"""The question that a run posed, asked of the law that plans are priced by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.base.records import record
from planner.lab.learning.forecast import RunForecast
from planner.lab.learning.open_runs import open_forecast
from planner.lab.learning.results.run import BATCH, DECODE, PROMPT, MeasuredRun
from planner.messages.message import message
from planner.planning.price.plan_kinds import kind_of
from planner.planning.price.price import price
from planner.planning.question.corrections import PROMPT as PROMPTS
from planner.planning.question.corrections import STEP as STEPS
from planner.planning.question.corrections import Correction
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import QuestionInput
from planner.planning.serving.loop import Loop
from planner.planning.serving.serve import assigned, served_answer

TPOT, TTFT = "tpot", "ttft"
"""The times that factors are read off, as fields of a run and of a forecast."""
ROUNDS, CLOSE = 40, 1e-3
"""Rounds in which factors settle, and what they may be off by."""
NEAR_ENOUGH = 0.02
"""What they may be off by after all rounds: few requests come in and out of a pass in steps."""
LONGEST_STEP, NEARBY = 1.0, 0.1
"""Of a factor's logarithm in a round, and from where a slope is read."""
MOST_DRAWN = 0.1
"""Log-space deviation of a mean from draw to draw of the arrivals, beyond which it tells nothing of
the machine."""
MOST_FACTOR = 20.0
"""A prediction that is further off is one of another deployment."""


@record
class ServedSubject:
    """What ran: a question without its load, its engine as a flag takes it."""

    inputs: QuestionInput
    engine: str
    scheme: str | None


Corrections = tuple[Correction, ...]
Logs = NDArray[np.float64]


def predicted(
    run: MeasuredRun, subject: ServedSubject, corrections: Corrections = ()
) -> RunForecast:
    """The law's answer to the question of ``run``, under ``corrections``.

    Raises:
        InputError: the file does not say lengths or load. InfeasibleError: it does not fit.
    """
    isl, osl = _tokens(run.isl, "isl"), _tokens(run.osl, "osl")
    inputs = replace(
        subject.inputs,
        isl=isl,
        osl=max(osl, 2),
        prefix_hit_rate=run.cached / isl if run.kind == PROMPT and run.cached else None,
        corrections=corrections,
    )
    inputs = replace(inputs, tpot_seconds=NO_LIMIT)
    if run.rate is None:
        return _closed(inputs, subject, _in_flight(run), _finite(run))
    return open_forecast(run, inputs, subject.engine)


def factors(steps: float, prompts: float) -> Corrections:
    """Corrections that multiply steps and prompts, and say nothing of how sure they are."""
    pairs = ((STEPS, steps), (PROMPTS, prompts))
    return tuple(Correction(name, x, 0.0, (), 0, ()) for name, x in pairs if x != 1.0)


def _tokens(value: float | None, name: str) -> int:
    if value is None:
        raise InputError(
            message("verbs.learn_not_said", what=name), hint=message("verbs.learn_say", flag=name)
        )
    return max(round(value), 1)


def _in_flight(run: MeasuredRun) -> float:
    """Requests in flight: what the client kept, else all of them at once."""
    if run.kind in (PROMPT, DECODE):
        return 1.0
    most = run.concurrency or float(run.completed)
    if not most or (run.kind == BATCH and run.concurrency is None and run.output_rate is None):
        raise InputError(
            message("verbs.learn_not_said", what="concurrency"),
            hint=message("verbs.learn_say", flag="concurrency"),
        )
    return min(most, float(run.completed or most)) if run.kind != BATCH else most


def _finite(run: MeasuredRun) -> int | None:
    """Requests of a run that starts with all that are in flight at once."""
    return None if run.kind in (PROMPT, DECODE, BATCH) else run.completed or None


def _closed(
    inputs: QuestionInput, subject: ServedSubject, in_flight: float, requests: int | None
) -> RunForecast:
    loop = Loop(concurrency=in_flight, requests=requests)
    found = assigned(inputs)
    answer = served_answer(
        found, loop, subject.engine, subject.scheme or "", None, layout_given=True
    )
    point, tpot, ttft = answer.point, answer.tpot_seconds, answer.ttft_seconds
    assert point is not None
    assert tpot is not None
    assert ttft is not None
    model = found.space.model
    priced = price(found.space, found.candidate, found.segments)
    return RunForecast(
        tpot,
        ttft,
        point.request_seconds,
        point.output_tokens_per_second,
        kind_of(model, priced, requests=in_flight),
        in_flight,
    )


def tells(run: MeasuredRun, forecast: RunForecast, name: str) -> bool:
    """Whether a run's mean of ``name`` (TPOT or TTFT) says something of the machine: it was
    measured, and is not the draw's of the arrivals."""
    return getattr(run, name) is not None and forecast.draws(name) <= MOST_DRAWN


def explaining(
    run: MeasuredRun, subject: ServedSubject, first: RunForecast
) -> tuple[float, float] | None:
    """The factors on steps and on prompts under which the law gives what ``run`` measured, from its
    ``first`` answer (Broyden's method in logarithms, with a slope read anew where it fails); None
    where there are none within MOST_FACTOR. What was not measured, or is the draw's of its
    arrivals, keeps a factor of 1."""
    names = [name for name in (TPOT, TTFT) if tells(run, first, name)]
    wanted = np.log([getattr(run, name).mean for name in names])
    most = math.log(MOST_FACTOR)

    def known(logs: Logs) -> dict[str, float]:
        return dict(zip(names, np.exp(logs).tolist(), strict=True))

    def answer(logs: Logs) -> Logs:
        given = known(logs)
        found = predicted(run, subject, factors(given.get(TPOT, 1.0), given.get(TTFT, 1.0)))
        return np.log([getattr(found, name).value for name in names])

    logs = best = np.zeros(len(names))
    now = at_best = np.log([getattr(first, name).value for name in names])
    slope: Logs | None = None
    longest = LONGEST_STEP
    for _ in range(ROUNDS):
        off = wanted - now
        if np.abs(off).max(initial=0.0) < CLOSE or longest < CLOSE:
            break
        if slope is None:
            moved = [answer(logs + NEARBY * one) - now for one in np.eye(len(names))]
            slope = np.stack(moved, axis=1) / NEARBY
        change = np.linalg.lstsq(slope, off, rcond=None)[0]
        change *= min(1.0, longest / max(float(np.abs(change).max()), CLOSE))
        change = np.clip(logs + change, -most, most) - logs
        if not change.any():
            break
        then = answer(logs + change)
        if np.linalg.norm(wanted - then) < np.linalg.norm(wanted - at_best):
            best, at_best = logs + change, then
        elif np.linalg.norm(wanted - then) > np.linalg.norm(off):
            # Near saturation a slope holds for small steps alone.
            logs, now, slope, longest = best, at_best, None, longest / 2
            continue
        slope = slope + np.outer(then - now - slope @ change, change) / (change @ change)
        logs, now = logs + change, then
    if np.abs(wanted - at_best).max(initial=0.0) > NEAR_ENOUGH:
        return None
    given = known(best)
    return given.get(TPOT, 1.0), given.get(TTFT, 1.0)
