"""Whether a run says something of its machine: why not, and how to run it again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from planner.lab.learning.forecast import RunForecast
from planner.lab.learning.results.run import SERVED, MeasuredRun, MeasuredTime
from planner.messages.message import Message, message

LEAST_REQUESTS, LEAST_REPEATS = 20, 3
"""Requests of a server, and repeats of a test without one, below which a mean is left alone."""
MOST_FAILED = 0.01
"""Share of requests: those that fail leave the others a machine of their own."""
MOST_ERROR = 0.05
"""Log-space standard error of a mean: a correction is worth no less than what it removes, and
served deployments differ by 9 % from point to point (``correction_spread.csv``)."""
MOST_LOST = 0.05
"""Share of a core's time that others took."""
MOST_APART = 0.15
"""Log-space distance of two runs of one question."""


def standard_error(times: MeasuredTime | None, load: float = 0.0) -> float:
    """Relative standard error of a mean; 0 where its spread is not told. ``load``: the relative
    deviation of single times that the load alone makes, which an undisturbed run has too."""
    if times is None or times.deviation is None:
        return 0.0
    variance = abs((times.deviation / times.mean) ** 2 - load**2)
    return math.sqrt(variance / times.count)


def disturbances(run: MeasuredRun, forecast: RunForecast) -> tuple[Message, ...]:
    """What is wrong with a run; nothing for one that counts. Its ``forecast`` says how far the load
    alone spreads its requests."""
    out = []
    asked = run.completed + run.failed
    if asked and run.failed > MOST_FAILED * asked:
        out.append(message("verbs.learn_failed", failed=run.failed, all=asked))
    least = LEAST_REQUESTS if run.kind == SERVED else LEAST_REPEATS
    if run.completed < least:
        out.append(message("verbs.learn_few", n=run.completed, least=least))
    for name, times in (("TPOT", run.tpot), ("TTFT", run.ttft)):
        error = standard_error(times, forecast.load(name.lower()))
        if error > MOST_ERROR:
            out.append(
                message(
                    "verbs.learn_spread",
                    what=name,
                    error=f"{error:.0%}",
                    n=math.ceil(run.completed * (error / MOST_ERROR) ** 2),
                )
            )
    if run.lost is not None and run.lost > MOST_LOST:
        out.append(message("verbs.learn_lost", share=f"{run.lost:.0%}"))
    return tuple(out)


def repeats_apart(runs: Sequence[MeasuredRun]) -> dict[int, Message]:
    """Of runs that posed one question, by their place: that they differ by more than repeats do."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, run in enumerate(runs):
        groups.setdefault(_question(run), []).append(i)
    out: dict[int, Message] = {}
    for places in groups.values():
        for name in ("tpot", "ttft"):
            means = [t.mean for i in places if (t := getattr(runs[i], name)) is not None]
            if len(means) > 1 and math.log(max(means) / min(means)) > MOST_APART:
                apart = f"{max(means) / min(means) - 1:.0%}"
                text = message("verbs.learn_apart", what=name.upper(), n=len(means), apart=apart)
                out |= dict.fromkeys(places, text)
    return out


def _question(run: MeasuredRun) -> tuple[object, ...]:
    return (
        run.tool,
        run.kind,
        run.engine,
        run.version,
        run.model,
        run.tp,
        run.scheme,
        None if run.isl is None else round(run.isl),
        None if run.osl is None else round(run.osl),
        run.cached,
        run.concurrency,
        run.rate,
    )
