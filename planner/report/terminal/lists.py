"""Engines and workloads, listed for a terminal and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.memory.engines.catalog import Engine, engine_names, parse_engine
from planner.memory.engines.versions import known_versions
from planner.planning.engines.mixes import mixes_of
from planner.report.columns import wrapped
from planner.workloads import NamedWorkload


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


def engines_table(rows: Sequence[dict[str, Any]]) -> str:
    """A paragraph an engine; ends with a newline."""
    lines = []
    for row in rows:
        default = row["default_version"] or "by build"
        lines.append(f"{row['id']}: {default}")
        if row["versions"]:
            lines.append(
                f"  {row['versions']} versions known, {row['oldest_version']} to "
                f"{row['newest_version']}"
            )
        if row["mixtures"]:
            mixtures = "  mixtures: " + ", ".join(row["mixtures"])
            lines += wrapped(mixtures, "    ")
    return (
        "\n".join([*lines, "", "Name one with `--engine NAME` or `--engine NAME@VERSION`."]) + "\n"
    )


def workload_row(workload: NamedWorkload) -> dict[str, Any]:
    """A workload as data; tokens, None where a workload leaves them open."""
    return {
        "id": workload.id,
        "title": workload.title,
        "isl": workload.isl,
        "osl": workload.osl,
        "context": workload.context,
        "prefix_hit_rate": workload.prefix_hit_rate,
        "latency_limit": workload.latency_limit,
        "source": workload.source,
    }


def workloads_table(workloads: Sequence[NamedWorkload]) -> str:
    """Each with its lengths and what it stands for; ends with a newline."""
    lines = []
    for one in workloads:
        lengths = [
            f"{tokens:,} {name}"
            for tokens, name in ((one.isl, "tokens in"), (one.osl, "out"), (one.context, "context"))
            if tokens is not None
        ]
        lines.append(f"{one.id}: {one.title.lower()}")
        limit = [] if one.latency_limit else ["no limit on TPOT"]
        lines += wrapped("  " + ", ".join([*lengths, *limit]), "  ")
    return "\n".join([*lines, "", "Name one with `--workload NAME`; flags override it."]) + "\n"
