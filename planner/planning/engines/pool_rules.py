"""Which engines serve prefill and decode in pools of their own, which caches they hand over, and
which hold prompts until every attention rank has one.

Rows of the axis ``pools`` in ``data/engine_matrix.csv``: the names are cache layouts that a prefill
worker sends and a decode worker takes as they are. Where none is supported nothing is handed over.
``data/engine_holding.csv`` has the engines that hold prompts, from version ``since`` on; none does
by default. ``data/engine_pool_stages.csv`` says which pipelines an engine hands caches over
between: ``none``, ``alike`` (decode workers have as many stages as prefill workers, or one) or
``any``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import cache

from planner.base.records import record
from planner.base.versions import Version, end_of, holds_at, version_of
from planner.formats.kv import kv_layout_ids
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Text, message, with_name
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
_PIPELINES: Mapping[str, Callable[[int, int], bool]] = {
    "none": lambda prefill, decode: prefill == decode == 1,
    "alike": lambda prefill, decode: decode in (1, prefill),
    "any": lambda prefill, decode: True,
}


@record
class StagesRule:
    """Between which pipelines of prefill and decode workers an engine hands caches over (``takes``:
    none, alike or any), from version ``since`` (included) to ``until`` (excluded)."""

    engine: str
    since: Version
    until: Version | None
    takes: str
    note: str
    source: RuleSource

    def allows(self, prefill: int, decode: int) -> bool:
        """Whether workers of so many stages each go together."""
        return _PIPELINES[self.takes](prefill, decode)


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


def pool_refusal(engine: Engine, device: DeviceProfile, spec: ModelSpec) -> Text:
    """Why ``engine`` serves no pools of ``device``; empty where it hands over some cache."""
    if any(a.kind == "linear" for a in spec.attention):
        return with_name(engine.label, message("assumptions.no_source_says_that_states"))
    cells = [handed_over(engine, device, spec, layout) for layout in kv_layout_ids()]
    if any(cell.status == "supported" for cell in cells):
        return ""
    said = next((cell.reason for cell in cells if cell.source is not None), None)
    return with_name(
        engine.label, said or message("assumptions.no_source_says_that_it", d=device.id)
    )


def stages_refusal(engine: Engine, prefill: int, decode: int) -> Text:
    """Why ``engine`` hands no cache from workers of ``prefill`` pipeline stages to those of
    ``decode``; empty where it does."""
    if prefill == decode == 1:
        return ""
    rule = next(
        (
            rule
            for rule in all_stages_rules()
            if rule.engine == engine.name and holds_at(rule.since, rule.until, engine.version)
        ),
        None,
    )
    if rule is None:
        return with_name(engine.label, message("assumptions.no_source_says_of_stages"))
    return "" if rule.allows(prefill, decode) else with_name(engine.label, rule.note)


@cache
def all_stages_rules() -> tuple[StagesRule, ...]:
    """Every row, in the order of the file.

    Raises:
        ValueError: a row with an unknown word, or without a known source.
    """
    known = sources()
    with (DATA / "engine_pool_stages.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["takes"] not in _PIPELINES or row["source"] not in known:
            raise ValueError(f"engine_pool_stages.csv: {row}")
    return tuple(
        StagesRule(
            row["engine"],
            version_of(row["since"]),
            end_of(row["until"]),
            row["takes"],
            row["note"],
            known[row["source"]],
        )
        for row in rows
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
