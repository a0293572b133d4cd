"""Types whose blocks do not fill the rows of a matrix: what llama-quantize writes there instead.

Such a matrix has no error in the type; the type that stands in is measured beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.formats.ggml_types import PREFIX, weight_type, written_type
from planner.formats.schemes import scheme_ids
from planner.lab.profiling.jobs import STATISTICS_ONLY, MatrixJob

_PLAIN = {"f16": "fp16"}


def stand_ins(schemes: Sequence[str], jobs: Sequence[MatrixJob]) -> dict[str, tuple[str, ...]]:
    """{scheme: what is written instead of it} of ``schemes`` that do not fit some matrix; empty
    where llama-quantize stops."""
    columns = sorted({job.columns for job in jobs if job.kind not in STATISTICS_ONLY})
    written = {name: [_instead(name, width) for width in columns] for name in schemes}
    return {
        name: tuple(dict.fromkeys(stand_in for stand_in in instead if stand_in not in (name, "")))
        for name, instead in written.items()
        if any(stand_in != name for stand_in in instead)
    }


def _instead(scheme: str, columns: int) -> str:
    kind = weight_type(scheme)
    if kind is None:
        return scheme
    written = written_type(kind.name, columns)
    return _PLAIN.get(written, PREFIX + written) if written else ""


def with_stand_ins(schemes: Sequence[str], jobs: Sequence[MatrixJob]) -> tuple[str, ...]:
    """``schemes`` and what stands in for them, in catalogue order."""
    wanted = {
        *schemes,
        *(stand_in for names in stand_ins(schemes, jobs).values() for stand_in in names),
    }
    return tuple(name for name in scheme_ids() if name in wanted)


def unfit_notes(jobs: Sequence[MatrixJob], records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a scheme and width of rows, of matrices that have no error in it."""
    counts: dict[tuple[str, int], int] = {}
    for job in jobs:
        for name in records[job.id].get("unfit", ()):
            counts[name, job.columns] = counts.get((name, job.columns), 0) + 1
    return [
        f"{name}: not measured on {count} matrices with rows of {columns}, which are not whole "
        + "blocks; "
        + (
            f"llama-quantize writes {instead} there"
            if (instead := _instead(name, columns))
            else "llama-quantize stops there"
        )
        for (name, columns), count in sorted(counts.items())
    ]
