"""Which test depends on which function, seen once and kept in out/ by the digests of what it saw.

A function that a cache or a shared fixture answered for is called by the first test only, while
every test that gets the answer depends on it: what was called beneath a cached function, or beneath
a fixture that tests share, counts for all that ask for it. So do compiled kernels for all that name
them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from mutants.kernels import Names, compiled_by, named_kernels
from mutants.places import functions, said

Key = tuple[str, str]
"""File below the root and qualified name of a function that is in no other."""
_Cached = functools._lru_cache_wrapper
_REMEMBERED = "remembered"
"""The function that puts a cache of results around others (planner.base.identity_cache)."""


@dataclass
class Seen:
    """What a test needs, how long it took and whether it passed unchanged."""

    calls: list[Key]
    seconds: float
    passed: bool


@dataclass
class Kept:
    """Answers of a room on disk: a test's stands while its file, what all tests share, every
    function that it needs and what stands around those functions say the same."""

    file: Path
    root: Path
    shared: str
    tests: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path, root: Path, common: Iterable[Path]) -> Kept:
        """What is on disk and still holds."""
        kept = cls(file, root, digest(sorted(common)))
        if not file.is_file():
            return kept
        text = json.loads(file.read_text(encoding="utf-8"))
        if text["shared"] != kept.shared:
            return kept
        keys: list[Key] = [(name, function) for name, function, _ in text["keys"]]
        same = [
            _says(root, key) == says for key, (_, _, says) in zip(keys, text["keys"], strict=True)
        ]
        kept.tests = {
            name: Seen([keys[k] for k in calls], seconds, passed)
            for name, (calls, seconds, passed) in text["tests"].items()
            if all(same[k] for k in calls)
        }
        return kept

    def write(self) -> None:
        """Replace the file."""
        places: dict[Key, int] = {}
        tests = {
            name: (
                [places.setdefault(key, len(places)) for key in one.calls],
                one.seconds,
                one.passed,
            )
            for name, one in self.tests.items()
        }
        text = json.dumps(
            {
                "shared": self.shared,
                "tests": tests,
                "keys": [(*key, _says(self.root, key)) for key in places],
            }
        )
        new = self.file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.file)


def _says(root: Path, key: Key) -> str:
    """A digest of a function and of what stands outside functions in its file."""
    known = _said(root / key[0])
    return known[""] + known.get(key[1], "")


@functools.cache
def _said(path: Path) -> dict[str, str]:
    """Digests by function, that of all else by the empty name."""
    if not path.is_file():
        return {"": ""}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    digests: dict[str, str] = {}
    for name, function in functions(tree):
        digests[name] = digests.get(name, "") + said(function)
        function.body = [ast.Pass()]
    return {**digests, "": said(tree)}


def digest(files: Iterable[Path]) -> str:
    """One digest of files, names included."""
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


def named(item: pytest.Item) -> str:
    """The test and its file's digest."""
    return f"{_digest_of(item.path)} {item.nodeid}"


@functools.cache
def _digest_of(path: Path) -> str:
    return digest([path])


class Watch:
    """Runs tests and notes what each calls, itself or through what others left in a cache."""

    def __init__(self, root: Path, run: Callable[[pytest.Item], bool]) -> None:
        self._root, self._run = f"{root}{os.sep}", run
        self._ours = tuple(f"{root / one}{os.sep}" for one in ("planner", "tests"))
        self._beneath: dict[Hashable, set[CodeType]] = defaultdict(set)
        self._names: dict[CodeType, Names] = {}
        self._remembered: set[CodeType] = set()

    def seen(self, item: pytest.Item) -> Seen:
        """Run one test."""
        before = {one: one.cache_info().hits for one in cached()}
        calls: set[CodeType] = set()
        self._remembered.clear()
        begun = time.perf_counter()
        sys.settrace(self._noting(calls))
        try:
            passed = self._run(item)
        finally:
            sys.settrace(None)
        seconds = time.perf_counter() - begun
        for one in cached():
            if one.cache_info().hits > before.get(one, 0):
                calls |= self._beneath[one.__wrapped__.__code__]
        for known in (*self._remembered, *_shared_fixtures(item)):
            calls |= self._beneath[known]
        calls |= {
            code
            for code in named_kernels(
                {code: self._names[code] for code in calls if code in self._names}
            )
            if code.co_filename.startswith(self._ours)
        }
        start = len(self._root)
        return Seen(
            sorted(
                {
                    (code.co_filename[start:], code.co_qualname.partition(".<locals>")[0])
                    for code in calls
                }
            ),
            seconds,
            passed,
        )

    def _noting(self, calls: set[CodeType]) -> Callable[[FrameType, str, object], None]:
        pairs: set[tuple[CodeType, CodeType | None]] = set()
        kept = {one.__wrapped__.__code__ for one in cached()}

        def note(frame: FrameType, event: str, _argument: object) -> None:
            code, outer = frame.f_code, frame.f_back
            if code.co_name == "wrapper":
                code = compiled_by(frame) or code
            if not code.co_filename.startswith(self._ours):
                return
            if code.co_name == _REMEMBERED:
                self._remembered.add(frame.f_locals["function"].__code__)
            pair = (code, outer.f_code if outer else None)
            if pair in pairs:
                return
            pairs.add(pair)
            calls.add(code)
            if code is frame.f_code:
                self._names.setdefault(code, frame.f_globals)
            above: FrameType | None = frame
            while above is not None:
                below, above = above, above.f_back
                if below.f_code in kept or (above and above.f_code.co_name == _REMEMBERED):
                    self._beneath[below.f_code].add(code)
                elif below.f_code.co_name == "pytest_fixture_setup":
                    self._beneath[_fixture(below.f_locals["fixturedef"])].add(code)

        return note


def _fixture(one: Any) -> Hashable:
    return one.baseid, one.argname


def _shared_fixtures(item: pytest.Item) -> Iterator[Hashable]:
    """Fixtures of a test that outlive it."""
    for found in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
        yield from (_fixture(one) for one in found if one.scope != "function")


def cached() -> list[Any]:
    """Every cached function of a loaded module."""
    return list(
        {
            id(one): one
            for module in list(sys.modules.values())
            for one in list(getattr(module, "__dict__", {}).values())
            if isinstance(one, _Cached) and hasattr(one.__wrapped__, "__code__")
        }.values()
    )
