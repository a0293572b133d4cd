"""Which measured run an answer would have been, and what it loses against the page's best.

The nearest run has the fewest disagreements in this order: engine; class of the layout; its
degrees; class of the format (FP8, INT4, ...); format; cache; speculation; version. Of equals the
first that was taken is the nearest: an engine's defaults come before tuned settings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.gains_rows import MeasuredConfiguration
from evaluation.laboratory.rows import choice, rate
from planner.planning.choose.calibrated import Configuration, differences

EXACT, NEARLY, OTHER = "exact", "but for one", "another"
"""Nothing differs; one of SLIGHT differs; more differs."""
SLIGHT = frozenset(("batch", "version", "cache"))


def disagreements(answer: Configuration, run: Configuration) -> tuple[bool, ...]:
    """Whether the two disagree, in the order of what matters most."""
    return (
        answer.engine != run.engine,
        answer.layout_class != run.layout_class,
        answer.layout != run.layout or answer.devices != run.devices,
        format_class(answer.format) != format_class(run.format),
        answer.format != run.format,
        answer.cache != run.cache,
        answer.drafts != run.drafts,
        answer.version != run.version,
    )


def nearest(answer: Configuration, runs: Sequence[MeasuredConfiguration]) -> MeasuredConfiguration:
    """The run with the fewest disagreements, the first of equals."""
    return min(runs, key=lambda run: disagreements(answer, run.configuration))


def unlike(answer: Configuration, run: Configuration, *, stated: bool) -> frozenset[str]:
    """What the two differ in. Requests in flight are compared where the page ``stated`` them: where
    all are sent at once, nobody knows how many of them ran."""
    return differences(answer, run) - (frozenset() if stated else frozenset(("batch",)))


def exactness(differing: frozenset[str]) -> str:
    """One of EXACT, NEARLY, OTHER."""
    if not differing:
        return EXACT
    return NEARLY if len(differing) == 1 and differing <= SLIGHT else OTHER


def format_class(name: str) -> str:
    """``fp8`` of fp8-block, ``int4`` of int4-w4a16."""
    match = re.match(r"[a-z]+\d+", name)
    return match[0] if match else name


def regret(run: MeasuredConfiguration, runs: Sequence[MeasuredConfiguration]) -> float:
    """By what share the best of ``runs`` is faster than ``run``; 0 where it is the best itself."""
    return max(map(rate, runs)) / rate(run) - 1.0


def tuned(run: MeasuredConfiguration, runs: Sequence[MeasuredConfiguration]) -> float:
    """The same with the best settings that the laboratory tried for the choice of ``run``."""
    same = [r for r in runs if choice(r.configuration) == choice(run.configuration)]
    return max(map(rate, runs)) / max(map(rate, same)) - 1.0
