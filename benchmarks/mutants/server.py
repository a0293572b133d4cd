"""Tests of one room, collected once; each mutant runs in a fork of that process.

In the fork the code of one function is exchanged where it lies in memory, and the tests that call it
run until one fails, shortest first. Which tests call which function is seen once, in a fork of its
own, while all pass unchanged. Compiled functions are compiled anew in each fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from mutants.places import mutated

Key = tuple[str, int, str]
"""File below the package, first line, name of a function."""
Wanted = Callable[["Reached"], Iterator[tuple[Path, int, Key]]]
"""Gives the mutants (file, place, function around it) that are to be tried."""
Told = Callable[[Path, int, dict[str, Any]], bool]
"""Takes a result; False: stop."""


@dataclass
class Reached:
    """Tests by the functions that they call, with their seconds; ``failing`` are left out."""

    tests: dict[Key, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)


class Server:
    """The plugin that takes the place of pytest's own loop over the tests."""

    def __init__(self, package: Path, limit_seconds: float, wanted: Wanted, told: Told) -> None:
        self._package, self._limit = str(package) + os.sep, limit_seconds
        self._wanted, self._told = wanted, told
        self._outcome: dict[str, Any] = {}
        self.reached = Reached()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every wanted mutant."""
        _compile_anew()
        answer = self._forked(lambda: self._baseline(session.items), 86_400)
        assert "reached" in answer, answer
        for file, first, name, tests in answer["reached"]:
            self.reached.tests[file, first, name] = tests
        self.reached.seconds, self.reached.failing = answer["seconds"], answer["failing"]
        by_id = {item.nodeid: item for item in session.items}
        for path, number, key in self._wanted(self.reached):
            ids = sorted(self.reached.tests.get(key, ()), key=self.reached.seconds.__getitem__)
            items = [by_id[one] for one in ids]
            result = self._forked(lambda: self._try(path, number, key, items), self._limit) \
                if items else {"noticed": False, "why": "no test calls it"}
            if not self._told(path, number, result):
                break
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note failures of the test that runs."""
        if report.failed:
            self._outcome["failed"] = report.nodeid

    def _try(self, path: Path, number: int, key: Key, items: Sequence[pytest.Item],
             ) -> dict[str, Any]:
        """Whether one of ``items`` fails with the mutant in place."""
        importlib.import_module(_module(path))
        code = mutated(path.read_text(encoding="utf-8"), number, str(path))
        if not _exchange(str(path), key, code):
            return {"noticed": False, "why": "its function is not in memory"}
        for item in items:
            self._run(item)
            if self._outcome:
                return {"noticed": True, "by": item.nodeid}
        return {"noticed": False, "why": f"{len(items)} tests pass"}

    def _baseline(self, items: Sequence[pytest.Item]) -> dict[str, Any]:
        """Every test unchanged: what it calls, how long it takes, whether it passes."""
        tests: dict[Key, list[str]] = {}
        seconds, failing = {}, []
        for item in items:
            calls: set[CodeType] = set()
            begun = time.perf_counter()
            with _calls(self._package, calls):
                self._run(item)
            seconds[item.nodeid] = time.perf_counter() - begun
            if self._outcome:
                failing.append(item.nodeid)
                continue
            for code in calls:
                tests.setdefault((code.co_filename[len(self._package):], code.co_firstlineno,
                                  code.co_name), []).append(item.nodeid)
        return {"reached": [(*key, ids) for key, ids in tests.items()], "seconds": seconds,
                "failing": failing}

    def _run(self, item: pytest.Item) -> None:
        self._outcome.clear()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)

    def _forked(self, work: Callable[[], dict[str, Any]], limit: float) -> dict[str, Any]:
        """The answer of ``work`` in a fork; a fork that hangs or dies has noticed something."""
        reader, writer = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.setsid()
            _serve(work, writer)
        os.close(writer)
        text, end = b"", time.monotonic() + limit
        while time.monotonic() < end:
            if select.select([reader], [], [], max(0.0, min(1.0, end - time.monotonic())))[0]:
                piece = os.read(reader, 1 << 20)
                if not piece:
                    break
                text += piece
        late = time.monotonic() >= end
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(child, 0)
        os.close(reader)
        if late:
            return {"noticed": True, "by": f"no end within {limit:.0f} s"}
        return json.loads(text) if text else {"noticed": True, "by": "the process ended"}


def _serve(work: Callable[[], dict[str, Any]], writer: int) -> None:
    """The life of a fork: what it prints is dropped, its answer written."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        answer = work()
    except BaseException as error:
        answer = {"noticed": True, "by": f"{type(error).__name__}: {error}"[:200]}
    with os.fdopen(writer, "wb") as file:
        file.write(json.dumps(answer).encode())
    os._exit(0)


class _calls:
    """Notes the code of every function of the package that is called in the block."""

    def __init__(self, package: str, into: set[CodeType]) -> None:
        self._package, self._into = package, into

    def __enter__(self) -> None:
        sys.settrace(self._note)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        if frame.f_code.co_filename.startswith(self._package):
            self._into.add(frame.f_code)


def _module(path: Path) -> str:
    """The name that a file of the package is imported by."""
    parts = path.with_suffix("").parts
    return ".".join(parts[len(parts) - 1 - parts[::-1].index("planner"):])


def _exchange(file: str, key: Key, code: CodeType) -> int:
    """Give every function that has the place's code the mutated one; how many had."""
    gc.unfreeze()  # tests freeze what is loaded before them, which hides it
    count = 0
    for one in gc.get_objects():
        if isinstance(one, FunctionType):
            old = one.__code__
            if (old.co_filename, old.co_firstlineno, old.co_name) == (file, *key[1:]) \
                    and old.co_freevars == code.co_freevars:
                one.__code__ = code
                count += 1
    return count


def _compile_anew() -> None:
    """numba's files of compiled code do not see an exchange: they are not read."""
    try:
        from numba.core import caching
    except ImportError:
        return
    caching._Cache.load_overload = lambda *_: None  # type: ignore[method-assign]
    caching.Cache.load_overload = lambda *_: None
    caching.Cache.save_overload = lambda *_: None
