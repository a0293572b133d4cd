"""Which layouts an engine takes: the rules of ``data/engine_layouts.csv``, one axis a row.

A row holds for an engine from version ``since`` (included) to ``until`` (excluded), on devices as
in :mod:`planner.planning.engines.rules`; the first that fits decides. ``takes`` is ``any``; ``one``
(the axis is 1); ``one-or-all`` (1, or all tp·dp ranks); ``alone`` (above 1 only where tp is 1).
Where no row fits nothing is known, and an axis above 1 is not read as taken.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import cache

from planner.base.records import record
from planner.base.versions import Version, end_of, holds_at, version_of
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import message
from planner.placement.layout import Layout
from planner.planning.engines.rules import DATA, SupportCell, on_device, sources

AXES = ("tp", "dp", "pp", "ep")
_TAKES: Mapping[str, Callable[[Layout, int], bool]] = {
    "any": lambda layout, value: True,
    "one": lambda layout, value: value == 1,
    "one-or-all": lambda layout, value: value in (1, layout.tp * layout.dp),
    "alone": lambda layout, value: value == 1 or layout.tp == 1,
}
TAKES = tuple(_TAKES)


@record
class LayoutRule:
    """One row: what an engine takes on one axis."""

    engine: str
    since: Version
    until: Version | None
    device: str
    axis: str
    takes: str
    cell: SupportCell

    def allows(self, layout: Layout) -> bool:
        """Whether ``layout`` keeps the rule."""
        return _TAKES[self.takes](layout, getattr(layout, self.axis))


def layout_rules(engine: Engine, device: DeviceProfile) -> dict[str, LayoutRule]:
    """The rule of every axis for a version of an engine on a device; axes without one are
    absent."""
    rule_by_axis: dict[str, LayoutRule] = {}
    for rule in all_layout_rules():
        if (
            rule.engine == engine.name
            and holds_at(rule.since, rule.until, engine.version)
            and on_device(rule.device, device)
        ):
            rule_by_axis.setdefault(rule.axis, rule)
    return rule_by_axis


def layout_refusal(
    engine: Engine, rules: Mapping[str, LayoutRule], layout: Layout
) -> SupportCell | None:
    """What speaks against ``layout`` under ``rules`` of :func:`layout_rules`; None where nothing
    does."""
    for axis in AXES:
        rule = rules.get(axis)
        if rule is None:
            if getattr(layout, axis) > 1:
                return SupportCell(
                    "unknown",
                    message("engines.no_source_says_that_takes", e=engine.name, axis=axis),
                    None,
                )
        elif not rule.allows(layout):
            return rule.cell
    return None


@cache
def all_layout_rules() -> tuple[LayoutRule, ...]:
    """Every row, in the order of the file.

    Raises:
        ValueError: a row with an unknown axis or word, or without a known source.
    """
    known = sources()
    with (DATA / "engine_layouts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["axis"] not in AXES or row["takes"] not in TAKES or row["source"] not in known:
            raise ValueError(f"engine_layouts.csv: {row}")
    return tuple(
        LayoutRule(
            row["engine"],
            version_of(row["since"]),
            end_of(row["until"]),
            row["device"],
            row["axis"],
            row["takes"],
            SupportCell(
                "supported" if row["takes"] == "any" else "refused",
                row["note"],
                known[row["source"]],
            ),
        )
        for row in rows
    )
