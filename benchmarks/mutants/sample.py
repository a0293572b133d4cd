"""Which places are tried: the ones whose hashes are least, so that a change moves only itself."""

from __future__ import annotations

import hashlib
import heapq
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mutants.places import Place, places

KNOWN = Path(__file__).with_name("known.toml")
SURVIVORS = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True)
class Site:
    """A place and the file, below the root, that it is in."""

    file: str
    place: Place

    @property
    def room(self) -> str:
        """The folder of the package."""
        return self.file.split("/")[1]

    def name(self) -> str:
        """What the site is called in the journal: nothing that a change elsewhere moves."""
        return hashlib.sha256("\0".join((self.file, *self.place.site())).encode()).hexdigest()[:16]

    def drawn(self, seed: int) -> str:
        """The lot of the site."""
        return hashlib.sha256(
            "\0".join((str(seed), self.file, *self.place.site())).encode()
        ).hexdigest()


@cache
def _places(path: Path) -> list[Place]:
    return places(path.read_text(encoding="utf-8"))


def sites(root: Path, folders: Iterable[str]) -> list[Site]:
    """All places of folders below ``root``."""
    return [
        site
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
        for site in _sites_of(root, path)
    ]


def _sites_of(root: Path, path: Path) -> list[Site]:
    return [Site(path.relative_to(root).as_posix(), place) for place in _places(path)]


def draw(pool: Iterable[Site], count: int, seed: int) -> list[Site]:
    """``count`` of the pool, each as likely as any other, in the order of their lots: the first of
    them are a sample too."""
    return heapq.nsmallest(count, pool, key=lambda site: site.drawn(seed))


@dataclass(frozen=True)
class Entry:
    """A change that is named in a file: the function, what it says and what it would say."""

    file: str
    function: str
    before: str
    why: str
    verdict: str = ""
    ordinal: int = 0
    after: str = ""

    def is_of(self, site: Site) -> bool:
        """Whether it names this site."""
        place = site.place
        return (self.file, self.function, self.before, self.ordinal) == (
            site.file,
            place.name,
            place.before,
            place.ordinal,
        ) and self.after in ("", place.after)


def entries(file: Path) -> list[Entry]:
    """What a file names."""
    return [Entry(**one) for one in tomllib.loads(file.read_text(encoding="utf-8"))["change"]]


def found(root: Path, entry: Entry) -> Site:
    """The site that is named; LookupError where there is none any more, or more than one."""
    path = root / entry.file
    mine = [site for site in _sites_of(root, path) if entry.is_of(site)] if path.is_file() else []
    if len(mine) != 1:
        raise LookupError(f"{entry.file}, {entry.function}: {len(mine)} places say {entry.before}")
    return mine[0]
