"""Which engines verify drafted tokens, and what they call it: ``data/engine_speculation.csv``.

A row holds for an engine from version ``since`` (included) to ``until`` (excluded), on devices as
in :mod:`planner.planning.engines.rules`; the first that fits decides. Where none fits nothing is
known, and that is not read as served.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.base.records import record
from planner.base.versions import EARLIEST, Version, end_of, holds_at, version_of
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import message
from planner.planning.engines.rules import DATA, SupportCell, on_device, sources

ANY_KIND = "*"
VOCABULARY_SLACK = {"llama.cpp": 128}
"""Tokens by which the vocabularies of a model and its draft may differ (common/speculative.cpp,
SPEC_VOCAB_MAX_SIZE_DIFFERENCE); elsewhere none."""


@record
class SpeculationRule:
    """One row: whether an engine verifies tokens that one kind drafts; ``method`` is its own
    word."""

    engine: str
    since: Version
    until: Version | None
    device: str
    kind: str
    method: str
    cell: SupportCell


def speculation_rule(engine: Engine, device: DeviceProfile, kind: str) -> SpeculationRule:
    """What is known of one kind on a version of an engine and a device."""
    for rule in all_speculation_rules():
        if (
            rule.engine == engine.name
            and holds_at(rule.since, rule.until, engine.version)
            and on_device(rule.device, device)
            and rule.kind in (kind, ANY_KIND)
        ):
            return rule
    return SpeculationRule(
        engine.name,
        EARLIEST,
        None,
        ANY_KIND,
        kind,
        "",
        SupportCell(
            "unknown",
            message("engines.no_source_says_that_serves", e=engine.name, d=device.id),
            None,
        ),
    )


@cache
def all_speculation_rules() -> tuple[SpeculationRule, ...]:
    """Every row, in the order of the file.

    Raises:
        ValueError: a row with an unknown word, or without a known source.
    """
    known = sources()
    with (DATA / "engine_speculation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["serves"] not in ("yes", "no") or row["source"] not in known:
            raise ValueError(f"engine_speculation.csv: {row}")
    return tuple(
        SpeculationRule(
            row["engine"],
            version_of(row["since"]),
            end_of(row["until"]),
            row["device"],
            row["kind"],
            row["method"],
            SupportCell(
                "supported" if row["serves"] == "yes" else "refused",
                row["note"],
                known[row["source"]],
            ),
        )
        for row in rows
    )
