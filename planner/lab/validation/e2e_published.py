"""Rows of published benchmark tables (``e2e_trtllm*``, ``e2e_mlperf*``, ``e2e_jetson*``,
``e2e_xeon*``): rates and times, by the definition that the metric's name states.

A static batch reads all prompts, then decodes them together. Serving throughput is a closed loop.
MLPerf's offline scenario fills the cache; server and interactive take the largest load whose mean
times are within the task's limits. Where a row names no layout, its devices hold replicas of the
legal layout that is fastest at what was measured; the basis says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import exp, hypot

from planner.base.errors import PlannerError
from planner.formats.schemes import scheme
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile, Quantity
from planner.lab.validation.open_rates import RATE, predict_rates
from planner.lab.validation.published_case import LISTED, PublishedRow, resolve, words
from planner.lab.validation.published_metric import TIMES
from planner.lab.validation.records import EXCLUDED, NotCoveredError, Outcome
from planner.lab.validation.served import (
    GRID,
    Deployed,
    assignment,
    cache_tokens,
    certainties,
    device_of,
    serve,
    spec_of,
    table,
)
from planner.lab.validation.served_kinds import served_kind
from planner.lab.validation.trtllm_bench import BenchRun, bench_limits
from planner.models.spec import ModelSpec
from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.evidence import evidence
from planner.planning.price.served_sigmas import Z80, Shares
from planner.planning.price.step import Serving, step_times
from planner.planning.question.time_limits import request_seconds
from planner.throughput.offline import offline_run
from planner.throughput.scheduling import Load, StepTimes
from planner.throughput.serving import SteadyState

OFFLINE_SEQUENCES = 2048.0
"""Most sequences of a rank in an offline run without a stated batch; caches are full before."""
HALVINGS = 12
AGE_SIGMA = 0.15
"""Log-space error that software of another year adds: versions differ by 5-8 % in time per token
and 8-23 % in time to the first (served models of PyPI aiconfigurator-core 0.12.0)."""


@dataclass(frozen=True, slots=True)
class PricedRow:
    """A row in one layout: its ``value`` in the row's unit, ``replicas`` of ``case``, ``batch``
    sequences that a rank decodes, and whether it is ``within_limits`` of the task."""

    value: float
    case: Deployed
    replicas: int
    batch: float
    within_limits: bool = True


def predict_rows(table_name: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """One outcome a row."""
    given = list(rows)
    out = [
        _blank(table_name, i, row)
        if RATE.fullmatch(row["batch_or_concurrency"].strip())
        else _outcome(table_name, i, row)
        for i, row in enumerate(given)
    ]
    at_rates = [
        i for i, row in enumerate(given) if RATE.fullmatch(row["batch_or_concurrency"].strip())
    ]
    for outcome in predict_rates([out[i] for i in at_rates], [given[i] for i in at_rates]):
        out[outcome.row] = outcome
    return out


def _blank(table_name: str, i: int, row: Mapping[str, str]) -> Outcome:
    return Outcome(
        table=table_name,
        row=i,
        metric=row["metric"],
        device=row["device"],
        software=row["software"],
        model=row["model"],
        format=row["w_dtype"] or "bf16",
        regime=LISTED,
    )


def _outcome(table_name: str, i: int, row: Mapping[str, str]) -> Outcome:
    blank = _blank(table_name, i, row)
    try:
        resolved = resolve(row)
        blank = replace(
            blank, metric=resolved.what.quantity, measured=resolved.value, regime=resolved.regime
        )
        best = _best(resolved)
        sure = certainties(best.case, GRID)
    except NotCoveredError as error:
        return replace(blank, reason=error.reason)
    prompts = resolved.what.quantity in ("ttft", "prefill_time", "prefill_tokens_per_second")
    # A pass over prompts is composed as a step is: no queue and no host of a loop are in it.
    batch = max(best.batch, 1.0)
    kind = served_kind(best.case, best.batch * best.case.shape.dp)
    stated = resolved.stated or resolved.devices == 1
    alone = sure.operators(batch, Shares())
    sigma = sure.reading(kind) if prompts else sure.sigmas(batch, Shares(), kind).tpot
    operators = hypot(alone.ttft if prompts else alone.tpot, AGE_SIGMA)
    factor = exp(Z80 * hypot(sigma, AGE_SIGMA))
    where = "" if resolved.stated else f"; {words(best.case.shape, best.replicas)} chosen"
    if best.case.device != device_of(best.case.device).id:
        where = f"; on {best.case.device}" + where
    spec = spec_of(best.case.model)
    regime = EXCLUDED + why if (why := beyond_peak(resolved, best.case)) else resolved.regime
    return replace(
        blank,
        device=device_of(best.case.device).id,
        model=spec.id,
        regime=regime,
        format=best.case.recipe.dense,
        predicted=best.value,
        low=best.value / factor,
        high=best.value * factor,
        basis=sure.basis + where,
        kind=kind if stated else None,
        operators=operators,
        layout_class=kind.layout if stated else "",
        concurrency_range=kind.requests if stated else "",
        evidence_level=evidence(kind, _evidence_metric(resolved)).level if stated else "",
    )


def _evidence_metric(row: PublishedRow) -> str:
    """The metric whose evidence an answer would quote."""
    quantity = row.what.quantity
    return quantity if quantity in ("tpot", "ttft") else "throughput"


def _best(row: PublishedRow) -> PricedRow:
    """The layout of the row, or of those that may have run the fastest within the limits.

    Raises:
        NotCoveredError: none of them is legal.
    """
    done, reason = [], "not legal"
    for case in row.cases:
        try:
            done.append(_priced(row, case))
        except NotCoveredError as error:
            reason = error.reason
    if not done:
        raise NotCoveredError(reason)
    sign = -1.0 if row.what.quantity in TIMES else 1.0
    return max(done, key=lambda p: (p.within_limits, sign * p.value))


def _priced(row: PublishedRow, case: Deployed) -> PricedRow:
    replicas = max(1, row.devices // case.shape.ranks)
    requests = row.load.each * case.shape.ranks * replicas or row.load.batch
    quantity = row.what.quantity
    if quantity in TIMES:
        return PricedRow(
            _time(row, case, max(requests, 1.0)), case, 1, max(requests, 1.0) / case.shape.dp
        )
    if not requests:
        return _filled(row, case, replicas)
    batch = max(requests / replicas, 1.0)
    each = max(batch / case.shape.dp, 1.0)
    if row.phase == "decode":
        rate = batch / row.policy.step(_steps(case, each, row.overlap).step(each), each)
    elif row.phase == "prefill":
        rate = batch * case.isl / row.policy.step(_prompts(case, each), 0.0)
    elif row.static:
        tpot = row.policy.step(table(case, max(GRID, each)).step(each), each)
        rate = batch * case.osl / (_prompts(case, each) + case.osl * tpot)
    else:
        rate = _rate(serve(case, row.policy, batch, requests=None), case, batch)
    return PricedRow(_counted(row, case, replicas * rate), case, replicas, each)


def _time(row: PublishedRow, case: Deployed, batch: float) -> float:
    """Seconds of a first or next token, of all prompts, or of a whole request."""
    each = max(batch / case.shape.dp, 1.0)
    tpot = row.policy.step(table(case, max(GRID, each)).step(each), each)
    prompts = row.policy.step(_prompts(case, each), each)
    if row.what.quantity == "tpot":
        return tpot
    if row.what.quantity == "latency":
        return request_seconds(prompts, tpot, case.osl)
    return prompts


def _prompts(case: Deployed, batch: float) -> float:
    """Seconds to read ``batch`` prompts of a rank, as many together as one pass takes."""
    group = table(case, max(GRID, batch)).group
    together = min(len(group), max(int(batch), 1))
    return float(group[together - 1]) * batch / together


@cache
def _steps(case: Deployed, batch: float, overlap: bool) -> StepTimes:
    """Step times of decoding, in two micro-batches where ``overlap`` says so."""
    if not overlap:
        return table(case, max(GRID, batch))
    return step_times(
        assignment(case), Serving(case.isl, case.osl, max(GRID, batch), case.chunk, overlap=True)
    )


def _rate(loop: SteadyState, case: Deployed, concurrency: float) -> float:
    """Output tokens/s of a closed loop."""
    return concurrency * case.osl / (loop.ttft + case.osl * loop.tpot)


def _counted(row: PublishedRow, case: Deployed, rate: float) -> float:
    """``rate`` of output tokens in what the row counts."""
    if row.what.quantity == "total_tokens_per_second":
        return rate * (case.isl + case.osl) / case.osl
    return rate / case.osl if row.what.quantity == "requests_per_second" else rate


def _filled(row: PublishedRow, case: Deployed, replicas: int) -> PricedRow:
    """A deployment that is never idle: the cache is full, or the task's limits are reached."""
    dp = case.shape.dp
    if row.phase:
        raise NotCoveredError("setting not stated")
    if row.bench is not None:
        return _benched(row, row.bench, case, replicas)
    most = dp * min(cache_tokens(case) / (case.isl + case.osl), OFFLINE_SEQUENCES)
    most = max(most, 1.0)
    limits = row.task.limits.get(row.load.limits) if row.task is not None else None
    if row.load.limits and limits is None:
        raise NotCoveredError("setting not stated")

    def loop(concurrency: float) -> SteadyState:
        return serve(case, row.policy, concurrency, requests=None)

    def within(served: SteadyState) -> bool:
        return limits is None or (served.ttft <= limits[0] and served.tpot <= limits[1])

    served, load = loop(most), most
    if not within(served):
        low, high = 1.0, most
        for _ in range(HALVINGS):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if within(loop(middle)) else (low, middle)
        served, load = loop(low), low
    value = _counted(row, case, replicas * _rate(served, case, load))
    return PricedRow(value, case, replicas, max(load / dp, 1.0), within(served))


def _benched(row: PublishedRow, bench: BenchRun, case: Deployed, replicas: int) -> PricedRow:
    """A run of equal requests that are all given at once."""
    cache, shape = cache_tokens(case) * bench.cache_share, case.shape
    limits = bench_limits(cache / (case.isl + case.osl), case.isl, case.osl, shape.pp)
    requests = bench.requests / replicas
    load = Load(requests, case.isl, case.osl, shape.dp, requests, cache, alike=True)
    times = table(replace(case, chunk=max(case.chunk, int(limits.tokens))), limits.sequences)
    try:
        run = offline_run(times, load, row.policy, limits)
    except PlannerError as error:
        raise NotCoveredError("not legal") from error
    batch = min(limits.sequences, requests / shape.dp / shape.pp)
    return PricedRow(_counted(row, case, replicas * run.rate), case, replicas, max(batch, 1.0))


BEYOND = "faster than its prompts and weights at the most that products reach on the device"
PLAIN = "bf16"


def active_parameters(spec: ModelSpec) -> float:
    """Weights that a token multiplies: all matrices but embedding and head, of experts the
    chosen."""
    experts = spec.experts
    share = experts.per_token / experts.count if experts is not None else 1.0
    return sum(
        row.elements * row.copies * (share if row.kind in EXPERT_KINDS else 1.0)
        for row in spec.rows
        if row.is_matrix and row.part == "main" and row.kind not in ("embedding", "head")
    )


def beyond_peak(row: PublishedRow, case: Deployed) -> str:
    """Why the measured rate of a closed loop cannot be, by arithmetic alone; empty if it can.

    B requests take at least the operations of their prompts, 2·N·I each, and one reading of the
    active weights for every step that no prompt is read in, O − B of them (none where the row
    states no B). Rates are the upper ends of what products reach, of the scheme or of BF16.
    """
    if row.what.quantity != "output_tokens_per_second" or row.phase:
        return ""
    device = device_of(case.device)
    recipe = scheme(case.recipe.dense)
    rate = device.rate(recipe.compute)
    if rate is None:
        return ""
    parameters = active_parameters(spec_of(case.model))
    peak = rate.dense.value * row.devices * _reached(device, recipe.kernel, "compute_fraction")
    wire = (
        device.bandwidth_bytes_per_s.value
        * row.devices
        * _reached(device, recipe.kernel, "bandwidth_fraction")
    )
    batch = row.load.batch or row.load.each * row.devices
    prompts = 2.0 * parameters * case.isl / peak
    weights = parameters * bits_per_element(recipe.weight) / 8 / wire
    alone = max(case.osl - batch, 0.0) / batch if batch else 0.0
    return BEYOND if prompts + alone * weights > case.osl / row.value else ""


def _reached(device: DeviceProfile, kernel: str, name: str) -> float:
    """The upper end of an achieved fraction, of the kernel's class or of plain products."""
    fractions: list[Quantity] = [
        getattr(device.achieved[key], name) for key in (kernel, PLAIN) if key in device.achieved
    ]
    return max((q.high or q.value for q in fractions), default=1.0)
