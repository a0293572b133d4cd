"""What an engine quantises itself while it loads a checkpoint: ``data/engine_online.csv``.

A row holds for an engine from version ``since`` (included) to ``until`` (excluded): ``flag`` is the
word after ``--quantization`` that puts every linear layer of a checkpoint in a plain type, but the
head, into ``scheme``; ``experts`` tells whether those of a mixture are too. Such a plan needs no
new weights.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache

from planner.formats.schemes import SCHEMES
from planner.memory.engines.catalog import Engine
from planner.planning.engines.rules import DATA, PLAIN, RuleSource, sources, version_of
from planner.records import record

FLAG = "--quantization"


@record
class OnlineScheme:
    """One row: a scheme that an engine makes while loading."""

    engine: str
    since: tuple[int, ...]
    until: tuple[int, ...] | None
    scheme: str
    flag: str
    experts: bool
    note: str
    source: RuleSource


def made_while_loading(engine: Engine, released: str, schemes: Iterable[str], *,
                       experts: bool) -> OnlineScheme | None:
    """How ``engine`` makes ``schemes``, those of every decided linear layer, from a checkpoint
    that is ``released`` in a scheme; ``experts``: some of them are a mixture's. None where it does
    not, where they are several, or where the release is quantised already."""
    wanted = set(schemes)
    if len(wanted) != 1 or released not in PLAIN:
        return None
    scheme = wanted.pop()
    return next((row for row in _rows() if row.engine == engine.name and row.scheme == scheme
                 and row.since <= engine.version
                 and (row.until is None or engine.version < row.until)
                 and (row.experts or not experts)), None)


@cache
def _rows() -> tuple[OnlineScheme, ...]:
    known = sources()
    with (DATA / "engine_online.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["scheme"] not in SCHEMES or row["experts"] not in ("yes", "no"):
            raise ValueError(f"engine_online.csv: {row}")
    return tuple(OnlineScheme(
        row["engine"], version_of(row["since"]), version_of(row["until"]) or None, row["scheme"],
        row["flag"], row["experts"] == "yes", row["note"], known[row["source"]]) for row in rows)
