"""Versions of engines and libraries, ordered as Python packages are: 1.2.0rc6 before 1.2.0, a .post
after it, 1.2 and 1.2.0 alike.

A row of a table holds from ``since`` (included) to ``until`` (excluded): empty texts there are
:data:`EARLIEST` and None.
"""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.version import InvalidVersion, Version

__all__ = [
    "EARLIEST",
    "Version",
    "end_of",
    "holds_at",
    "release_of",
    "version_in",
    "version_of",
]
EARLIEST = Version("0.dev0")
"""Before every version that anything has."""
_WRITTEN = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
"""What plan files and commands hold of a version."""


@lru_cache(maxsize=4096)
def version_of(text: str) -> Version:
    """The version of a table's text; of an empty one :data:`EARLIEST`.

    Raises:
        packaging.version.InvalidVersion: the text is none.
    """
    return Version(text) if text else EARLIEST


@lru_cache(maxsize=4096)
def end_of(text: str) -> Version | None:
    """The version that ends a row; None where the text is empty."""
    return Version(text) if text else None


@lru_cache(maxsize=4096)
def version_in(text: str) -> Version | None:
    """The version that ``text`` is, a leading ``v`` included; None where it is none."""
    if not _WRITTEN.fullmatch(text):
        return None
    try:
        return Version(text)
    except InvalidVersion:
        return None


def release_of(text: str) -> str:
    """The first two numbers of a version, ``0.19`` of ``v0.19.1+cu128``; the text where it is no
    version."""
    version = version_in(text)
    return text if version is None else ".".join(map(str, version.release[:2]))


def holds_at(since: Version, until: Version | None, version: Version) -> bool:
    """Whether a row from ``since`` to before ``until`` is about ``version``."""
    return since <= version and (until is None or version < until)
