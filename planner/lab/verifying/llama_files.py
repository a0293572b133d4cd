"""Files that llama.cpp's programs write, whole or not at all, and where their words are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from planner.base.atomic_files import draft
from planner.base.errors import DataError
from planner.base.units import format_bytes
from planner.lab.verifying.processes import EngineFailedError, run
from planner.lab.verifying.records import Task
from planner.lab.verifying.writing import work_folder


def log_of(task: Task, name: str) -> Path:
    """Where the words of a program are kept."""
    return work_folder(task.folder) / f"{name}.txt"


def written(
    task: Task,
    target: Path,
    command: Callable[[Path], list[str]],
    what: str,
    most_bytes: int,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Have ``command`` write ``target``: beside it first, so that a file of that name is whole.

    Raises:
        DataError: the disk has no room for it.
    """
    free = shutil.disk_usage(task.folder).free
    if free < most_bytes:
        raise DataError(
            f"{what}: {target} may take {format_bytes(most_bytes)}, and the disk has "
            f"{format_bytes(free)}",
            hint="make room, or name another folder with -o; what was measured is kept",
        )
    part = target.with_name(f".{target.name}")
    part.unlink(missing_ok=True)  # a link that lies there is not followed
    with draft(part):
        run(
            command(part),
            what=what,
            limit_seconds=task.setting.step_seconds,
            log=log_of(task, target.stem + "-made"),
            environment=environment,
        )
        if not part.is_file():
            raise EngineFailedError(
                f"{what}: no file was written",
                hint=f"its output is in {log_of(task, target.stem + '-made')}",
            )
        part.replace(target)
