"""Runs of a benchmark client against servers started by a command (``e2e_gpustack``).

A run is 1,000 requests or fewer, sent at once or with at most ``max_concurrency`` in flight.
Where a slot serves few requests the mean over the run has a ramp and a tail in it, and the run is
played (:mod:`planner.throughput.burst`, regime ``burst``); others are the closed loop at rest
(regime ``aggregated``). Throughput is output tokens/s over the whole run, as the client states it.
Answers of ShareGPT differ in length while those of random text do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import hypot

from planner.base.errors import PlannerError
from planner.base.versions import version_in
from planner.lab.validation.cells import MOST_NAME, MOST_TOKENS, count, parse_int, positive
from planner.lab.validation.names import device_name
from planner.lab.validation.records import (
    EXCLUDED,
    NotCoveredError,
    Outcome,
    Predicted,
)
from planner.lab.validation.served import (
    GRID,
    Deployed,
    Limits,
    certainties,
    device_of,
    engine_limits,
    serve,
    spec_of,
    table,
)
from planner.lab.validation.served_commands import (
    ServeCommand,
    engine_version,
    serve_command,
    weights_label,
)
from planner.lab.validation.served_kinds import served_kind
from planner.lab.validation.serving_rules import cache_layout, formats, runnable
from planner.memory.engines.records import Settings
from planner.models.spec import ModelSpec
from planner.planning.price.evidence import METRICS
from planner.planning.price.kinds import ServedKind
from planner.planning.price.served_sigmas import Shares, Sigmas, shares_of
from planner.throughput.acceptance import acceptance
from planner.throughput.burst import BurstRun, burst, spread_lengths
from planner.throughput.engine_policy import engine_policy, prompt_host, with_prompt_host
from planner.throughput.scheduling import Load, Scheduling
from planner.throughput.speculation import accepted_tokens

STEADY_TURNS = 5.0
"""Requests a slot from which on a run is taken to be at rest."""
MOST_REQUESTS = 20_000
"""Requests of a run that is played."""
DRAFTING_SLOTS = 48
"""Sequences that SGLang runs with speculative decoding where max-running-requests is not set
(server_args.py)."""
RUN_SIGMA = 0.15
"""Log-space error that one run on one machine adds to operators': repeats and versions."""
LONGEST = 2048
"""Tokens of prompt and answer that the client keeps of ShareGPT (vllm bench serve)."""
BURST = "burst"
BUFFERED = "tokens arrived in buffers"
REPEATS = "the figures of another run"
OTHER_MODEL = "the command names another model than its page"
_QUANTITY = {
    "output_tokens_per_s": ("throughput", 1.0),
    "request_throughput": ("requests_per_second", 1.0),
    "total_tokens_per_s": ("total_tokens_per_second", 1.0),
    "ttft_mean": ("ttft", 1e-3),
    "tpot_mean": ("tpot", 1e-3),
    "duration": ("run_seconds", 1.0),
}
"""Metrics of the client → ours and the factor to seconds or tokens/s."""
_RUN = (
    "run_id",
    "device",
    "n_devices",
    "software",
    "model",
    "section",
    "profile",
    "command",
    "num_requests",
    "max_concurrency",
    "request_rate",
    "isl_mean",
    "osl_mean",
)
_ALIKE = re.compile(r"random|(?:throughput|long context|generation heavy) profile", re.IGNORECASE)
"""Workloads whose requests have one length; the laboratory's others are ShareGPT's."""


@dataclass(frozen=True, slots=True)
class ServedRun:
    """A run resolved: ``replicas`` of ``case`` under ``limits``, ``requests`` in all and at most
    ``concurrency`` in flight over them; ``mixed``: answers differ in length."""

    case: Deployed
    replicas: int
    limits: Limits
    policy: Scheduling
    requests: int
    concurrency: float
    accepted: float
    mixed: bool
    excluded: str

    @property
    def steady(self) -> bool:
        """Whether the run is long beside what is in flight."""
        return self.requests >= STEADY_TURNS * self.concurrency


def predict_rows(table_name: str, rows: Iterable[Mapping[str, str]]) -> list[Outcome]:
    """One outcome a row."""
    rows = list(rows)
    repeated = repeated_runs(rows)
    return [_outcome(table_name, i, row, repeated) for i, row in enumerate(rows)]


def repeated_runs(rows: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """Runs all of whose figures an earlier run has: copied by whoever wrote the page."""
    figures: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        figures.setdefault(row["run_id"], []).append((row["metric"], row["value"]))
    seen: set[tuple[tuple[str, str], ...]] = set()
    found = set()
    for run, values in figures.items():
        key = tuple(sorted(values))
        if key in seen and len(key) > 1:
            found.add(run)
        seen.add(key)
    return frozenset(found)


def _outcome(table_name: str, i: int, row: Mapping[str, str], repeated: frozenset[str]) -> Outcome:
    metric, factor = _QUANTITY.get(row["metric"], (row["metric"], 0.0))
    blank = Outcome(
        table=table_name,
        row=i,
        metric=metric,
        device=row["device"],
        software=row["software"],
        model=row["model"],
        format="",
        regime=BURST,
        mode="agg",
    )
    try:
        run = resolved_run(tuple(row[name] for name in _RUN))
        blank = replace(
            blank,
            device=device_of(run.case.device).id,
            software=f"{run.case.engine} {run.case.engine_version}",
            model=spec_of(run.case.model).id,
            format=run.case.recipe.experts,
        )
        if not factor:
            raise NotCoveredError("quantity not predicted")
        measured = positive(row["value"]) * factor
        found = predicted(run)[metric]
    except NotCoveredError as error:
        return replace(blank, reason=error.reason)
    why = run.excluded or (REPEATS if row["run_id"] in repeated else "")
    if not why and metric == "tpot" and row["suspect"]:
        why = BUFFERED
    regime = EXCLUDED + why if why else "aggregated" if run.steady else BURST
    quoted = metric if run.steady and metric in METRICS else ""
    return found.outcome(blank, kind_of_run(run), measured, quoted, regime=regime)


@cache
def resolved_run(cells: tuple[str, ...]) -> ServedRun:
    """The run of ``cells`` in the order of _RUN.

    Raises:
        NotCoveredError: something that decides its times is not known.
    """
    row = dict(zip(_RUN, cells, strict=True))
    if row["request_rate"]:
        raise NotCoveredError("open arrivals")
    command = serve_command(row["command"], said=row["section"])
    version = engine_version(command.engine, row["software"])
    if version_in(version) is None:
        raise NotCoveredError("unknown engine")
    if command.context_parallel > 1:
        raise NotCoveredError("context parallelism")
    device = device_of(device_name(row["device"][:MOST_NAME]).id)
    page = row["model"].split("|")[0].partition("Throughput")[0].removeprefix("Optimizing").strip()
    name = _last_part(command.model) or page
    spec = spec_of(name)
    label = weights_label(command.model, command.quantization) or spec.quantization
    chosen = formats(spec.id, label, blackwell=device.architecture.startswith("Blackwell"))
    if chosen is None:
        raise NotCoveredError("unknown format")
    chosen = runnable(chosen, device)
    kv = "fp8" if command.kv.startswith("fp8") else cache_layout(command.engine, spec.id, label)
    mixed = _ALIKE.search(f"{row['section']} {row['profile']}") is None
    isl, osl = count(row["isl_mean"], MOST_TOKENS), count(row["osl_mean"], MOST_TOKENS)
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    case = Deployed(
        name,
        device.id,
        command.engine,
        tuple(map(parse_int, numbers[0].split("."))) if numbers else (),
        chosen.recipe(kv, experts=spec.experts is not None),
        command.shape,
        isl,
        osl,
        version_text=version,
        drafts=command.drafts,
        length=float(isl + osl) if mixed else 0.0,
    )
    limits = engine_limits(case, _settings(command))
    if command.drafts and command.engine == "sglang" and not command.slots:
        limits = replace(limits, slots=float(DRAFTING_SLOTS))
    case = replace(case, chunk=limits.chunk)
    requests = count(row["num_requests"], MOST_REQUESTS)
    stated = row["max_concurrency"]
    return ServedRun(
        case,
        command.replicas,
        limits,
        policy_of(case, row["command"]),
        requests,
        min(float(count(stated, MOST_REQUESTS)), requests) if stated else float(requests),
        accepted_by(spec.id, command.drafts),
        mixed,
        OTHER_MODEL if _differs(page, spec) else "",
    )


def _differs(page: str, spec: ModelSpec) -> bool:
    """Whether the page is about a model of another shape."""
    try:
        of_page = spec_of(page)
    except NotCoveredError:
        return False
    return (of_page.layers, of_page.hidden_size) != (spec.layers, spec.hidden_size)


def accepted_by(model: str, drafts: int) -> float:
    """Tokens of a step with so many proposed by the model's own prediction layers.

    Raises:
        NotCoveredError: no acceptance is known.
    """
    if not drafts:
        return 1.0
    try:
        return accepted_tokens(drafts, acceptance("mtp", model, "", drafts).value)
    except PlannerError as error:
        raise NotCoveredError("setting not stated") from error


def _last_part(path: str) -> str:
    """The last two parts of a model's path or name: owner and model."""
    parts = [part for part in path.split("/") if part]
    return (
        "/".join(parts[-2:])
        if len(parts) == 2 and not path.startswith("/")
        else (parts[-1] if parts else "")
    )


def _settings(command: ServeCommand) -> Settings:
    return Settings(
        utilisation=command.fraction or None,
        batched_tokens=command.chunk or None,
        max_seqs=command.slots or None,
    )


def policy_of(case: Deployed, command: str = "") -> Scheduling:
    """How the engine of ``case`` schedules, started by ``command``."""
    version = case.engine_version
    spec = spec_of(case.model)
    policy = with_prompt_host(
        engine_policy(case.engine, version, case.device).policy,
        prompt_host(case.engine, version, case.device, experts=spec.experts is not None),
        spec.layers,
    )
    if "--async-scheduling" in command:
        policy = replace(policy, overlapped=True, ahead=max(policy.ahead, 1))
    return policy


@cache
def predicted(run: ServedRun) -> dict[str, Predicted]:
    """What is predicted, by ours of _QUANTITY.

    Raises:
        NotCoveredError: the planner or the engine refuses the combination.
    """
    case, each = run.case, run.concurrency / run.replicas
    sure = certainties(case, GRID)
    if run.steady:
        served = serve(
            case,
            run.policy,
            max(each, 1.0),
            requests=run.requests / run.replicas,
            alike=not run.mixed,
        )
        request = served.ttft + case.osl * served.tpot
        rate = run.concurrency * case.osl / request
        shares = shares_of(served, case.osl)
        tpot, active, alone = served.tpot, served.active, 0.0
        ttft, seconds = served.ttft, run.requests * request / run.concurrency
    else:
        played = play(run)
        ttft, tpot, seconds = played.ttft, played.tpot, played.seconds
        rate = played.rate * run.replicas
        # What a run of all requests at once takes follows its steps; no queue is in it.
        shares, active, alone = Shares(), max(played.active, 1.0), RUN_SIGMA
    own, total = sure.operators(active, shares), sure.sigmas(active, shares, kind_of_run(run))
    if not run.steady:
        own, total = Sigmas(own.tpot, own.tpot, own.tpot), Sigmas(*[total.tpot] * 3)
    answers = {
        "throughput": (rate, total.throughput, own.throughput),
        "requests_per_second": (rate / case.osl, total.throughput, own.throughput),
        "total_tokens_per_second": (
            rate * (case.isl + case.osl) / case.osl,
            total.throughput,
            own.throughput,
        ),
        "ttft": (ttft, total.ttft, own.ttft),
        "tpot": (tpot, total.tpot, own.tpot),
        "run_seconds": (seconds, total.throughput, own.throughput),
    }
    if min(value for value, *_ in answers.values()) <= 0:
        raise NotCoveredError("malformed row")
    return {
        name: Predicted(value, hypot(sigma, alone), hypot(operators, alone), sure.basis)
        for name, (value, sigma, operators) in answers.items()
    }


def kind_of_run(run: ServedRun) -> ServedKind:
    """What was served how, by replica.

    Raises:
        NotCoveredError: the layout is not legal.
    """
    return served_kind(run.case, max(run.concurrency / run.replicas, 1.0))


def play(run: ServedRun) -> BurstRun:
    """The run played on one of its replicas.

    Raises:
        NotCoveredError: the planner or the engine refuses the combination.
    """
    case, ranks = run.case, run.case.shape.dp
    requests = max(run.requests / run.replicas, 1.0)
    load = Load(
        max(run.concurrency / run.replicas, 1.0),
        case.isl,
        case.osl,
        ranks,
        requests,
        run.limits.tokens,
        run.accepted,
    )
    most = min(max(GRID, load.concurrency / ranks), max(run.limits.slots, 1.0))
    answers = (
        spread_lengths(case.osl, int(requests / ranks) + 1, max(LONGEST - case.isl, case.osl))
        if run.mixed
        else ()
    )
    try:
        return burst(table(case, most), load, run.policy, slots=run.limits.slots, answers=answers)
    except PlannerError as error:
        raise NotCoveredError("not legal") from error
