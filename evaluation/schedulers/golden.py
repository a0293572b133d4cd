"""What engines' schedulers made of traces, as files: a pass is a word a request.

``3 5:17`` is a pass of one token of request 3 and 17 of request 5; ``x4`` before it says that four
such follow each other. Passes are separated by semicolons.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.schedulers.traces import Trace
from planner.base.records import record

Batch = tuple[tuple[int, int], ...]
"""(request, tokens), by request."""
_WHOLE = ("input_tokens", "output_tokens", "prefix", "shared_blocks")


@record
class Recorded:
    """The passes that a ``scheduler`` of an engine formed of a trace, and evictions."""

    trace: Trace
    scheduler: str
    batches: tuple[Batch, ...]
    preempted: int


def batch_of(pairs: Iterable[Sequence[int]]) -> Batch:
    """A pass in the order of its requests."""
    return tuple(sorted((int(request), int(tokens)) for request, tokens in pairs))


def written(batches: Iterable[Batch]) -> str:
    """Passes as a line."""
    words = []
    for batch, same in groupby(batches):
        count = len(list(same))
        each = [str(r) if tokens == 1 else f"{r}:{tokens}" for r, tokens in batch]
        words.append(" ".join([f"x{count}", *each] if count > 1 else each))
    return ";".join(words)


def read_batches(line: str) -> tuple[Batch, ...]:
    """What :func:`written` wrote."""
    found: list[Batch] = []
    for word in filter(None, line.split(";")):
        first, *rest = word.split(" ")
        count, each = (int(first[1:]), rest) if first[0] == "x" else (1, [first, *rest])
        pairs = (one.partition(":") for one in each)
        found += [batch_of((int(r), int(tokens or 1)) for r, _, tokens in pairs)] * count
    return tuple(found)


def write(path: Path, version: str, recorded: Sequence[Recorded]) -> None:
    """A file of one engine's version; traces in order, with what each of its schedulers made."""
    traces: dict[str, Any] = {}
    for one in recorded:
        told = {
            field.name: _plain(getattr(one.trace, field.name))
            for field in fields(Trace)
            if field.name != "name"
        }
        entry = traces.setdefault(one.trace.name, {"trace": told, "schedulers": {}})
        entry["schedulers"][one.scheduler] = {
            "preempted": one.preempted,
            "batches": written(one.batches),
        }
    lines = ",\n".join(f'"{name}": {json.dumps(entry)}' for name, entry in traces.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"version": "{version}", "traces": {{\n{lines}\n}}}}\n')


def read(path: Path) -> tuple[str, list[Recorded]]:
    """(the engine's version, what its schedulers made)."""
    whole = json.loads(path.read_text())
    found = []
    for name, entry in whole["traces"].items():
        told = dict(entry["trace"])
        told["arrival_seconds"] = np.array(told["arrival_seconds"], dtype=np.float64)
        told |= {key: np.array(told[key], dtype=np.int64) for key in _WHOLE}
        trace = Trace(name=name, **told)
        for scheduler, made in entry["schedulers"].items():
            found.append(
                Recorded(trace, scheduler, read_batches(made["batches"]), made["preempted"])
            )
    return whole["version"], found


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
