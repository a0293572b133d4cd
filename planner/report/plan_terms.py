"""Figures and names of a plan that several answers say: who is served at once, what is on which
devices, an interval, an assumption by its key, how another plan compares."""

from __future__ import annotations

from planner.base.units import format_rate, format_seconds
from planner.hardware.profile import is_card_sum
from planner.planning.plan.deployment import PoolLayout
from planner.planning.plan.record import Assumption, Estimate, Plan
from planner.throughput.calibration import ANY_ENGINE

LIMIT_DEFAULT, LIMIT_DROPPED = "tpot-ms default", "tpot-ms dropped"
"""Keys of the assumptions that hold a default which moves the answer."""


def users(plan: Plan) -> int:
    """Sequences at full context that the whole deployment holds."""
    return plan.capacity.max_concurrency_at_context * plan.layout.replicas


def request_capacity(plan: Plan) -> int:
    """Requests that the whole deployment holds at once; sequences at full context where a plan
    file does not say."""
    most = plan.capacity.max_concurrency_at_requests
    request_count = plan.capacity.max_concurrency_at_context if most is None else most
    return request_count * plan.layout.replicas


def assumption_of(plan: Plan, key: str) -> Assumption | None:
    """The assumption ``key``."""
    return next((a for a in plan.assumptions if a.key == key), None)


def engine_name(plan: Plan) -> str:
    """The engine with its version; empty where the plan follows no engine's rules."""
    if plan.engine.name == ANY_ENGINE:
        return ""
    return " ".join(filter(None, (plan.engine.name, plan.engine.version)))


def devices_name(plan: Plan) -> str:
    """``32 × h200-sxm``; the decode workers' and the prefill workers' devices where they differ."""
    pools = plan.deployment
    if pools is None or pools.prefill.device == plan.device.id:
        if is_card_sum(plan.device.id):
            return plan.device.id
        return f"{plan.device.count:,} × {plan.device.id}"
    pool, two = pools.prefill, pools.decode
    return (
        f"{two.workers * two.devices_per_worker:,} × {plan.device.id} + "
        f"{pool.workers * pool.devices_per_worker:,} × {pool.device}"
    )


def layout_words(layout: PoolLayout) -> str:
    """Degrees above one, e.g. ``tp8 ep8``; ``one device`` without any."""
    degrees = (("tp", layout.tp), ("dp", layout.dp), ("pp", layout.pp), ("ep", layout.ep))
    return " ".join(f"{name}{value}" for name, value in degrees if value > 1) or "one device"


def span(rate: Estimate) -> str:
    """The interval of a rate."""
    return f"{format_rate(rate.low)}–{format_rate(rate.high)}"


def time_span(time: Estimate) -> str:
    """The interval of a time; the unit is left out where both ends have that of the value."""
    ends = [format_seconds(t).partition(" ") for t in (time.low, time.high)]
    unit = format_seconds(time.value).rpartition(" ")[2]
    alike = all(end[2] == unit for end in ends)
    return "–".join(end[0] if alike else "".join(end) for end in ends)


def chance(probability: float | None) -> str:
    """A probability in percent without false certainty; a dash where errors are not known."""
    if probability is None:
        return "-"
    if probability < 0.01:
        return "<1 %"
    return ">99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def other_device_count(plan: Plan, devices: int) -> int:
    """``devices`` of another plan where ``plan`` has another number, else 0."""
    return devices if devices != plan.device.count else 0


def gain_per_device(plan: Plan, rate: float, devices: int) -> float:
    """The relative gain in tokens/s a device of ``rate`` on ``devices`` over ``plan``."""
    own = plan.performance.output_tokens_per_second_per_device.value
    return rate / devices / own - 1 if own > 0 else 0.0
