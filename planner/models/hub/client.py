"""Requests to the hub, through ``huggingface_hub``: its endpoint (``HF_ENDPOINT``), its session,
the user's own token. Redirects are followed here: only files that the hub stores elsewhere may lead
to another host, and no token goes there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from planner.base.errors import DataError, InputError, needs
from planner.base.records import record
from planner.models.hub.names import MAIN, HubName

EXTRA = "hub"
TIMEOUT_SECONDS = 30.0
_MOST_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_SECRET = ("authorization", "cookie", "proxy-authorization")
OFFLINE = "it is answered from what is kept, without --online, once it has been read"


@record
class PartRead:
    """The first bytes of an answer, and the size of the whole file [B], None where nobody says."""

    data: bytes
    total: int | None


class HubClient:
    """Reads of one endpoint.

    Raises:
        MissingPackageError: ``huggingface_hub`` is not installed.
    """

    def __init__(self) -> None:
        needs("huggingface_hub", extra=EXTRA)
        from huggingface_hub import constants

        self.endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or constants.ENDPOINT
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"HF_ENDPOINT is {self.endpoint[:80]!r}",
                hint="an address such as https://huggingface.co, or leave it unset",
            )

    def listing(self, name: HubName, *, limit: int) -> bytes:
        """The hub's description of a repository at a revision, with the sizes of its files.

        Raises:
            InputError: no such repository, no leave, no network. DataError: larger than ``limit``.
        """
        url = f"{self.endpoint}/api/models/{name.repository}/revision/{quote(name.revision)}"
        return self._complete(url + "?blobs=true", name, name.text, limit)

    def small_file(
        self, name: HubName, commit: str, file: str, *, limit: int, stored_apart: bool = False
    ) -> bytes:
        """A file of the repository; the hub itself holds it unless it is ``stored_apart``, as large
        ones are.

        Raises:
            InputError, DataError: as :meth:`listing`.
        """
        url = self._url(name, commit, file)
        return self._complete(url, name, _place(name, file), limit, inside=not stored_apart)

    def part(self, name: HubName, commit: str, file: str, begin: int, end: int) -> PartRead:
        """Bytes ``begin`` to ``end`` (exclusive) of a file, fewer where it ends before.

        Raises:
            InputError: as :meth:`listing`. DataError: the answer is not of these bytes.
        """
        place = _place(name, file)
        with self._opened(
            self._url(name, commit, file), name, place, {"Range": f"bytes={begin}-{end - 1}"}
        ) as response:
            total = _total(response, begin, place)
            skipped = begin if response.status_code == 200 else 0
            data = _read(response, skipped + end - begin)
        return PartRead(data[skipped : skipped + end - begin], total)

    def _url(self, name: HubName, commit: str, file: str) -> str:
        return f"{self.endpoint}/{name.repository}/resolve/{commit}/{quote(file)}"

    def _complete(
        self, url: str, name: HubName, place: str, limit: int, *, inside: bool = True
    ) -> bytes:
        with self._opened(url, name, place, {}, inside=inside) as response:
            data = _read(response, limit + 1)
        if len(data) > limit:
            raise DataError(
                f"{place}: larger than {limit} bytes",
                hint="the repository is none of a model, or HF_ENDPOINT is no hub",
            )
        return data

    def _opened(
        self, url: str, name: HubName, place: str, headers: Mapping[str, str], *,
        inside: bool = False,
    ) -> _Opened:  # fmt: skip
        return _Opened(self, url, name, place, headers, inside)


class _Opened:
    """An answer while its bytes are read, after the redirects that led to it."""

    def __init__(
        self, client: HubClient, url: str, name: HubName, place: str, headers: Mapping[str, str],
        inside: bool,
    ) -> None:  # fmt: skip
        self._client, self._url, self._name, self._place = client, url, name, place
        self._headers, self._inside = headers, inside
        self._response: Any = None

    def __enter__(self) -> Any:
        from huggingface_hub import errors, get_session
        from huggingface_hub.utils._headers import build_hf_headers

        session: Any = get_session()
        headers = {**build_hf_headers(), **self._headers, "Accept-Encoding": "identity"}
        url = self._url
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                request = session.build_request(
                    "GET", url, headers=headers, timeout=TIMEOUT_SECONDS
                )
                response = session.send(request, stream=True, follow_redirects=False)
            except errors.OfflineModeIsEnabled:
                raise InputError(
                    "HF_HUB_OFFLINE is set, so that the hub may not be asked",
                    hint="unset HF_HUB_OFFLINE, or leave --online out: " + OFFLINE,
                ) from None
            except Exception as error:
                if not _is_of_network(error):
                    raise
                raise _unreachable(url, error) from None
            self._response = response
            if response.status_code not in _MOVED:
                _check_status(response, self._name, self._place, self._client.endpoint)
                return response
            response.close()
            url = self._next(url, response.headers.get("location", ""), headers)
        raise DataError(
            f"{self._place}: more than {_MOST_REDIRECTS} redirects",
            hint="check HF_ENDPOINT: the hub that it names answers in a circle",
        )

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def _next(self, url: str, location: str, headers: dict[str, str]) -> str:
        """Where a redirect leads; ``headers`` lose what another host must not see."""
        target = urljoin(url, location)
        if _origin(target) == _origin(url) and location:
            return target
        here, there = urlsplit(url), urlsplit(target)
        safe = there.scheme == "https" or (there.scheme == "http" and here.scheme == "http")
        if self._inside or not safe or not there.hostname:
            raise DataError(
                f"{self._place}: the hub redirects to {_origin(target)[:120]}",
                hint="a hub answers for its own files: name the other one in HF_ENDPOINT "
                "if you trust it",
            )
        for key in [key for key in headers if key.lower() in _SECRET]:
            del headers[key]
        return target


def _place(name: HubName, file: str) -> str:
    return f"{HubName(name.repository, name.revision).text}/{file}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def _is_of_network(error: Exception) -> bool:
    """Whether an error is one of the connection: huggingface_hub changed the library below it."""
    kinds = {one.__name__ for one in type(error).__mro__}
    return bool(kinds & {"TransportError", "HTTPError", "RequestException", "OSError"})


def _unreachable(url: str, error: Exception) -> InputError:
    return InputError(
        f"{_origin(url)} cannot be reached: {str(error)[:200] or type(error).__name__}",
        hint="check the network and HF_ENDPOINT; " + OFFLINE,
    )


def _check_status(response: Any, name: HubName, place: str, endpoint: str) -> None:
    """Refuse an answer that is none. Raises InputError."""
    status = response.status_code
    if status in (200, 206):
        return
    why = response.headers.get("x-error-code", "")
    if status in (401, 403) or why == "GatedRepo":
        response.close()
        gated = "gated: its owner gives leave" if why == "GatedRepo" else "private, or not there"
        raise InputError(
            f"{place}: {endpoint} gives no leave ({status}): the repository is {gated}",
            hint=f"check the name; ask for access at {endpoint}/{name.repository} and set "
            "HF_TOKEN to a token of yours (hf auth login)",
        )
    response.close()
    if status == 404:
        what = "revision" if why == "RevisionNotFound" else "repository or file"
        raise InputError(
            f"{place}: {endpoint} has no such {what}",
            hint=f"look at {endpoint}/{name.repository}"
            + ("" if name.revision == MAIN else ", or leave the revision out"),
        )
    raise InputError(
        f"{place}: {endpoint} answers {status}",
        hint="try again later" if status in (408, 429) or status >= 500 else "check HF_ENDPOINT",
    )


def _total(response: Any, begin: int, place: str) -> int | None:
    """The size of the whole file [B]. Raises DataError where the answer is of other bytes."""
    if response.status_code == 200:
        length = response.headers.get("content-length", "")
        return int(length) if length.isdigit() else None
    found = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if found is None or int(found[1]) != begin:
        raise DataError(
            f"{place}: the hub answers with other bytes than those that it was to give",
            hint="check HF_ENDPOINT: the hub that it names reads no ranges",
        )
    return int(found[3])


def _read(response: Any, limit: int) -> bytes:
    """At most ``limit`` bytes of an answer. Raises InputError where the connection breaks."""
    data = bytearray()
    try:
        for piece in response.iter_raw():
            data += piece
            if len(data) >= limit:
                break
    except Exception as error:
        if not _is_of_network(error):
            raise
        raise _unreachable(str(response.url), error) from None
    return bytes(data[:limit])
