"""A fleet's answer by hand, and its file as a mapping of small models."""

from __future__ import annotations

from typing import Any

from planner.messages.message import message
from planner.planning.plan.open_arrivals import LimitAtPercentile
from planner.planning.plan.record import Assumption, Estimate
from planner.sizing.fleet.fleet_record import (
    Fleet,
    FleetDevice,
    FleetModel,
    FleetPool,
    FleetRequests,
    FleetWork,
    MarginalValue,
)

ASKED: dict[str, Any] = {
    "title": "Two small models",
    "engines": ["vllm"],
    "device": [
        {"name": "l40s", "count": 4, "price": 0.9},
        {"name": "a100-sxm", "count": 2, "price": 1.9},
    ],
    "model": [
        {
            "name": "chat",
            "model": "llama-3.2-1b",
            "rate": 30,
            "ttft_ms": 800,
            "tpot_ms": 30,
            "workload": "chat",
        },
        {
            "name": "tags",
            "model": "qwen2.5-0.5b",
            "rate": "1200/min",
            "tpot_ms": 20,
            "percentile": 95,
            "workload": [
                {"isl": 600, "osl": 40, "share": 0.75},
                {"isl": 3000, "osl": 100, "share": 0.25},
            ],
        },
    ],
}
"""Plans of it take a second each."""


def estimate(value: float) -> Estimate:
    """A value with an interval."""
    return Estimate(value, value * 0.8, value * 1.3, "transferred")


def pool(
    name: str,
    device: str,
    replicas: int,
    size: int,
    *,
    rate: float = 4.0,
    high: int | None = 9,
    usd: float | None = 3.0,
) -> FleetPool:
    """Replicas of ``size`` devices."""
    return FleetPool(
        name,
        f"{name}-70b",
        device,
        "vllm 0.21",
        ("fp8-channel", "bf16"),
        "fp8",
        3e-3,
        size,
        1,
        1,
        1,
        replicas,
        replicas * size,
        max(replicas - 1, 1),
        high,
        rate,
        rate * 1.1,
        estimate(0.4),
        estimate(0.035),
        None if usd is None else usd * replicas * size,
        name == "model-2",
        0.97,
        0.62 if high is None else 0.93,
        estimate(9.0),
        None,
    )


def model(name: str, usd: float | None = 12.0) -> FleetModel:
    """A model with two kinds of requests."""
    return FleetModel(
        name,
        f"{name}-70b",
        8.0,
        (FleetRequests("rag", 0.3, 8192, 1024, 0.25), FleetRequests("", 0.7, 500, 300, 0.0)),
        1.0,
        0.04,
        95.0,
        0.12,
        8,
        usd,
        None if usd is None else 0.47,
        (LimitAtPercentile("TTFT", 1.0, 95.0), LimitAtPercentile("TPOT", 0.04, 95.0)),
    )


def kind(device: str, stock: int, used: int, usd: float | None = 3.0) -> FleetDevice:
    """A kind of device."""
    return FleetDevice(
        device,
        stock,
        8,
        used,
        usd,
        "given" if usd else "",
        MarginalValue(1, None if usd is None else 0.08, 1.5, 0.035, True),
        MarginalValue(8, None if usd is None else 3.24, 1.8, 0.3, True),
    )


def made(*, models: int = 3, usd: float | None = 3.0, goal: str = "cost") -> Fleet:
    """An answer with as many models, each on two kinds of devices."""
    names = [f"model-{n}" for n in range(models)]
    pools = tuple(
        pool(name, device, 2, 2, usd=usd, high=None if name == "model-1" else 3)
        for name in names
        for device in ("h100-sxm", "l40s")
    )
    used = 4 * models
    return Fleet(
        "Models by hand",
        goal,
        "least-loaded",
        None if usd is None else 24.0 * models,
        1.53,
        tuple(model(n, usd) for n in names),
        (
            kind("h100-sxm", used + 3, used, usd),
            kind("l40s", used, used, usd),
            kind("h200-sxm", 8, 0, usd),
        ),
        pools,
        (
            (
                "model-0",
                "h200-sxm",
                message(
                    "refusals.no_replica_keeps_for_of",
                    level="TTFT ≤ 1 s",
                    percentile=95,
                    c="TTFT 2.59 s",
                ),
            ),
        ),
        FleetWork(3 * models, 17, 14, 0.0),
        (
            Assumption(
                "arrivals",
                message("capacity.poisson_divided"),
                message("capacity.bursts_need_more"),
            ),
        ),
        None if usd is None else 25.5 * models,
    )
