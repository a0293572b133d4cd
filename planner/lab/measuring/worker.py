"""``python -m planner.lab.measuring.worker REQUEST``: time a part's cases, a line of JSON each.

A line is a row (``{"row": …}``), a case that could not be measured (``{"skipped": [what, why]}``),
cases that there was no time for (``{"late": [what, …]}``), or the last one (``{"done": true}``).
The process that started this one keeps what it has read, whatever becomes of this one.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

from planner.base.errors import PlannerError
from planner.jobs.core_share import core_share, least_disturbed
from planner.lab.measuring.request import PartRequest, part_named, request_of
from planner.lab.measuring.rows import Row

OVERRUN = 1.25
"""By how much a part may exceed its share of the time."""
KEPT = 4
"""Cases of a part that are measured however long they take: no part is empty."""
TRIES = 3
"""Runs of a case while other programs take the cores."""
Case = tuple[str, Callable[[float], Row | list[Row]]]
"""(what it is, its row or rows; told the seconds that it may take)."""


def measure_part(
    request: PartRequest,
    cases: Iterator[Case] | list[Case],
    out: IO[str],
    *,
    clock: Callable[[], float] = time.monotonic,
    share: Callable[[], float] | None = None,
) -> None:
    """Write a line for every case of ``cases``. A case takes what its repeats need at least: on a
    slow machine those that come last, the rarest, are left out and named. ``share`` tells the share
    of its cores that this process gets (default: spin and see; on a GPU all of them): a case that
    was disturbed is repeated, and its rows say what they had."""
    cores = share or (lambda: 1.0 if request.gpu else core_share(request.threads))
    listed = list(cases)
    seconds = request.seconds / max(len(listed), 1)
    end = clock() + OVERRUN * request.seconds
    late = []
    for place, (name, measure) in enumerate(listed):
        if place >= KEPT and clock() > end:
            late.append(name)
            continue
        try:
            rows, had = least_disturbed(partial(_rows_of, measure, seconds), cores, _slowest, TRIES)
        except (
            PlannerError,
            RuntimeError,
            ValueError,
            TypeError,
            NotImplementedError,
            MemoryError,
            AttributeError,
        ) as error:
            _tell(out, {"skipped": [name, _reason(error)]})
            continue
        for row in rows:
            _tell(out, {"row": row | {"share": round(had, 3)}})
    if late:
        _tell(out, {"late": late})
    _tell(out, {"done": True})


def _rows_of(measure: Callable[[float], Row | list[Row]], seconds: float) -> list[Row]:
    made = measure(seconds)
    return made if isinstance(made, list) else [made]


def _slowest(rows: list[Row]) -> float:
    """Microseconds of the longest row."""
    return max((float(row["latency_us"]) for row in rows), default=0.0)


def _reason(error: BaseException) -> str:
    text = error.message if isinstance(error, PlannerError) else str(error)
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return first[:200]


def _tell(out: IO[str], line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


def main(words: list[str]) -> None:
    """Measure what the request says."""
    request = request_of(words[0])
    module: Any = importlib.import_module(part_named(request.part).module)
    measure_part(request, module.cases(request), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
