"""Every unit under every scheme, alone: the measured losses, by several processes, resumable."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import settings
from evaluation.settings import LOSS_TEXT, PROBE_TEXT, PROBES, SCHEMES, SUBJECTS
from planner.quality.probe.measure import Reference, make_reference, unit_losses

Row = dict[str, Any]


def measure(name: str, out: Path, processes: int) -> list[Row]:
    """Losses of every unit of ``name``; rows already in ``out`` are kept.

    A row: unit; ``loss`` by scheme and chunk and ``flips`` by scheme on the loss text; ``probe``
    by probe scheme on the probe text; CPU seconds.
    """
    file = out / f"units-{name}-{_key(name)}.jsonl"
    done = _read(file)
    units = [u.id for u in settings.loaded(name).units]
    todo = [(name, u) for u in units if u not in done]
    print(f"{name}: {len(done)} of {len(units)} units are measured", flush=True)
    begun = time.time()
    if todo:
        with multiprocessing.get_context("spawn").Pool(processes) as pool, file.open("a") as log:
            for n, row in enumerate(pool.imap_unordered(_one, todo), 1):
                done[row["unit"]] = row
                log.write(json.dumps(row) + "\n")
                log.flush()
                if n % 10 == 0:
                    print(f"{name}: {n} of {len(todo)} in {time.time() - begun:.0f} s", flush=True)
    return [done[u] for u in units]


def table(rows: list[Row], key: str) -> np.ndarray:
    """(units, schemes[, chunks]) of ``loss``, ``flips`` or ``probe``."""
    return np.array([row[key] for row in rows])


@cache
def _reference(name: str, part: int) -> Reference:
    subject = SUBJECTS[name]
    return make_reference(settings.loaded(name), settings.text(name, part, subject.unit_text))


def _one(task: tuple[str, str]) -> Row:
    name, unit = task
    begun, model = time.process_time(), settings.loaded(name)
    (_, losses), = unit_losses(model, _reference(name, LOSS_TEXT), [unit], settings.recipes())
    (_, probes), = unit_losses(model, _reference(name, PROBE_TEXT), [unit],
                               settings.recipes(PROBES))
    return {"unit": unit, "loss": [x.by_chunk.tolist() for x in losses],
            "flips": [x.flips for x in losses], "probe": [x.mean for x in probes],
            "cpu_seconds": round(time.process_time() - begun, 2)}


def _key(name: str) -> str:
    """Settings that the rows depend on."""
    subject = SUBJECTS[name]
    ids = hashlib.sha256(np.array(settings.token_ids(name)).tobytes()).hexdigest()
    parts = (subject.file, subject.unit_text, SCHEMES, PROBES, ids)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


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
