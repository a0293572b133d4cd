"""Files that are being written: beside their target, opened new, gone where they do not end well.

A draft is opened exclusively, never through a link that somebody has laid at its name; only the
output itself, which its user names, may be a link, and what it points to is written. A writer
tidies up itself when it is interrupted; ``remove_drafts`` is for one that does not come to it,
because it is inside a library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from planner.base.errors import InputError
from planner.base.files import NOT_A_FILE, is_special

_DRAFTS: set[Path] = set()
_NEW = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


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


@contextlib.contextmanager
def replacing(target: Path, *, exclusive: bool = False) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of ``target`` where the block ends well, synchronised:
    a reader sees the old file or the new one.

    ``exclusive``: a lock keeps other writers out, so that the draft has one name, and what a killed
    run left there goes; else every draft has a name of its own.

    Raises:
        InputError: the target is a device, a pipe or a socket, which would be gone with what it is
            for. OSError: it cannot be written; its ``filename`` is the target.
    """
    target = Path(os.path.realpath(target))
    if is_special(target):
        raise InputError(f"{target} is {NOT_A_FILE}", hint="it is not replaced: name a file")
    with telling(target):
        handle, path = _opened(target, exclusive)
    with draft(path), telling(target):
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        path.replace(target)


def replace_text(target: Path, text: str, *, exclusive: bool = False) -> None:
    """Write ``text`` in UTF-8 as :func:`replacing` does, lines ending as they do in it.

    Raises:
        OSError: it cannot be written; its ``filename`` is the target.
    """
    with replacing(target, exclusive=exclusive) as file:
        file.write(text.encode())


def sibling_folder(target: Path) -> Path:
    """A new empty folder beside ``target``, of this user alone, to be moved there or removed.

    Raises:
        OSError: it cannot be made.
    """
    import tempfile

    with telling(target):
        return Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))


@contextlib.contextmanager
def telling(target: Path) -> Iterator[None]:
    """Errors of the system that name no file, or a draft of ``target``, which nobody has asked for,
    name the target."""
    try:
        yield
    except OSError as error:
        draft_of = f".{target.name}."
        if error.filename is None or any(
            part.startswith(draft_of) for part in Path(str(error.filename)).parts
        ):
            error.filename = str(target)
            del error.filename2
        raise


def created_mode(*, executable: bool = False) -> int:
    """Permissions that a new file has for this user."""
    mask = os.umask(0)
    os.umask(mask)
    return (0o777 if executable else 0o666) & ~mask


def gone_at_the_end(path: Path) -> None:
    """``path`` is removed where this process is ended before it calls :func:`removed`."""
    _DRAFTS.add(path)


def removed(path: Path) -> None:
    """Remove what was to be gone at the end; what is not there is no error.

    Raises:
        OSError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    finally:
        _DRAFTS.discard(path)


def remove_drafts() -> None:
    """Remove what is half written in this process."""
    for path in tuple(_DRAFTS):
        _remove(path)


def _opened(target: Path, exclusive: bool) -> tuple[int, Path]:
    """(handle, path) of a new draft."""
    if exclusive:
        path = target.with_name(f".{target.name}.new")
        path.unlink(missing_ok=True)  # a link goes, not what it points to
        return os.open(path, _NEW, 0o666), path
    import tempfile

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.chmod(name, created_mode())
    return handle, Path(name)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
