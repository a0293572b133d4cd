"""Files that are being written: whoever ends the process at once removes them first.

A writer tidies up itself when it is interrupted; this is for one that does not come to it, because
it is inside a library.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

_DRAFTS: set[Path] = set()


@contextlib.contextmanager
def draft(path: Path) -> Iterator[Path]:
    """``path`` is a draft while the block runs; whatever is there is removed where it does not end
    well."""
    _DRAFTS.add(path)
    try:
        yield path
    except BaseException:
        _remove(path)
        raise
    finally:
        _DRAFTS.discard(path)


def remove_drafts() -> None:
    """Remove what is half written in this process."""
    for path in tuple(_DRAFTS):
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
