"""Engines that hold prompts until every attention rank has one: ``data/engine_holding.csv``.

None does by default. A row holds for an engine from version ``since`` on.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.memory.engines.catalog import Engine
from planner.planning.engines.rules import DATA, RuleSource, sources, version_of
from planner.records import record


@record
class HoldingRule:
    """At most ``steps`` that an engine holds a prompt for the other ranks, once ``flag`` is set."""

    engine: str
    since: tuple[int, ...]
    steps: int
    flag: str
    source: RuleSource


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
