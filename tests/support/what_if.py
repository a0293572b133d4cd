"""One small what-if grid and its page, planned once a test run."""

from functools import cache

from planner.api.what_if import what_if
from planner.planning.plan.record import Plan
from planner.planning.what_if.grid import Grid
from planner.report.render.html import page
from planner.report.render.interactive import interactive
from tests.support import theory

MODEL, DEVICE, CONTEXT = "qwen2.5-0.5b", "jetson-orin-nano-8gb", 4096
GRID = (
    "workload=own",
    "context=4096,32768",
    "batch=auto,8,256",
    "tpot-ms=none",
    "devices=1,2",
    "max-loss=bf16,int8-w8a8",
    "engine=any",
    "schemes=auto",
    "kv=auto,bf16",
)


@cache
def plan() -> Plan:
    """The plan that the grid lies around."""
    return theory.plan(MODEL, DEVICE, context=CONTEXT)


@cache
def grid() -> Grid:
    """48 positions, some without a plan."""
    return what_if(MODEL, DEVICE, base=plan(), grid=GRID, context=CONTEXT, **theory.DEFAULTS)


@cache
def html(lang: str = "en") -> str:
    """The report with the what-if page."""
    return page(plan(), lang, around=interactive(grid(), plan(), lang))
