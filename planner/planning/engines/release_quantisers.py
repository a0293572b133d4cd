"""Which quantiser public releases were made with: ``data/release_quantisers.csv``.

A row is a pattern of repositories, told by what a publisher's cards and examples say of all of
them, or by the name of the release. What no row fits is not known. Files of llama.cpp have their
importance matrix in the error of their types (:mod:`planner.quality.prior`), not here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache

from planner.base.records import record
from planner.planning.engines.published import PublishedWeights
from planner.planning.engines.repositories import GGUF
from planner.planning.engines.rules import DATA


@record
class ReleaseQuantiser:
    """Repositories of a ``pattern`` in ``scheme`` (empty: any) are made by ``quantiser``, with
    ``tool`` (empty: not stated)."""

    pattern: str
    scheme: str
    quantiser: str
    tool: str
    source: str

    def fits(self, repository: str, scheme: str) -> bool:
        """Whether it says of a release in a scheme how it was made."""
        return self.scheme in ("", scheme) and fnmatchcase(repository.lower(), self.pattern.lower())


@record
class QuantisedRelease:
    """A release in a scheme with what made it, None where nobody stated it."""

    repository: str
    scheme: str
    made: ReleaseQuantiser | None


@cache
def release_quantisers() -> tuple[ReleaseQuantiser, ...]:
    """The shipped patterns (read once a process)."""
    with (DATA / "release_quantisers.csv").open(encoding="utf-8", newline="") as file:
        return tuple(ReleaseQuantiser(**row) for row in csv.DictReader(file))


def made_with(repository: str, scheme: str) -> ReleaseQuantiser | None:
    """What made a release in ``scheme``; None where no pattern fits it."""
    return next((row for row in release_quantisers() if row.fits(repository, scheme)), None)


def release_in(
    releases: Iterable[PublishedWeights], kind: str, scheme: str
) -> QuantisedRelease | None:
    """The first of ``releases`` whose modules of ``kind`` are in ``scheme``, which is the one that
    an answer names; None where none is."""
    for row in releases:
        if GGUF not in row.container and row.group(kind) == scheme:
            return QuantisedRelease(row.repository, scheme, made_with(row.repository, scheme))
    return None
