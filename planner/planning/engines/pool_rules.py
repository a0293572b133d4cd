"""Which engines serve prefill and decode in pools of their own, which caches they hand over, and
which hold prompts until every attention rank has one.

Rows of the axis ``pools`` in ``data/engine_matrix.csv``: the names are cache layouts that a prefill
worker sends and a decode worker takes as they are. Where none is supported nothing is handed over.
``data/engine_holding.csv`` has the engines that hold prompts, from version ``since`` on; none does
by default.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.base.records import record
from planner.base.versions import Version, version_of
from planner.formats.kv import kv_layout_ids
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units
from planner.planning.engines.rules import (
    DATA,
    UNKNOWN,
    RuleSource,
    SupportCell,
    cache_group,
    sources,
    support_cell,
)

AXIS = "pools"


@record
class HoldingRule:
    """At most ``steps`` that an engine holds a prompt for the other ranks, once ``flag`` is set."""

    engine: str
    since: Version
    steps: int
    flag: str
    source: RuleSource


def handed_over(engine: Engine, device: DeviceProfile, spec: ModelSpec, layout: str) -> SupportCell:
    """What is known of handing a cache in ``layout`` from one worker to another; the least of the
    model's caches."""
    groups = dict.fromkeys(cache_group(u) for u in cache_units(spec))
    cells = [support_cell(engine, device, AXIS, layout, group, "") for group in groups] or [UNKNOWN]
    return next((cell for cell in cells if cell.status != "supported"), cells[0])


def pool_refusal(engine: Engine, device: DeviceProfile, spec: ModelSpec) -> str:
    """Why ``engine`` serves no pools of ``device``; empty where it hands over some cache."""
    if any(a.kind == "linear" for a in spec.attention):
        return (
            f"{engine.label}: no source says that the states of linear attention are handed "
            "over between layouts"
        )
    cells = [handed_over(engine, device, spec, layout) for layout in kv_layout_ids()]
    if any(cell.status == "supported" for cell in cells):
        return ""
    said = next((cell.reason for cell in cells if cell.source is not None), "")
    return (
        f"{engine.label}: {said}"
        if said
        else f"{engine.label}: no source says that it serves pools on {device.id}"
    )


def holding_rule(engine: Engine) -> HoldingRule | None:
    """What is known of a version of an engine; None where it holds none."""
    return next(
        (
            rule
            for rule in all_holding_rules()
            if rule.engine == engine.name and rule.since <= engine.version
        ),
        None,
    )


@cache
def all_holding_rules() -> tuple[HoldingRule, ...]:
    """Every row, in the order of the file."""
    known = sources()
    with (DATA / "engine_holding.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            HoldingRule(
                row["engine"],
                version_of(row["since"]),
                int(row["steps"]),
                row["flag"],
                known[row["source"]],
            )
            for row in csv.DictReader(file)
        )
