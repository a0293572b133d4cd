"""Tests of one room, collected once; each mutant runs in a fork of that process.

In the fork the code of one function is exchanged where it lies in memory, and the tests that call
it run until one fails, those of its own folder and the short ones first. Which tests call which
function is seen once, in a fork of its own, while all pass unchanged, and kept. Compiled functions
are compiled anew in each fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from mutants.baseline import Kept, Key, Watch, cached, named
from mutants.places import mutated
from mutants.sample import Site

KEEP_SECONDS = 20.0
SHARE_SECONDS = 60.0
"""Of the tests that depend on a function, those are tried that together took so long unchanged."""
WAITING_SECONDS = 300.0
"""Without any CPU time of its own for so long, a mutant waits for what never comes."""
Wanted = Callable[["Reached"], Iterator[Site]]
"""Gives the mutants that are to be tried."""
Told = Callable[[Site, dict[str, Any]], bool]
"""Takes a result; False: stop."""


@dataclass
class Reached:
    """Tests by the functions that they call, with their seconds; ``failing`` are left out."""

    tests: dict[Key, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)


class Server:
    """The plugin that takes the place of pytest's own loop over the tests."""

    def __init__(
        self, root: Path, limit_seconds: float, kept: Callable[[], Kept], wanted: Wanted, told: Told
    ) -> None:
        self._root, self._limit, self._kept = root, limit_seconds, kept
        self._wanted, self._told = wanted, told
        self._outcome: dict[str, Any] = {}
        self.reached = Reached()

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        """A failing example is enough: nobody reads the smallest."""
        from hypothesis import Phase, settings  # pytest rewrites it, and must be the first

        settings.register_profile("unshrunk", settings(), phases=[Phase.explicit, Phase.generate])
        settings.load_profile("unshrunk")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every wanted mutant."""
        _compile_anew()
        self._forget()
        self._note_reached(session.items)
        by_id = {item.nodeid: item for item in session.items}
        for site in self._wanted(self.reached):
            ids = sorted(
                self.reached.tests.get((site.file, site.place.name), ()),
                key=partial(self._order, site),
            )
            work = partial(self._try, site, [by_id[one] for one in ids])
            result = self._forked(work) if ids else {"noticed": False, "why": "no test calls it"}
            if not self._told(site, result):
                break
        return True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note failures of the test that runs."""
        if report.failed:
            self._outcome["failed"] = report.nodeid

    def _order(self, site: Site, test: str) -> tuple[bool, float]:
        """Tests of the folder that mirrors the file's first, then the shortest."""
        folder = site.file.rsplit("/", 2)[-2]
        return f"/{folder}/" not in test, self.reached.seconds[test]

    def _try(self, site: Site, items: Sequence[pytest.Item]) -> dict[str, Any]:
        """Whether one of ``items`` fails with the mutant in place."""
        path = self._root / site.file
        importlib.import_module(_module(path))
        code = mutated(path.read_text(encoding="utf-8"), site.place.number, str(path))
        if not _exchange(code):
            return {"noticed": False, "why": "its function is not in memory"}
        chosen = list(self._affordable(items))
        _end_after(self._limit + 4 * sum(self.reached.seconds[one.nodeid] for one in chosen))
        for item in chosen:
            with _limited(self._limit + 4 * self.reached.seconds[item.nodeid]):
                self._run(item)
            if self._outcome:
                return {"noticed": True, "by": item.nodeid}
        return {"noticed": False, "why": f"{len(chosen)} of {len(items)} tests pass"}

    def _affordable(self, items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
        """The first of ``items``, one at least, that unchanged took SHARE_SECONDS together."""
        spent = 0.0
        for item in items:
            spent += self.reached.seconds[item.nodeid]
            if spent > SHARE_SECONDS and item is not items[0]:
                break
            yield item

    def _note_reached(self, items: Sequence[pytest.Item]) -> None:
        """Tests by function: from what is kept, and the rest seen in a fork."""
        kept = self._kept()
        left = [item for item in items if named(item) not in kept.tests]
        if left:
            answer = self._forked(lambda: self._baseline(kept, left))
            assert "seen" in answer, answer
            kept = self._kept()
        for item in items:
            seen = kept.tests[named(item)]
            self.reached.seconds[item.nodeid] = seen.seconds
            if not seen.passed:
                self.reached.failing.append(item.nodeid)
                continue
            for key in seen.calls:
                self.reached.tests.setdefault(key, []).append(item.nodeid)

    def _forget(self) -> None:
        """Empty what caches hold from the collection: a mutant would not show in it."""
        for one in cached():
            if one.__wrapped__.__code__.co_filename.startswith(f"{self._root}{os.sep}"):
                one.cache_clear()

    def _baseline(self, kept: Kept, items: Sequence[pytest.Item]) -> dict[str, Any]:
        """See every test unchanged; what was seen is on disk now and then."""
        watch, written = Watch(self._root, self._run), time.monotonic()
        for item in items:
            kept.tests[named(item)] = watch.seen(item)
            if time.monotonic() > written + KEEP_SECONDS:
                kept.write()
                written = time.monotonic()
        kept.write()
        return {"seen": len(items)}

    def _run(self, item: pytest.Item) -> bool:
        """Whether a test passes."""
        self._outcome.clear()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self._outcome

    def _forked(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The answer of ``work`` in a fork; a fork that hangs or dies has noticed something."""
        reader, writer = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.setsid()
            _serve(work, writer)
        os.close(writer)
        text, used, since = b"", 0, time.monotonic()
        while time.monotonic() < since + WAITING_SECONDS:
            if select.select([reader], [], [], 1.0)[0]:
                piece = os.read(reader, 1 << 20)
                if not piece:
                    break
                text += piece
            if (now := _cpu_ticks(child)) > used:
                used, since = now, time.monotonic()
        else:
            text = json.dumps({"noticed": True, "by": "it waits without end"}).encode()
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(reader)
        if text:
            answer: dict[str, Any] = json.loads(text)
            return answer
        late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGXCPU)
        return {"noticed": True, "by": "the limit of CPU seconds" if late else "the process ended"}


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


def _cpu_ticks(process: int) -> int:
    """CPU time of a process and of its children that have ended, in clock ticks."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return sum(int(one) for one in text.rpartition(")")[2].split()[11:15])


def _end_after(cpu_seconds: float) -> None:
    """The process ends when all that it does takes longer, and so does each of its children."""
    whole = int(cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 5))


@contextmanager
def _limited(cpu_seconds: float) -> Iterator[None]:
    """The process ends where the block takes longer; a busy machine does not count."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def load(folder: Path) -> None:
    """Import all modules of a room, so that every cached function and kernel of it is known."""
    for path in sorted(set(folder.rglob("*.py")) - set(folder.rglob("__init__.py"))):
        with suppress(ImportError):  # an extra that is not installed
            importlib.import_module(_module(path))


def _module(path: Path) -> str:
    """The name that a file of the package is imported by."""
    parts = path.with_suffix("").parts
    return ".".join(parts[len(parts) - 1 - parts[::-1].index("planner") :])


def _exchange(code: CodeType) -> int:
    """Give every function that has the code unchanged the mutated one; how many had."""
    gc.unfreeze()  # tests freeze what is loaded before them, which hides it
    count = 0
    for one in gc.get_objects():
        if isinstance(one, FunctionType):
            old = one.__code__
            if (old.co_filename, old.co_firstlineno, old.co_qualname, old.co_freevars) == (
                code.co_filename,
                code.co_firstlineno,
                code.co_qualname,
                code.co_freevars,
            ):
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
