"""How many requests an engine runs at most, and how it admits them, where no flag is given:
``data/engine_schedulers.csv``.

The first row that fits an engine, its version and a device counts, its columns as in
:mod:`planner.planning.engines.prefill_chunks`.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.base.records import record
from planner.base.versions import Version, version_of
from planner.hardware.profile import DeviceProfile
from planner.planning.engines.rules import DATA, RuleSource, on_device, sources

ROOM = 512
"""Requests that SGLang runs for each of its longest that the cache holds."""


@record
class SchedulerDefaults:
    """``sequences`` that run at most, up to ``most_sequences`` where the cache holds many of the
    context; tokens of a block of the cache; the share of an answer that admission sets aside;
    whether prompts are read in parts; where it was read (None: no engine's)."""

    sequences: int
    most_sequences: int
    block_tokens: int
    reserve: float
    chunked: bool
    source: RuleSource | None

    def sequences_of(self, cache_tokens: float, context: int) -> int:
        """Requests that run at most beside a cache of so many tokens."""
        return int(min(max(cache_tokens / context * ROOM, self.sequences), self.most_sequences))


COMMON = SchedulerDefaults(256, 256, 16, 0.0, True, None)
"""Of no engine in particular, or of one without a row."""


@record
class _Row:
    engine: str
    since: Version
    device: str
    ids: tuple[str, ...]
    from_gib: float
    defaults: SchedulerDefaults


def scheduler_defaults(engine: str, version: Version, device: DeviceProfile) -> SchedulerDefaults:
    """The defaults of ``engine`` at ``version`` on ``device``."""
    gib = device.capacity_bytes.value / 2**30
    return next(
        (
            row.defaults
            for row in _rows()
            if row.engine == engine
            and row.since <= version
            and on_device(row.device, device)
            and gib >= row.from_gib
            and (not row.ids or device.id.startswith(row.ids))
        ),
        COMMON,
    )


@cache
def _rows() -> tuple[_Row, ...]:
    known = sources()
    with (DATA / "engine_schedulers.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            _Row(
                row["engine"],
                version_of(row["since"]),
                row["device"],
                tuple(row["ids"].split()),
                float(row["from_gib"]),
                SchedulerDefaults(
                    int(row["sequences"]),
                    int(row["most_sequences"]),
                    int(row["block_tokens"]),
                    float(row["reserve"]),
                    row["chunked"] == "yes",
                    known[row["source"]],
                ),
            )
            for row in csv.DictReader(file)
        )
