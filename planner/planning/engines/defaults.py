"""What an engine makes of a released checkpoint when no flag is given: ``engine_defaults.csv``.

A row holds for an engine on devices in ranges of compute capability, for checkpoints released in
some schemes and some kinds of caches; the first row that fits counts. No row: nothing is known.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, engine_names, parse_engine
from planner.memory.engines.versions import known_versions
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units
from planner.planning.engines.mixes import mixes_of
from planner.planning.engines.rules import DATA, RuleSource, cache_group, on_device, sources

RELEASED = "released"
OF_THE_MODEL = "model"
PLAIN_CACHES = ("bf16", "fp16", "fp32")


@record
class EngineDefault:
    """``scheme`` is ``released`` or the scheme that takes its place; ``kv`` a cache layout."""

    scheme: str
    kv: str
    note: str
    source: RuleSource


@record
class _Row:
    engine: str
    device: str
    released: tuple[str, ...]
    cache: tuple[str, ...]
    default: EngineDefault


def engine_default(
    engine: str, device: DeviceProfile, spec: ModelSpec, released: Sequence[str]
) -> EngineDefault | None:
    """What ``engine`` does with a checkpoint whose linears are ``released`` in these schemes; None
    where no source says."""
    default = _default(engine, device, spec, released)
    if default is None or default.kv != OF_THE_MODEL:
        return default
    return replace(default, kv=_model_type(spec))


def own_cache(
    engine: str, device: DeviceProfile, spec: ModelSpec, released: Sequence[str]
) -> EngineDefault | None:
    """The default of an engine that keeps its cache in a type of its own, whatever the checkpoint
    is in: a plain one, or the record of compressed attention; None where it follows the
    checkpoint, or no source says."""
    default = _default(engine, device, spec, released)
    own = (
        default is not None
        and default.kv != OF_THE_MODEL
        and (
            default.kv in PLAIN_CACHES
            or any(cache_group(unit) == "compressed" for unit in cache_units(spec))
        )
    )
    return default if own else None


def _default(
    engine: str, device: DeviceProfile, spec: ModelSpec, released: Sequence[str]
) -> EngineDefault | None:
    """The first row that fits, as it stands."""
    groups = {cache_group(unit) for unit in cache_units(spec)}
    return next(
        (
            row.default
            for row in _rows()
            if row.engine == engine
            and on_device(row.device, device)
            and _covers(row.released, released)
            and _covers(row.cache, sorted(groups))
        ),
        None,
    )


def _covers(names: tuple[str, ...], wanted: Sequence[str]) -> bool:
    return names == ("*",) or set(wanted) <= set(names)


def _model_type(spec: ModelSpec) -> str:
    """The type of what the checkpoint does not quantise."""
    norm_type = next((row.dtype for row in spec.rows if row.kind == "norm"), "bf16")
    return norm_type if norm_type in PLAIN_CACHES else "bf16"


@cache
def _rows() -> tuple[_Row, ...]:
    known = sources()
    with (DATA / "engine_defaults.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            _Row(
                row["engine"],
                row["device"],
                tuple(row["released"].split()),
                tuple(row["cache"].split()),
                EngineDefault(row["scheme"], row["kv"], row["note"], known[row["source"]]),
            )
            for row in csv.DictReader(file)
        )


def engine_rows() -> list[dict[str, Any]]:
    """Engines with the version that answers take where none is named, and what is known."""
    return [_engine_row(parse_engine(name)) for name in engine_names()]


def _engine_row(engine: Engine) -> dict[str, Any]:
    known = [version.text for version in known_versions(engine.name) if version.text]
    return {
        "id": engine.name,
        "default_version": engine.version_text,
        "versions": len(known),
        "oldest_version": known[0] if known else "",
        "newest_version": known[-1] if known else "",
        "mixtures": mixes_of(engine.name),
    }
