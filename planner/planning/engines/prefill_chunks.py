"""Tokens of prompts that a step of an engine takes at most: ``data/prefill_chunks.csv``.

The first row that fits an engine and a device counts: its ``device`` as in
:mod:`planner.planning.engines.rules`, ``ids`` beginnings of device ids (empty: all), ``from_gib``
the least memory that the engine sees [GiB]. The commands of an export set it by ``flag``, so that a
server takes what a plan assumes.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.planning.engines.rules import DATA, RuleSource, on_device, sources

COMMON = 8192
"""The default of most servers on large devices; of no engine, or of one without a row."""


@record
class PrefillChunk:
    """``tokens`` of a step, the engine's ``flag`` for them, and where its default was read (None:
    no engine's)."""

    tokens: int
    flag: str
    source: RuleSource | None


@record
class _Row:
    engine: str
    device: str
    ids: tuple[str, ...]
    from_gib: float
    chunk: PrefillChunk


@cached_by_identity(64)
def prefill_chunk(engine: str, device: DeviceProfile) -> PrefillChunk:
    """The default of ``engine`` on ``device``."""
    gib = device.capacity_bytes.value / 2**30
    return next(
        (
            row.chunk
            for row in _rows()
            if row.engine == engine
            and on_device(row.device, device)
            and gib >= row.from_gib
            and (not row.ids or device.id.startswith(row.ids))
        ),
        PrefillChunk(COMMON, "", None),
    )


@cache
def _rows() -> tuple[_Row, ...]:
    known = sources()
    with (DATA / "prefill_chunks.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            _Row(
                row["engine"],
                row["device"],
                tuple(row["ids"].split()),
                float(row["from_gib"]),
                PrefillChunk(int(row["tokens"]), row["flag"], known[row["source"]]),
            )
            for row in csv.DictReader(file)
        )
