"""What it costs to know nothing of a kind of deployment, measured on kinds of which rows are known:
planner/planning/data/left_out_kinds.csv (written by ``python -m benchmarks.evidence``).

Of each value of a key (an engine, an architecture, a class of model or of layout) with FEWEST rows:
σ is the least that, in quadrature with the operators' own error and the common term that rows of
all other values give, holds 80 % of its residuals, pairs of engine and model weighing alike. Rows
of an engine are predicted again with the scheduler and the host of no engine in particular, so that
nothing of theirs gave a constant; those of the others are not, as no constant is taken from rows of
a device, a class of model or a layout. ``*`` is the largest of a key; of caches that no row has,
where nothing can be left out, the largest of all keys.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import hypot, log
from pathlib import Path

from planner.lab.validation.e2e_silicon import kind_of_row, predictions, resolved
from planner.lab.validation.records import EXCLUDED, NotCoveredError
from planner.lab.validation.served import spec_of
from planner.planning.price.evidence import METRICS, ONE_USER, Residuals
from planner.planning.price.kinds import ServedKind
from planner.planning.price.measured_errors import FILE, PROMPT, WIDEST, needed, ordered, weighted
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.engine_policy import engine_policy, prompt_host, with_prompt_host

DATA = FILE
FEWEST = 8
KEYS = ("engine", "architecture", "model", "layout")
CACHE = "cache"
HEAD = (
    "# Written by `python -m benchmarks.evidence DIR...`: the log-space standard deviation that is",
    "# added where no deployment of a kind was measured, from rows of kinds that were left out.",
)


def without_engine(folder: Path) -> list[Residuals]:
    """Residuals of the rows of ``e2e_silicon*`` in ``folder`` where nothing is known of their
    engine, by the kind that they are of."""
    groups: dict[tuple[str, ServedKind, str, str], list[tuple[float, float]]] = {}
    for path in sorted(folder.glob("e2e_silicon*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for i, row in enumerate(csv.DictReader(file)):
                try:
                    for key, error in _unnamed(i, row, path.stem):
                        groups.setdefault(key, []).append(error)
                except NotCoveredError:
                    continue
    return [Residuals(*key, *zip(*rows, strict=True)) for key, rows in groups.items()]


def _unnamed(
    i: int, row: dict[str, str], table: str
) -> Iterator[tuple[tuple[str, ServedKind, str, str], tuple[float, float]]]:
    served = resolved(i, row)
    if served.regime.startswith(EXCLUDED):
        return
    spec, kind = spec_of(served.case.model), kind_of_row(served)
    experts = spec.experts is not None
    policy = with_prompt_host(
        engine_policy(ANY_ENGINE, "").policy,
        prompt_host(ANY_ENGINE, "", experts=experts),
        spec.layers,
    )
    other = replace(served, case=replace(served.case, engine=ANY_ENGINE, version=()))
    for metric, predicted, measured in predictions(other, policy, kind):
        if metric != "ttft" or not served.ttft_regime.startswith(EXCLUDED):
            error = log(measured / predicted.value), predicted.operators
            yield (metric, kind, spec.id, table), error


def costs(lines: Sequence[Residuals], unnamed: Sequence[Residuals]) -> str:
    """The data file: of ``lines``, and of the same rows ``unnamed`` by their engine; of prompts by
    engines that were measured with one user, whose rows need no other name for it."""
    out = [*HEAD, "metric,key,value,sigma,rows,basis"]
    engines = {r.kind.engine for r in lines if r.metric == "ttft" and r.table.startswith(ONE_USER)}
    for name in (*METRICS, PROMPT):
        metric = "ttft" if name == PROMPT else name
        known = [r for r in lines if r.metric == metric]
        prompts = [r for r in known if r.kind.engine in engines]
        if name == PROMPT:
            out += _of_metric(name, known, prompts, prompts)
            continue
        if metric == "ttft":  # no queue is in prompts: they do not tell what it costs
            known = [r for r in known if r not in prompts]
        out += _of_metric(name, known, known, [r for r in unnamed if r.metric == name])
    return "\n".join(out) + "\n"


def _of_metric(
    name: str,
    known: Sequence[Residuals],
    scored: Sequence[Residuals],
    unnamed: Sequence[Residuals],
) -> Iterator[str]:
    """The lines of ``name``: each value of ``scored`` (engines of ``unnamed``) by the others that
    are ``known``."""
    widest: dict[str, float] = {}
    for key in KEYS:
        mine = unnamed if key == "engine" else scored
        for value in sorted({getattr(r.kind, key) for r in mine}):
            some = [r for r in mine if getattr(r.kind, key) == value]
            others = [r for r in known if getattr(r.kind, key) != value]
            rows = sum(len(r.residuals) for r in some)
            if rows < FEWEST or not others:
                continue
            sigma = extra(some, others)
            widest[key] = max(widest.get(key, 0.0), sigma)
            yield f"{name},{key},{value},{sigma:.3f},{rows},left out"
    most = max(widest.values(), default=0.0)
    for key in KEYS:
        told = key in widest
        basis = "widest of the key" if told or name != PROMPT else "no row: widest of all keys"
        sigma = widest.get(key, most if name == PROMPT else 0.0)
        yield f"{name},{key},{WIDEST},{sigma:.3f},0,{basis}"
    yield f"{name},{CACHE},{WIDEST},{most:.3f},0,no row: widest of all keys"


def extra(some: Sequence[Residuals], others: Iterable[Residuals]) -> float:
    """What ``some`` need beside operators and the common term of ``others``; 0 for nothing."""
    known = ordered(others)
    wider = []
    for r in some:
        common = weighted(known, ordered([r])[0].features)
        wider.append(replace(r, operators=tuple(hypot(o, common) for o in r.operators)))
    rows = ordered(wider)
    sigma = weighted(rows, rows[0].features)
    return 0.0 if sigma <= needed(0.0, 0.0) else sigma
