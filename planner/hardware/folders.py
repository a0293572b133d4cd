"""Where device profiles are looked for before the packaged ones."""

from __future__ import annotations

import os
from pathlib import Path

from planner.errors import InputError

HARDWARE_VARIABLE = "PLAN_HARDWARE_PATH"


def hardware_folders(first: str | os.PathLike[str] | None) -> list[Path]:
    """Folders of device profiles before the packaged one: the argument, then the variable's.

    Raises:
        InputError: a folder does not exist.
    """
    folders = [Path(first)] if first is not None else []
    folders += [Path(p) for p in os.environ.get(HARDWARE_VARIABLE, "").split(os.pathsep) if p]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"hardware folder {str(folder)!r} does not exist",
                hint=f"check --hardware-dir and {HARDWARE_VARIABLE}",
            )
    return folders
