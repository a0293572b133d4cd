"""Decode windows (``e2e_windows``): so many sequences decode for a while on contexts that are
already read, and single prompts on an idle server.

``aggregate_tps`` is B·A/T(0, B), all B in flight with A tokens a step of each, at the context and
half of what a sequence generates in the window. ``prefill_*`` is TTFT of one request, as a closed
loop of one has it. Ranks that share a sequence's cache (decode context parallelism) are not
modelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from planner.base.errors import PlannerError
from planner.lab.validation.cells import MOST_NAME, MOST_REQUESTS, MOST_TOKENS, count, positive
from planner.lab.validation.e2e_gpustack import accepted_by, policy_of
from planner.lab.validation.names import device_name
from planner.lab.validation.published_case import stated_shape
from planner.lab.validation.records import (
    NotCoveredError,
    Outcome,
    Predicted,
)
from planner.lab.validation.served import (
    GRID,
    Deployed,
    certainties,
    device_of,
    engine_limits,
    serve,
    spec_of,
    table,
)
from planner.lab.validation.served_commands import engine_version
from planner.lab.validation.served_kinds import served_kind
from planner.lab.validation.serving_rules import cache_layout, formats
from planner.memory.engines.records import Settings
from planner.planning.price.served_sigmas import Shares

WINDOW = "window"
SHORT_PROMPT = 64
"""Tokens of a prompt without a context."""
_ENGINES = re.compile(r"vllm|sglang|tensorrt-llm", re.IGNORECASE)
_DRAFTS = re.compile(r"(?:MTP|EAGLE)\D{0,3}(\d{1,2})", re.IGNORECASE)
_SHARED = re.compile(r"\b[DP]CP ?(\d+)", re.IGNORECASE)
_FLAG = re.compile(r"max_num_batched_tokens=(\d{1,7})")
_METRICS = {
    "aggregate_tps": "throughput",
    "aggregate decode throughput": "throughput",
    "per_request_avg_tps": "decode_tokens_per_second",
    "prefill_ttft_seconds": "prompt_seconds",
    "prefill_tok_per_sec": "prefill_tokens_per_second",
}


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A row resolved: ``batch`` sequences on ``case`` at a ``context``, for ``seconds``."""

    case: Deployed
    context: int
    batch: float
    accepted: float
    seconds: float


def predict_rows(table_name: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """One outcome a row."""
    return [_outcome(table_name, i, row) for i, row in enumerate(rows)]


def _outcome(table_name: str, i: int, row: Mapping[str, str]) -> Outcome:
    metric = _METRICS.get(row["metric"], row["metric"])
    blank = Outcome(
        table=table_name,
        row=i,
        metric=metric,
        device=row["device"],
        software=row["engine"],
        model=row["model"],
        format=row["w_dtype"],
        regime=WINDOW,
        mode="drafts" if _DRAFTS.search(row["speculation"]) else "",
    )
    try:
        shared = _SHARED.search(row["parallelism"])
        if shared is not None and shared[1].strip("0") not in ("", "1"):
            raise NotCoveredError("context parallelism")
        if metric == row["metric"]:
            raise NotCoveredError("quantity not predicted")
        resolved = window_row(row)
        measured = positive(row["value"])
        found = _predicted(resolved, metric)
        kind = served_kind(resolved.case, resolved.batch)
    except NotCoveredError as error:
        return replace(blank, reason=error.reason)
    return found.outcome(
        blank,
        kind,
        measured,
        metric if metric == "throughput" else "",
        device=device_of(resolved.case.device).id,
        model=spec_of(resolved.case.model).id,
        format=resolved.case.recipe.experts,
    )


def window_row(row: Mapping[str, str]) -> WindowRow:
    """``row`` with every name looked up.

    Raises:
        NotCoveredError: something that decides the figure is not known.
    """
    name = _ENGINES.search(row["engine"])
    if name is None:
        raise NotCoveredError("unknown engine")
    engine = name[0].lower()
    device, spec = device_of(device_name(row["device"][:MOST_NAME]).id), spec_of(row["model"])
    shape = stated_shape(_SHARED.sub("", row["parallelism"]), spec)
    if shape is None:
        raise NotCoveredError("setting not stated")
    label = row["w_dtype"].partition("(")[0].strip()
    chosen = formats(spec.id, label, blackwell=device.architecture.startswith("Blackwell"))
    if chosen is None:
        raise NotCoveredError("unknown format")
    text = row["context_tokens"].strip()
    context = 0 if text in ("0", "0.0") else count(text, MOST_TOKENS)
    requests = count(row["concurrency"], MOST_REQUESTS)
    stated = row.get("running_max", "")
    running = count(stated, MOST_REQUESTS) if stated.strip() else requests
    drafts = _DRAFTS.search(row["speculation"])
    proposed = int(drafts[1]) if drafts is not None else 0
    try:
        version = engine_version(engine, row["engine"])
    except NotCoveredError:
        raise NotCoveredError("setting not stated") from None
    kv = cache_layout(engine, spec.id, label, device.id)
    case = Deployed(
        row["model"],
        device.id,
        engine,
        (),
        chosen.recipe(kv, experts=spec.experts is not None),
        shape,
        max(context, SHORT_PROMPT),
        1,
        version_text=version,
        drafts=proposed,
    )
    flag = _FLAG.search(row.get("server", ""))
    limits = engine_limits(case, Settings(batched_tokens=int(flag[1]) if flag else None))
    return WindowRow(
        replace(case, chunk=limits.chunk),
        context,
        float(min(requests, running)),
        accepted_by(spec.id, proposed),
        positive(row.get("duration_s", "") or "30"),
    )


@cache
def _predicted(row: WindowRow, metric: str) -> Predicted:
    """What is predicted of one of _METRICS.

    Raises:
        NotCoveredError: the planner or the engine refuses the combination.
    """
    sure, kind = certainties(row.case, GRID), served_kind(row.case, row.batch)
    batch = max(row.batch / row.case.shape.dp, 1.0)
    sigmas, alone = sure.sigmas(batch, Shares(), kind), sure.operators(batch, Shares())
    if metric in ("prompt_seconds", "prefill_tokens_per_second"):
        loop = serve(row.case, policy_of(row.case), 1.0, requests=None)
        value = loop.ttft if metric == "prompt_seconds" else row.case.isl / loop.ttft
        return Predicted(value, sigmas.ttft, alone.ttft, sure.basis)
    rate = _rate(row, _rate(row, 0.0))
    value = rate if metric == "throughput" else rate / row.batch
    return Predicted(value, sigmas.tpot, alone.tpot, sure.basis)


def _rate(row: WindowRow, rate: float) -> float:
    """Output tokens/s of the window, where sequences generate ``rate`` tokens/s."""
    grown = rate / row.batch * row.seconds / 2
    length = round(row.context + SHORT_PROMPT * (row.context == 0) + grown, -1)
    case = replace(row.case, length=max(length, 1.0))
    each = max(row.batch / case.shape.dp, 1.0)
    policy = policy_of(case)
    try:
        steps = table(case, max(GRID, each))
    except PlannerError as error:
        raise NotCoveredError("not legal") from error
    return row.batch * row.accepted / policy.step(steps.step(each), each)
