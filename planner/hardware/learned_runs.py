"""Runs that were measured here: what each says of its device, kept in the user's folder.

One file a run, in ``$XDG_DATA_HOME/precision-planner/learned`` (else ``~/.local/share/…``), named
by a digest of what was measured. Two writers never write one file unless they say the same, and
each file is written in one step. What is damaged counts for nothing, and is told.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from planner.base.atomic_files import replacing
from planner.base.errors import DataError, InputError, PlannerError
from planner.base.records import record
from planner.base.strict_json import parse_object, read_config_bytes

SCHEMA = "1"
MAX_BYTES = 1 << 16
MOST_RUNS = 4096
"""Files of the folder that are read."""
LARGEST_FACTOR = 100.0
"""A prediction that is further off is one of something else."""
SUFFIX = ".json"


@record
class MeasuredFactor:
    """What multiplies the law's seconds so that it gives what was ``measured`` [s]: of steps from a
    time per output token, of prompts from one to the first token; ``predicted`` [s] without it,
    ``error`` the log-space standard error of the measured mean."""

    factor: float
    error: float
    measured: float
    predicted: float


@record
class LearnedRun:
    """One measured run. ``structure`` tells models apart whatever they are stored in; ``layout``,
    ``precision``, ``cache`` and ``in_flight`` (a range of requests) are the kind of deployment;
    ``load`` says what it was asked: ``isl`` and ``osl`` tokens of a request, over ``requests`` of
    them or repeats; ``steps`` and ``prompts`` what it says of each, None: nothing."""

    device: str
    engine: str
    version: str
    model: str
    structure: str
    model_class: str
    layout: str
    precision: str
    cache: str
    in_flight: str
    load: str
    isl: int
    osl: int
    requests: int
    source: str
    date: str
    steps: MeasuredFactor | None = None
    prompts: MeasuredFactor | None = None

    @property
    def id(self) -> str:
        """A digest of what was measured, whatever was predicted."""
        said = {
            **_data(self),
            **{
                name: None if part is None else part.measured
                for name, part in (("steps", self.steps), ("prompts", self.prompts))
            },
        }
        text = json.dumps(said, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


@record
class KeptRuns:
    """The runs of a folder, by id, and what is wrong with files that are none."""

    runs: tuple[LearnedRun, ...]
    damaged: tuple[str, ...]


NOTHING_KEPT = KeptRuns((), ())


def learned_folder() -> Path:
    """Where the user's runs are."""
    home = os.environ.get("XDG_DATA_HOME", "")
    folder = Path(home) if home else Path(os.path.expanduser("~")) / ".local" / "share"
    return folder / "precision-planner" / "learned"


def kept_runs(folder: Path | None = None) -> KeptRuns:
    """What is kept in ``folder`` (None: the user's); nothing where there is none."""
    folder = learned_folder() if folder is None else folder
    runs, damaged = [], []
    for path in _files(folder):
        try:
            status = path.stat()
            runs.append(_read(path, status.st_mtime_ns, status.st_size))
        except (PlannerError, OSError) as error:
            damaged.append(error.message if isinstance(error, PlannerError) else str(error))
    return KeptRuns(tuple(sorted(runs, key=lambda run: run.id)), tuple(damaged))


def keep(run: LearnedRun, folder: Path | None = None) -> Path:
    """Keep ``run``: a run that was kept before is replaced.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = learned_folder() if folder is None else folder
    path = folder / f"{run.id}{SUFFIX}"
    text = json.dumps({"schema_version": SCHEMA, **_data(run)}, indent=1, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(f"{text}\n".encode())
    except OSError as error:
        raise _not_written(path, error) from None
    return path


def forget(name: str, folder: Path | None = None) -> tuple[Path, ...]:
    """Remove the run whose id begins with ``name``, or all of them where it is ``all``: the files
    that went, damaged ones included.

    Raises:
        InputError: no run, or several, have that id, or a file cannot be removed.
    """
    folder = learned_folder() if folder is None else folder
    files = _files(folder)
    found = files if name == "all" else [p for p in files if name and p.stem.startswith(name)]
    if name != "all" and len(found) != 1:
        raise InputError(
            f"{'no kept run' if not found else 'several kept runs'} of the id {name[:40]!r}",
            hint="`plan learn --list` shows them",
        )
    for path in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _not_written(path, error) from None
    return tuple(found)


def _not_written(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: {error.strerror or error}", hint="XDG_DATA_HOME names another folder"
    )


def _files(folder: Path) -> list[Path]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return []
    return [folder / name for name in names if not name.startswith(".")][:MOST_RUNS]


def _data(run: LearnedRun) -> dict[str, Any]:
    return {
        f.name: asdict(value) if isinstance(value, MeasuredFactor) else value
        for f in fields(run)
        for value in (getattr(run, f.name),)
    }


@lru_cache(maxsize=MOST_RUNS)
def _read(path: Path, changed: int, size: int) -> LearnedRun:
    """The run in a file that was ``changed`` [ns] and has this ``size`` [bytes].

    Raises:
        DataError: it is damaged.
    """
    data = parse_object(read_config_bytes(path, limit=MAX_BYTES), str(path))
    if data.pop("schema_version", None) != SCHEMA:
        raise _damaged(path, "schema_version")
    known = {f.name: f for f in fields(LearnedRun)}
    if data.keys() != known.keys():
        raise _damaged(path, min(data.keys() ^ known.keys()))
    values = {name: _value(path, name, data[name]) for name in known}
    run = LearnedRun(**values)
    if run.steps is None and run.prompts is None:
        raise _damaged(path, "steps")
    return run


def _value(path: Path, name: str, value: object) -> Any:
    """A field of a run, of its type.

    Raises:
        DataError: it is of another.
    """
    if name in ("steps", "prompts"):
        return None if value is None else _factor(path, name, value)
    if name in ("requests", "isl", "osl"):
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53:
            return value
    elif isinstance(value, str) and len(value) <= 1000 and value.isprintable():
        return value
    raise _damaged(path, name)


def _factor(path: Path, name: str, value: object) -> MeasuredFactor:
    wanted = [f.name for f in fields(MeasuredFactor)]
    if not isinstance(value, dict) or list(value.keys() ^ set(wanted)):
        raise _damaged(path, name)
    numbers = [value[key] for key in wanted]
    if not all(isinstance(n, float | int) and not isinstance(n, bool) for n in numbers):
        raise _damaged(path, name)
    made = MeasuredFactor(*map(float, numbers))
    if not (
        1 / LARGEST_FACTOR <= made.factor <= LARGEST_FACTOR
        and 0 <= made.error < 10
        and 0 < made.measured < math.inf
        and 0 < made.predicted < math.inf
    ):
        raise _damaged(path, name)
    return made


def _damaged(path: Path, key: str) -> DataError:
    return DataError(
        f"{path}: damaged at {key[:40]!r}, so that it counts for nothing",
        hint=f"`plan learn --forget {path.stem}` removes it",
    )
