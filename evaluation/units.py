"""Every unit under every scheme, alone: the measured losses, by several processes, resumable."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import settings
from evaluation.predictors import engine
from evaluation.settings import LOSS_TEXT, PROBE, PROBE_TEXT, SCHEMES, SUBJECTS
from planner.lab.probe.measure import Reference, make_reference, unit_losses

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """Every unit of a model under ``schemes``, on one part of the text."""

    model: str
    part: int
    size: tuple[int, int]
    schemes: tuple[str, ...]

    @property
    def file(self) -> str:
        """Named after the settings that the rows depend on."""
        ids = hashlib.sha256(np.array(settings.token_ids(self.model)).tobytes()).hexdigest()
        key = hashlib.sha256(repr((self, SUBJECTS[self.model].file, ids)).encode()).hexdigest()
        return f"units-{self.model}-{self.part}-{key[:12]}.jsonl"


def losses(name: str) -> Task:
    """All schemes on the loss text."""
    return Task(name, LOSS_TEXT, SUBJECTS[name].loss_text, SCHEMES)


def probe(name: str) -> Task:
    """The probe scheme on its own text."""
    return Task(name, PROBE_TEXT, SUBJECTS[name].probe_text, (PROBE,))


def measure(task: Task, out: Path, processes: int, among: Sequence[str] | None = None) -> list[Row]:
    """Losses of every unit, or of those ``among``; rows already in ``out`` are kept.

    A row: unit; ``loss`` by scheme and chunk; ``flips`` by scheme; CPU seconds.
    """
    file = out / task.file
    done = _read(file)
    units = among or [u.id for u in settings.loaded(task.model).units]
    todo = [(task, u) for u in units if u not in done]
    label = f"{task.model}, text {task.part}, {len(task.schemes)} schemes"
    print(f"{label}: {len(units) - len(todo)} of {len(units)} units are measured", flush=True)
    begun = time.time()
    if todo:
        with multiprocessing.get_context("spawn").Pool(processes) as pool, file.open("a") as log:
            for n, row in enumerate(pool.imap_unordered(_one, todo), 1):
                done[row["unit"]] = row
                log.write(json.dumps(row) + "\n")
                log.flush()
                if n % 10 == 0:
                    print(f"{label}: {n} of {len(todo)} in {time.time() - begun:.0f} s", flush=True)
    return [done[u] for u in units]


def table(rows: list[Row], key: str) -> np.ndarray:
    """(units, schemes[, chunks]) of ``loss`` or ``flips``."""
    return np.array([row[key] for row in rows])


@cache
def _reference(name: str, part: int, size: tuple[int, int]) -> Reference:
    return make_reference(settings.loaded(name), settings.text(name, part, size))


def _one(item: tuple[Task, str]) -> Row:
    task, unit = item
    begun, model = time.process_time(), settings.loaded(task.model)
    reference = _reference(task.model, task.part, task.size)
    [(_, found)] = unit_losses(
        model, reference, [unit], settings.recipes(task.schemes), engine=engine()
    )
    return {
        "unit": unit,
        "loss": [x.by_chunk.tolist() for x in found],
        "flips": [x.flips for x in found],
        "cpu_seconds": round(time.process_time() - begun, 2),
    }


def _read(file: Path) -> dict[str, Row]:
    """Rows of earlier runs; a last line that was cut off is measured again."""
    if not file.exists():
        return {}
    rows = {}
    for line in file.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["unit"]] = row
    return rows
