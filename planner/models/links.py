"""Links in a checkpoint's directory must not leave it."""

from __future__ import annotations

from pathlib import Path

from planner.base.errors import DataError


def require_inside(path: Path, directory: Path) -> None:
    """Refuse ``path`` if it is a link out of ``directory``.

    The hub's cache is the exception: its ``snapshots/REVISION`` link to ``blobs`` beside them.

    Raises:
        DataError: the link leaves the directory, or leads in a circle.
    """
    try:
        target, root = path.resolve(), directory.resolve()
    except (OSError, RuntimeError):
        raise DataError(
            f"{path}: a link that leads in a circle", hint="put the file itself there"
        ) from None
    if target.is_relative_to(root):
        return
    for folder in (root, *root.parents):
        if folder.parent.name == "snapshots":
            if target.parent == folder.parent.parent / "blobs":
                return
            break
    raise DataError(
        f"{path}: a link out of the directory",
        hint="put the file itself there, or name the directory it is in",
    )
