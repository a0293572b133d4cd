"""What was read of the hub and is kept here: a folder for each repository and commit.

``$XDG_CACHE_HOME/precision-planner/hub/models--ORG--NAME/COMMIT`` has small files whole, and of
weights their headers alone under the files' own names; ``listing.json`` says what the repository
holds and how large it is. ``refs/REVISION`` names the commit. Every file is written in one step,
and the reference last: an interrupted download leaves what came before it, and two processes that
write one file write the same.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath

from planner.base.atomic_files import replacing
from planner.base.errors import DataError, InputError
from planner.base.records import record
from planner.base.strict_json import parse_object, read_config_bytes, short_repr
from planner.models.hub.names import HubName

LISTING = "listing.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_LISTING_BYTES = 16 * 2**20


@record
class Snapshot:
    """A repository at a commit: where its files are kept, and the bytes of each file that it has at
    the hub, by name."""

    repository: str
    commit: str
    folder: Path
    files: dict[str, int]

    def size_of(self, path: Path) -> int:
        """The bytes at the hub of a file of which ``path`` has the head alone.

        Raises:
            DataError: the repository has no such file.
        """
        size = self.files.get(path.relative_to(self.folder).as_posix())
        if size is None:
            raise DataError(
                f"{path}: not a file of {self.repository} at {self.commit[:12]}",
                hint="ask again with --online",
            )
        return size


def kept_folder() -> Path:
    """Where the user's copies are."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(home) if home else Path(os.path.expanduser("~")) / ".cache"
    return folder / "precision-planner" / "hub"


def snapshot_folder(repository: str, commit: str) -> Path:
    """Where the files of a repository at a commit are kept."""
    return _repository_folder(repository) / commit


def kept_snapshot(name: HubName) -> Snapshot | None:
    """What is kept of ``name``; None where nothing is, or what is there is damaged."""
    reference = _reference(name)
    try:
        commit = reference.read_text(encoding="ascii").strip()
        if not COMMIT.fullmatch(commit):
            return None
        folder = snapshot_folder(name.repository, commit)
        text = read_config_bytes(folder / LISTING, limit=_MAX_LISTING_BYTES)
        values = parse_object(text, str(folder / LISTING))
    except (OSError, DataError, UnicodeDecodeError):
        return None
    return snapshot_of(name.repository, commit, values.get("files"))


def snapshot_of(repository: str, commit: str, files: object) -> Snapshot | None:
    """The record of a listing (bytes by file name); None where it is none. Names that leave the
    folder are left out."""
    if not isinstance(files, dict):
        return None
    sizes = {
        name: size
        for name, size in files.items()
        if _is_inside(name) and isinstance(size, int) and not isinstance(size, bool) and size >= 0
    }
    return Snapshot(repository, commit, snapshot_folder(repository, commit), sizes)


def keep_listing(snapshot: Snapshot) -> None:
    """Keep the names and sizes. Raises InputError where the folder cannot be written."""
    text = json.dumps({"files": snapshot.files}, indent=1, sort_keys=True)
    keep_file(snapshot.folder / LISTING, text.encode())


def keep_reference(name: HubName, commit: str) -> None:
    """Let the revision of ``name`` mean ``commit``, all of whose files that are needed are kept.

    Raises:
        InputError: the folder cannot be written.
    """
    keep_file(_reference(name), commit.encode())


def keep_file(path: Path, data: bytes) -> None:
    """Write a file of the cache in one step. Raises InputError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise InputError(
            f"{short_repr(str(error.filename or path))}: {error.strerror or error}",
            hint="make room there, or name another folder: XDG_CACHE_HOME",
        ) from None


def _repository_folder(repository: str) -> Path:
    return kept_folder() / ("models--" + repository.lower().replace("/", "--"))


def _reference(name: HubName) -> Path:
    return _repository_folder(name.repository) / "refs" / name.revision


def _is_inside(name: object) -> bool:
    """Whether a file's name stays in its folder, on every system."""
    if not isinstance(name, str) or not name or re.search(r'[\0-\x1f\\:*?"<>|]', name):
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name
