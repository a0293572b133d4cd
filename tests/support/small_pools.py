"""Two plans in pools, made once a test run: one with one precision, one with two."""

from functools import cache

import planner
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.record import Plan

MODEL, DEVICE, DEVICES = "llama-3.1-70b", "h100-sxm", 8


@cache
def plan() -> Plan:
    """Both pools in the same formats; the prefill workers set the rate."""
    return planner.plan(MODEL, DEVICE, devices=DEVICES, engine="vllm", mode="disaggregated")


@cache
def mixed() -> Plan:
    """The optimum, whose pools have formats of their own."""
    return planner.plan(
        "llama-3.1-8b", "h100-sxm", devices=4, engine="vllm", mode="disaggregated", exact=True
    )


def pools(made: Plan) -> DeploymentInfo:
    """The deployment of a plan that has one."""
    assert made.deployment is not None
    return made.deployment
