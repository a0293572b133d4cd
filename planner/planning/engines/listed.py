"""Engines as a list: the version of answers that name none, and what is known."""

from __future__ import annotations

from typing import Any

from planner.memory.engines.catalog import Engine, engine_names, parse_engine
from planner.memory.engines.versions import known_versions
from planner.planning.engines.mixes import mixes_of


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
