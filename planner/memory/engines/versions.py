"""The versions of engines that are known, and what was read of each: ``data/engine_versions.csv``.

The default of an engine is the newest stable version of which everything was read that was read of
any: its registry of models, its defaults, its choice of kernels.
"""

from __future__ import annotations

import csv
import difflib
import re
from functools import cache
from itertools import chain
from pathlib import Path

from planner.base.errors import InputError
from planner.base.records import record
from planner.base.versions import Version, version_in, version_of

_DATA = Path(__file__).resolve().parents[1] / "data" / "engine_versions.csv"
READ = ("registry", "defaults", "kernels")
"""What a version is read for."""
_SERIES = ".x"
_BUILD = re.compile(r"b([0-9]+)")
"""How releases of an engine are named that are builds (llama.cpp)."""


@record
class KnownVersion:
    """A version that exists: ``read`` of :data:`READ`; ``text`` as its makers write it, empty
    where releases are builds; ``source`` says where it was read."""

    text: str
    version: Version
    stable: bool
    read: frozenset[str]
    source: str


@record
class TakenVersion:
    """The known version whose rules hold for a stated one: the same, the first of the series that
    it names (``0.5``), the nearest earlier one, or the oldest where all are later."""

    known: KnownVersion
    exact: bool
    older_than_all: bool


@cache
def known_versions(engine: str) -> tuple[KnownVersion, ...]:
    """The versions of ``engine`` that are known, oldest first."""
    return tuple(sorted((k for e, k in _rows() if e == engine), key=lambda k: k.version))


@cache
def versioned_engines() -> tuple[str, ...]:
    """The engines of the table, in its order."""
    return tuple(dict.fromkeys(engine for engine, _ in _rows()))


@cache
def default_known(engine: str) -> KnownVersion:
    """The version taken where none is stated."""
    stable = [k for k in known_versions(engine) if k.stable]
    most = set(chain.from_iterable(k.read for k in stable))
    return max((k for k in stable if k.read >= most), key=lambda k: k.version)


@cache
def taken_version(engine: str, text: str) -> TakenVersion:
    """The known version for ``text``, as people write it; ``0.11.x`` is the newest of its series.

    Raises:
        InputError: ``text`` is no version; the hint names the nearest known one.
    """
    known = known_versions(engine)
    if text.endswith(_SERIES):
        series = text.removesuffix(_SERIES).removeprefix("v")
        members = [k for k in known if k.stable and f"{k.text}.".startswith(f"{series}.")]
        if members:
            return TakenVersion(members[-1], exact=True, older_than_all=False)
        text = series
    build = None if any(k.text for k in known) else _BUILD.fullmatch(text)
    version = version_in(build[1] if build else text)
    if version is None:
        raise _no_version(engine, text)
    public = Version(version.public)
    earlier = [k for k in known if k.version <= version]
    if not earlier or earlier[-1].version != public:
        series_of = [k for k in known if k.stable and f"{k.text}.".startswith(f"{version}.")]
        if series_of:
            return TakenVersion(series_of[0], exact=False, older_than_all=False)
    if not earlier:
        return TakenVersion(known[0], exact=False, older_than_all=True)
    return TakenVersion(earlier[-1], exact=earlier[-1].version == public, older_than_all=False)


def _no_version(engine: str, text: str) -> InputError:
    texts = [k.text for k in known_versions(engine) if k.text]
    near = difflib.get_close_matches(re.sub(r"[^0-9a-z.]", "", text), texts, n=1, cutoff=0.5)
    example = near[0] if near else default_known(engine).text
    return InputError(
        f"engine {engine}: version {text[:40]!r} is not understood",
        hint=f"the nearest known here: {engine}@{example}"
        if near
        else f"for example {engine}@{example}".rstrip("@"),
    )


@cache
def _rows() -> tuple[tuple[str, KnownVersion], ...]:
    with _DATA.open(encoding="utf-8", newline="") as file:
        return tuple((row["engine"], _known(row)) for row in csv.DictReader(file))


def _known(row: dict[str, str]) -> KnownVersion:
    read = frozenset(row["read"].split())
    if not read <= set(READ) or row["stable"] not in ("yes", "no") or not row["source"]:
        raise ValueError(f"engine_versions.csv: {row}")
    return KnownVersion(
        row["version"],
        version_of(row["version"] or "0"),
        row["stable"] == "yes",
        read,
        row["source"],
    )
