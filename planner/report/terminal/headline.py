"""The first lines of a plan: what runs where, for which requests, how fast, at what loss."""

from __future__ import annotations

from planner.base.units import GIB, format_rate, format_seconds
from planner.planning.plan.record import Assumption, Estimate, Plan
from planner.planning.plan.speculation import MEMORY
from planner.planning.question.question import RATES
from planner.planning.question.time_limits import REQUEST_TIME
from planner.planning.space.loss_basis import ALIKE_KEY
from planner.quality.cache_reasoning import FOUR_BIT_KEY
from planner.quality.loss_units import NATS
from planner.report.terminal.pool_lines import devices_name, pool_lines, pools_name
from planner.throughput.calibration import ANY_ENGINE

LOSS_LINE = 3
"""Place of the loss among the lines of :func:`headline`."""
THEORY = "theory: no engine's rules"
LIMIT_DEFAULT, LIMIT_DROPPED, USERS_DEFAULT = "tpot-ms default", "tpot-ms dropped", "users default"
"""Keys of the assumptions that hold a default which moves the answer; they stand in the first
lines."""


def headline(plan: Plan) -> list[str]:
    """Three lines (devices, layout, engine; requests, users, rate; times and memory), then the
    loss and what it cannot tell apart, what drafts tokens, what a default has decided where it is
    no part of the three, pools."""
    return [
        _devices(plan),
        _requests(plan),
        _times(plan),
        _loss(plan),
        *reasoning_lines(plan),
        *_alike(plan),
        *draft_lines(plan),
        *_defaults(plan),
        *pool_lines(plan),
    ]


def users(plan: Plan) -> int:
    """Sequences at full context that the whole deployment holds."""
    return plan.capacity.max_concurrency_at_context * plan.layout.replicas


def request_capacity(plan: Plan) -> int:
    """Requests that the whole deployment holds at once; sequences at full context where a plan
    file does not say."""
    most = plan.capacity.max_concurrency_at_requests
    request_count = plan.capacity.max_concurrency_at_context if most is None else most
    return request_count * plan.layout.replicas


def concurrent_requests(plan: Plan) -> int:
    """Requests that are decoded together over all replicas."""
    return plan.workload.batch * plan.layout.replicas


def assumption_of(plan: Plan, key: str) -> Assumption | None:
    """The assumption ``key``."""
    return next((a for a in plan.assumptions if a.key == key), None)


def engine_name(plan: Plan) -> str:
    """The engine with its version; empty where the plan follows no engine's rules."""
    if plan.engine.name == ANY_ENGINE:
        return ""
    return " ".join(filter(None, (plan.engine.name, plan.engine.version)))


def layout_name(plan: Plan) -> str:
    """Degrees above one and replicas, e.g. ``tp8 ep8, 2 replicas``; empty on one device."""
    la = plan.layout
    shape = " ".join(
        f"{name}{value}"
        for name, value in (("tp", la.tp), ("dp", la.dp), ("pp", la.pp), ("ep", la.ep))
        if value > 1
    )
    return ", ".join(filter(None, (shape, f"{la.replicas} replicas" if la.replicas > 1 else "")))


def _devices(plan: Plan) -> str:
    shape, compared = pools_name(plan) or layout_name(plan), len(plan.engine.chosen_from)
    engine = engine_name(plan) or THEORY
    if compared > 1:
        engine += f" (of {compared})"
    each = "decode worker" if plan.deployment is not None else "replica"
    batch = f"batch {plan.workload.batch}{f' a {each}' if plan.layout.replicas > 1 else ''}"
    place = f"{plan.model.id} on {devices_name(plan)}"
    return ", ".join(filter(None, (place, shape, engine, batch)))


def _requests(plan: Plan) -> str:
    work, rate = plan.workload, plan.performance.output_tokens_per_second
    hits = f", prefix hit {_percent(work.prefix_hit_rate)}" if work.prefix_hit_rate else ""
    preset = f" ({work.preset})" if work.preset else ""
    count = concurrent_requests(plan)
    default = " by default" if assumption_of(plan, USERS_DEFAULT) is not None else ""
    return (
        f"requests: {work.isl:,} in → {work.osl:,} out{hits}{preset}; {count:,} "
        f"user{'s' if count > 1 else ''}{default}, "
        f"{format_rate(rate.value)} tokens/s ({span(rate)}{_basis(plan, limited=True)})"
    )


def _basis(plan: Plan, *, limited: bool) -> str:
    """The basis of rate and TPOT, which is one: beside TPOT, or beside the rate where a default
    limit takes that room."""
    here = (assumption_of(plan, LIMIT_DEFAULT) is not None) == limited
    return f", {plan.performance.tpot_seconds.basis}" if here else ""


def span(rate: Estimate) -> str:
    """The interval of a rate."""
    return f"{format_rate(rate.low)}–{format_rate(rate.high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _times(plan: Plan) -> str:
    perf, memory = plan.performance, plan.memory_per_device
    tpot = perf.tpot_seconds
    limit = assumption_of(plan, LIMIT_DEFAULT)
    text = f", default limit {limit.value}" if limit is not None else _basis(plan, limited=False)
    request = assumption_of(plan, REQUEST_TIME)
    request_text = "" if request is None else f", request {request.value}"
    return (
        f"TPOT {format_seconds(tpot.value)} ({time_span(tpot)}{text}), "
        f"TTFT {format_seconds(perf.ttft_seconds.value)}{request_text}; "
        f"{memory.total_bytes / GIB:.1f} of {memory.usable_bytes / GIB:.1f} GiB"
    )


def time_span(time: Estimate) -> str:
    """The interval of a time; the unit is left out where both ends have that of the value."""
    ends = [format_seconds(t).partition(" ") for t in (time.low, time.high)]
    unit = format_seconds(time.value).rpartition(" ")[2]
    alike = all(end[2] == unit for end in ends)
    return "–".join(end[0] if alike else "".join(end) for end in ends)


def _loss(plan: Plan) -> str:
    """The loss with its band, and what it means."""
    quality = plan.quality
    if quality.high == 0:
        return "loss 0"
    band = f"÷/× {quality.high / quality.loss:.2g}, " if quality.loss > 0 else ""
    band += f"floor {quality.floor:.2g}, " if quality.floor else ""
    value = (
        f"{quality.loss:.3g} nats"
        if quality.unit == NATS
        else f"{quality.loss:.2f} × uniform {quality.relative_to}"
    )
    kept = "" if quality.top1 is None else f"top-1 {100 * quality.top1:.3g} % as before"
    meant = ", ".join(filter(None, (quality.word, kept)))
    return f"loss {value} ({band}{quality.tier})" + (f": {meant}" if meant else "")


def _alike(plan: Plan) -> list[str]:
    """That formats of eight bits cannot be told apart, where the plan has one of them."""
    item = assumption_of(plan, ALIKE_KEY)
    if item is None or not plan.quality.floor:
        return []
    value, _, listed = item.value.partition(": ")
    names = listed.split(", ")
    return [f"{ALIKE_KEY} {value}"] if any(u.scheme in names for u in plan.units) else []


def reasoning_lines(plan: Plan) -> list[str]:
    """What caches of four bits lost on long reasoning, which a loss in nats does not show."""
    item = assumption_of(plan, FOUR_BIT_KEY)
    return [] if item is None else [f"{FOUR_BIT_KEY}: {item.reason.partition(' (')[0]}"]


def _defaults(plan: Plan) -> list[str]:
    """That a default limit was dropped, in a line of its own: value and reason hold a sentence."""
    item = assumption_of(plan, LIMIT_DROPPED)
    return [] if item is None else [f"{item.reason.partition('; ')[0]}; {item.value}"]


NAMES = {"mtp": "prediction layers", "eagle": "an EAGLE-3 head"}


def draft_lines(plan: Plan) -> list[str]:
    """One line where tokens are drafted; none elsewhere."""
    info = plan.speculation
    if info is None:
        return []
    rate, count = info.acceptance, info.draft_tokens
    band = f"{rate.low:.2f}–{rate.high:.2f}" if rate.low < rate.high else f"{rate.value:.2f}"
    texts = [
        f"drafts {count} token{'s' * (count > 1)} by {NAMES.get(info.kind, info.model)}: "
        f"{info.accepted_tokens:.2f} tokens a step (acceptance {band})"
    ]
    if info.gain is not None:
        what = "tokens/s" if plan.objective in RATES else "pace"
        texts.append(
            f"{what} {info.gain.value:+.0%} ({info.gain.low:+.0%} to {info.gain.high:+.0%})"
        )
    users = info.pays_up_to_batch
    many = f"{users:,} user{'s' * (users > 1)} a replica"
    texts.append(
        "pays for no batch here"
        if not users
        else f"pays up to {many}" + (", all that fit" if info.pays_limit == MEMORY else "")
    )
    return ["; ".join(texts)]
