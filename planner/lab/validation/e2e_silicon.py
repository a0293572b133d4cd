"""Rows of served models (``e2e_silicon*``): TPOT, TTFT and throughput in a closed loop.

The rows state times only. Their throughput, output tokens/s of the deployment, is by Little's law
what C requests in flight make of them, C·O / (TTFT + O·TPOT) with O the mean length of an answer:
measured from the measured times, predicted from those that the law predicts.

Nothing here is fitted to such rows. The host's time a step is data
(``throughput/data/engine_policy.toml``); rows that supplied it stay out of headline errors, and
every prediction is repeated without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from planner.lab.validation.cells import MOST_REQUESTS, MOST_TOKENS, MOST_VALUE, parse_int, positive
from planner.lab.validation.parallelism import Workers, deployment, runnable_workers
from planner.lab.validation.records import (
    EXCLUDED,
    WITHOUT_HOST,
    NotCoveredError,
    Outcome,
    Predicted,
)
from planner.lab.validation.served import (
    GRID,
    Deployed,
    certainties,
    device_of,
    layout_of,
    serve,
    spec_of,
    without_host,
)
from planner.lab.validation.served_kinds import served_kind
from planner.lab.validation.served_pools import serve_pools
from planner.lab.validation.serving_rules import (
    balance_steps,
    cache_layout,
    chunk_tokens,
    formats,
    hold,
    mislabelled,
    one_sided,
    prefill_ranks,
    run_of,
)
from planner.models.spec import ModelSpec
from planner.planning.price.evidence import METRICS
from planner.planning.price.kinds import ServedKind
from planner.planning.price.served_sigmas import Shares, first_share, shares_of
from planner.throughput.engine_policy import (
    engine_policy,
    prompt_host,
    supplied_host_time,
    with_prompt_host,
)
from planner.throughput.scheduling import Scheduling
from planner.throughput.serving import SteadyState

PREFILL_LABEL = "prefill workers labelled otherwise than in the run's recipe"
_ENGINE = {"trtllm": "tensorrt-llm", "vllm": "vllm", "sglang": "sglang"}
_MOST = {"isl": MOST_TOKENS, "osl": MOST_TOKENS, "concurrency": MOST_REQUESTS}
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class ServedRow:
    """One row resolved: who serves what, how, at which load; measured times in seconds.
    ``ttft_regime`` is apart: some rows supplied what the host costs a prompt."""

    row: int
    software: str
    workers: Workers
    case: Deployed
    policy: Scheduling
    concurrency: float
    requests: float
    alike: bool
    tpot: float
    ttft: float
    regime: str
    ttft_regime: str


def predict_rows(table: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """Outcomes of every row: TPOT, TTFT and throughput, with the host's time and without it."""
    out: list[Outcome] = []
    rows = list(rows)
    twins = faster_than_twins(rows)
    for i, row in enumerate(rows):
        blank = _blank(table, i, row)
        try:
            served_row = resolved(i, row)
            why = TWIN if i in twins else _contradiction(served_row)
            if why and not served_row.regime.startswith(EXCLUDED):
                served_row = replace(served_row, regime=EXCLUDED + why, ttft_regime=EXCLUDED + why)
            out += _outcomes(blank, served_row)
        except NotCoveredError as error:
            out += [replace(blank, metric=metric, reason=error.reason) for metric in METRICS]
    return out


def _contradiction(row: ServedRow) -> str:
    """Why the row's own data contradict its labels; empty where they do not."""
    known = mislabelled(row.case.engine, row.software.partition(" ")[2])
    if known or row.workers.prefill is not None or row.alike:
        return known
    served = serve(row.case, row.policy, row.concurrency, requests=row.requests)
    return (
        HELD
        if held_back(row.concurrency, row.case.osl, tpot=row.tpot, ttft=row.ttft, served=served)
        else ""
    )


def _blank(table: str, i: int, row: Mapping[str, str]) -> Outcome:
    return Outcome(
        table=table,
        row=i,
        metric="",
        device=row["device"],
        software=row["software"],
        model=row["model"],
        format=row["gemm_dtype"] or "bf16",
        regime="",
        mode=row["mode"],
    )


def _number(row: Mapping[str, str], key: str) -> float:
    return positive(row[key], _MOST.get(key, MOST_VALUE))


def engine_of(software: str) -> str:
    """The engine of a row.

    Raises:
        NotCoveredError: it is none of those whose closed loop is modelled.
    """
    engine = _ENGINE.get(software.partition(" ")[0])
    if engine is None:
        raise NotCoveredError("unknown engine")
    return engine


def resolved(i: int, row: Mapping[str, str]) -> ServedRow:
    """Row number ``i`` as a deployment, its load and its measured times.

    Raises:
        NotCoveredError: something that decides the times is not known.
    """
    software = row["software"]
    version = software.partition(" ")[2]
    engine = engine_of(software)
    device = device_of(row["device"])
    spec = spec_of(row["model"])
    label = row["gemm_dtype"]
    chosen = formats(spec.id, label, blackwell=device.architecture.startswith("Blackwell"))
    if chosen is None:
        raise NotCoveredError("unknown format")
    workers = deployment(row["parallelism"])
    if workers is None:
        raise NotCoveredError("setting not stated")
    workers = runnable_workers(workers, spec)
    isl, osl = int(_number(row, "isl")), int(_number(row, "osl"))
    load, concurrency = run_of(spec.id, isl, osl), _number(row, "concurrency")
    numbers = _NUMBERS.search(version)
    rule = engine_policy(engine, version, device.id)
    steps, share = hold(
        engine,
        spec.id,
        label,
        device.id,
        isl=isl,
        osl=osl,
        tp=workers.decode.tp,
        concurrency=concurrency,
    )
    kv = cache_layout(engine, spec.id, row["precision"] or label, device.id)
    case = Deployed(
        row["model"],
        device.id,
        engine,
        tuple(map(parse_int, numbers[0].split("."))) if numbers else (),
        chosen.recipe(kv, experts=spec.experts is not None),
        workers.decode,
        load.mean(isl),
        load.mean(osl),
        chunk_tokens(
            engine, spec.id, label, device.id, pooled=(isl, osl) if workers.prefill else None
        ),
        one_sided(engine, spec.id, device.id),
    )
    facts = {"model": spec.id, "tp": workers.decode.tp, "isl": isl, "osl": osl}
    regime = "disaggregated" if workers.prefill is not None else "aggregated"
    if row.get("exclude", ""):
        regime = EXCLUDED + row["exclude"]
    elif supplied_host_time(rule, facts):
        regime = EXCLUDED + "supplied the host time"
    elif workers.prefill is not None and workers.prefill.dp != (
        prefill_ranks(engine, version, spec.id, device.id, (isl, osl)) or workers.prefill.dp
    ):
        regime = EXCLUDED + PREFILL_LABEL
    layout_of(spec, engine, workers.decode, case.recipe.experts)
    host = prompt_host(engine, version, device.id, experts=spec.experts is not None)
    low = workers.prefill is None and concurrency <= host.concurrency
    policy = replace(
        with_prompt_host(rule.policy, host, spec.layers),
        hold_steps=steps,
        hold_share=share,
        balance_steps=balance_steps(engine, spec.id),
    )
    return ServedRow(
        i,
        software,
        workers,
        case,
        policy,
        concurrency,
        concurrency * load.requests,
        load.range_ratio == 1.0,
        _number(row, "tpot_ms") * 1e-3,
        _number(row, "ttft_ms") * 1e-3,
        regime,
        EXCLUDED + "supplied the prompt floor" if low else regime,
    )


def kind_of_row(row: ServedRow) -> ServedKind:
    """What was served how."""
    return served_kind(row.case, row.concurrency, pooled=row.workers.prefill is not None)


def _outcomes(blank: Outcome, row: ServedRow) -> list[Outcome]:
    kind = kind_of_row(row)
    named = replace(
        blank,
        device=row.case.device,
        model=spec_of(row.case.model).id,
        format=row.case.recipe.experts,
        regime=row.regime,
    )
    out = []
    bare = without_host(row.policy)
    for policy, note in ((row.policy, ""), (bare, EXCLUDED + WITHOUT_HOST)):
        if note and row.regime.startswith(EXCLUDED):
            continue
        for metric, prediction, measured in predictions(row, policy, kind):
            own = (
                row.regime
                if metric != "ttft" or row.regime.startswith(EXCLUDED)
                else row.ttft_regime
            )
            here = replace(named, metric=metric, regime=note or own)
            out.append(prediction.outcome(here, kind, measured, metric))
    return out


def predictions(
    row: ServedRow, policy: Scheduling, kind: ServedKind
) -> list[tuple[str, Predicted, float]]:
    """(metric, predicted, measured) of the three METRICS."""
    workers, osl = row.workers, row.case.osl
    sure = certainties(row.case, GRID)
    if workers.prefill is None:
        loop = serve(row.case, policy, row.concurrency, requests=row.requests, alike=row.alike)
        shares = shares_of(loop, osl)
        tpot, ttft, active = loop.tpot, loop.ttft, loop.active
    else:
        pooled = serve_pools(row.case, policy, row.concurrency, workers, requests=row.requests)
        tpot, ttft, active, shares = (
            pooled.tpot,
            pooled.ttft,
            pooled.active,
            Shares(first=first_share(pooled.ttft, pooled.tpot, osl)),
        )
    operators, sigmas = sure.operators(active, shares), sure.sigmas(active, shares, kind)
    rate = closed_rate(row.concurrency, osl, tpot=tpot, ttft=ttft)
    measured = closed_rate(row.concurrency, osl, tpot=row.tpot, ttft=row.ttft)
    return [
        ("tpot", Predicted(tpot, sigmas.tpot, operators.tpot, sure.basis), row.tpot),
        ("ttft", Predicted(ttft, sigmas.ttft, operators.ttft, sure.basis), row.ttft),
        (
            "throughput",
            Predicted(rate, sigmas.throughput, operators.throughput, sure.basis),
            measured,
        ),
    ]


def closed_rate(concurrency: float, osl: int, *, tpot: float, ttft: float) -> float:
    """Output tokens/s of ``concurrency`` requests of ``osl`` tokens that are always in flight."""
    return concurrency * osl / (ttft + osl * tpot)


TWIN_SHARE = 0.8
"""TPOT over that of the same deployment of a model of the same shape, below which a row is said to
draft tokens: repeats differ by 1 to 4 %."""
HELD_SHARE = 0.5
"""Share of the requests that decode, below which something other than the cache holds them."""
TWIN = "faster than its twin: speculative decoding not labelled?"
HELD = "by Little's law most requests wait although the cache has room: a batch limit not stated"
_SETTING = ("device", "software", "gemm_dtype", "parallelism", "concurrency", "isl", "osl")


@dataclass(frozen=True, slots=True)
class _Twin:
    index: int
    model: str
    tpot: float


def faster_than_twins(rows: Iterable[Mapping[str, str]]) -> frozenset[int]:
    """Numbers of rows that decode faster than TWIN_SHARE of a twin: another model's name for the
    same shape, in the same deployment at the same load."""
    groups: dict[tuple[str, ...], list[_Twin]] = {}
    for i, row in enumerate(rows):
        try:
            spec, tpot = spec_of(row["model"]), float(row["tpot_ms"])
        except (NotCoveredError, ValueError):
            continue
        key = (_shape(spec), *(row[name].strip() for name in _SETTING))
        groups.setdefault(key, []).append(_Twin(i, row["model"], tpot))
    return frozenset(
        twin.index
        for twins in groups.values()
        for twin in twins
        if any(twin.model != other.model and twin.tpot < TWIN_SHARE * other.tpot for other in twins)
    )


def _shape(spec: ModelSpec) -> str:
    """What two models have in common whose steps cost alike."""
    return f"{spec.layers} {spec.hidden_size} {spec.vocab_size}"


def held_back(
    concurrency: float, osl: int, *, tpot: float, ttft: float, served: SteadyState
) -> bool:
    """Whether Little's law leaves less than HELD_SHARE of the requests decoding, C·D/(D + W) with
    D = O·TPOT and W = TTFT as measured, where the cache holds them all."""
    decoding = osl * tpot
    return not served.full and decoding / (decoding + ttft) < HELD_SHARE and concurrency > 1
