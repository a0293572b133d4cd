"""Which option of an engine names the kernels of a checkpoint's experts, where its default fails.

A row of ``data/expert_backends.csv`` holds for an engine from version ``since`` (included) to
``until`` (excluded), on devices as in :mod:`planner.planning.engines.rules`, for some schemes of
experts and checkpoint formats. ``required``: what the engine picks by itself raises;
``documented``: it runs, and the engine's own guide names another. The kernels that
:mod:`planner.throughput.engine_kernels` names are those that run with the option set.
"""

from __future__ import annotations

import csv
from functools import cache
from typing import Literal

from planner.base.records import record
from planner.base.versions import Version, end_of, holds_at, version_of
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.planning.engines.rules import DATA, RuleSource, on_device, sources

Need = Literal["required", "documented"]
NEEDS: tuple[Need, ...] = ("required", "documented")


@record
class ExpertBackend:
    """``option`` of the engine (a key of its options file, or a flag) is to be ``value``."""

    option: str
    value: str
    need: Need
    source: RuleSource


@record
class _Row:
    engine: str
    since: Version
    until: Version | None
    device: str
    schemes: tuple[str, ...]
    containers: tuple[str, ...]
    backend: ExpertBackend


def expert_backend(
    engine: Engine, device: DeviceProfile, scheme: str, container: str
) -> ExpertBackend | None:
    """What a command for ``engine`` sets so that experts in ``scheme`` of a checkpoint in the
    format ``container`` run; None where the engine's own choice does."""
    return next(
        (
            row.backend
            for row in _rows()
            if row.engine == engine.name
            and holds_at(row.since, row.until, engine.version)
            and on_device(row.device, device)
            and scheme in row.schemes
            and container in row.containers
        ),
        None,
    )


@cache
def _rows() -> tuple[_Row, ...]:
    known = sources()
    with (DATA / "expert_backends.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_read(row, known) for row in csv.DictReader(file))


def _read(row: dict[str, str], known: dict[str, RuleSource]) -> _Row:
    need = next((word for word in NEEDS if word == row["need"]), None)
    if need is None or not row["option"] or not row["value"]:
        raise ValueError(f"expert_backends.csv: {row}")
    return _Row(
        row["engine"],
        version_of(row["since"]),
        end_of(row["until"]),
        row["device"],
        tuple(row["schemes"].split()),
        tuple(row["containers"].split()),
        ExpertBackend(row["option"], row["value"], need, known[row["source"]]),
    )
