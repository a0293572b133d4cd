"""What a question needs of a repository is read from the hub and kept: the listing, configurations,
the index, and the headers of weights by ranges. What is kept already is not read again."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from planner.base.errors import DataError, PlannerError
from planner.base.strict_json import MAX_CONFIG_BYTES, parse_object
from planner.models.configuration import QUANT_NAME
from planner.models.gguf_header import MAX_HEADER_BYTES as MOST_GGUF_BYTES
from planner.models.gguf_header import read_gguf_stream
from planner.models.headers import INDEX_NAME, MAX_HEADER_BYTES, MAX_INDEX_BYTES, index_files
from planner.models.hub.client import HubClient
from planner.models.hub.kept import (
    COMMIT,
    Snapshot,
    keep_file,
    keep_listing,
    keep_reference,
    snapshot_of,
)
from planner.models.hub.names import HubName
from planner.models.hub.read import CONFIG, Bundled, chosen_gguf, hub_model, is_of_checkpoint

_FIRST_BYTES = 2**16
_FIRST_GGUF_BYTES = 2**20
_READERS = 8
"""Headers that are read at once."""
_MAX_LISTING_BYTES = 64 * 2**20


def fetch(name: HubName, bundled: Bundled) -> None:
    """Read what a question needs of ``name``, and keep it; ``bundled`` finds the bundled model of a
    configuration.

    Raises:
        MissingPackageError: ``huggingface_hub`` is not installed.
        InputError: no such repository, no leave, no network, or the cache cannot be written.
        DataError: what the hub gives contradicts itself or is not understood.
    """
    client = HubClient()
    snapshot = _listed(client, name)
    try:
        if is_of_checkpoint(name, snapshot):
            _fetch_checkpoint(client, name, snapshot)
        else:
            _fetch_heads(client, name, snapshot, chosen_gguf(snapshot, name))
        hub_model(name, snapshot, bundled)
    except DataError:
        _forget_heads(snapshot)
        raise
    keep_listing(snapshot)
    keep_reference(name, snapshot.commit)


def _listed(client: HubClient, name: HubName) -> Snapshot:
    place = name.text
    values = parse_object(client.listing(name, limit=_MAX_LISTING_BYTES), place)
    commit, siblings = values.get("sha"), values.get("siblings")
    entries = siblings if isinstance(siblings, list) else []
    files = {e.get("rfilename"): _size(e) for e in entries if isinstance(e, dict)}
    known = {file: size for file, size in files.items() if isinstance(file, str) and size >= 0}
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit) or not known:
        raise DataError(
            f"{place}: {client.endpoint} says no commit, or no files with their sizes",
            hint="check HF_ENDPOINT: what it names does not speak as the hub does",
        )
    snapshot = snapshot_of(name.repository, commit, known)
    assert snapshot is not None
    return snapshot


def _size(entry: dict[str, Any]) -> int:
    """The bytes of a listed file, -1 where they are not said."""
    large = entry.get("lfs")
    size = large.get("size") if isinstance(large, dict) else None
    size = entry.get("size") if size is None else size
    return size if isinstance(size, int) and not isinstance(size, bool) else -1


def _fetch_checkpoint(client: HubClient, name: HubName, snapshot: Snapshot) -> None:
    for file in (CONFIG, QUANT_NAME, INDEX_NAME):
        if file in snapshot.files:
            limit = MAX_INDEX_BYTES if file == INDEX_NAME else MAX_CONFIG_BYTES
            _fetch_small(client, name, snapshot, file, limit)
    index = index_files(snapshot.folder) if INDEX_NAME in snapshot.files else None
    heads = index if index is not None else [f for f in snapshot.files if _is_weights(f)]
    missing = sorted(set(heads) - set(snapshot.files))
    if missing:
        raise DataError(
            f"{name.text}: {INDEX_NAME} lists {missing[0][:80]!r}, which is not there",
            hint="the repository is incomplete: name another revision, hf:org/name@REVISION",
        )
    _fetch_heads(client, name, snapshot, heads)


def _is_weights(file: str) -> bool:
    return re.fullmatch(r"[^/]+\.safetensors", file) is not None


def _fetch_small(
    client: HubClient, name: HubName, snapshot: Snapshot, file: str, limit: int
) -> None:
    path = snapshot.folder / file
    if path.is_file() and path.stat().st_size == snapshot.files[file]:
        return
    data = client.small_file(
        name, snapshot.commit, file, limit=limit, stored_apart=file == INDEX_NAME
    )
    _check_size(name, file, len(data), snapshot.files[file])
    keep_file(path, data)


def _fetch_heads(
    client: HubClient, name: HubName, snapshot: Snapshot, files: Iterable[str]
) -> None:
    waiting = [file for file in files if not (snapshot.folder / file).is_file()]
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        jobs = [pool.submit(_fetch_head, client, name, snapshot, file) for file in waiting]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_head(client: HubClient, name: HubName, snapshot: Snapshot, file: str) -> None:
    size = snapshot.files[file]
    data = _PartsOfFile(client, name, snapshot, file)
    if file.endswith(".gguf"):
        place = f"{HubName(name.repository, name.revision).text}/{file}"
        end = read_gguf_stream(data, size, place).header_end
        keep_file(snapshot.folder / file, data.first(min(end, MOST_GGUF_BYTES)))
        return
    length = int.from_bytes(data.first(8), "little")
    believed = length <= min(MAX_HEADER_BYTES, size)  # the reader refuses any other
    keep_file(snapshot.folder / file, data.first(8 + length if believed else 8))


class _PartsOfFile(io.RawIOBase):
    """A file at the hub read from its beginning on, in parts that double."""

    def __init__(self, client: HubClient, name: HubName, snapshot: Snapshot, file: str) -> None:
        super().__init__()
        self._client, self._name, self._snapshot, self._file = client, name, snapshot, file
        self._size, self._position, self._data = snapshot.files[file], 0, bytearray()

    def read(self, count: int = -1) -> bytes:
        """The next ``count`` bytes, fewer where the file ends."""
        begin, self._position = self._position, self._position + max(count, 0)
        return self.first(self._position)[begin:]

    def first(self, count: int) -> bytes:
        """The first ``count`` bytes, fewer where the file has no more.

        Raises:
            InputError, DataError: as the client has it, or another size than the listed one.
        """
        wanted = min(count, self._size)
        while len(self._data) < wanted:
            have = len(self._data)
            least = _FIRST_GGUF_BYTES if self._file.endswith(".gguf") else _FIRST_BYTES
            end = min(self._size, max(wanted, 2 * have, least))
            answer = self._client.part(self._name, self._snapshot.commit, self._file, have, end)
            if answer.total is not None:
                _check_size(self._name, self._file, answer.total, self._size)
            if not answer.data:
                break
            self._data += answer.data
        return bytes(self._data[:wanted])


def _check_size(name: HubName, file: str, size: int, listed: int) -> None:
    if size != listed:
        raise DataError(
            f"{HubName(name.repository, name.revision).text}/{file}: {size} bytes, where the "
            f"repository lists {listed}",
            hint="it was changed while it was read, or HF_ENDPOINT is a faulty mirror: try again",
        )


def _forget_heads(snapshot: Snapshot) -> None:
    """Remove what was kept of files that are not understood, so that they are read anew."""
    for file in snapshot.files:
        path = snapshot.folder / file
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise PlannerError(f"{path}: {error.strerror}", hint="remove the folder") from None
