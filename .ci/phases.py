"""Run every check and test in phases, and print the totals.

Each phase prints pytest's own summary, the reason of every skip, and its wall seconds beside its
budget. Time is told and never judged: nothing is stopped and nothing fails for being slow. The last
lines say how many tests only ``make exhaustive`` runs, and ``N passed, N failed, N skipped``:
tests, plus one for each checker (ruff, mypy, lint-imports) and each phase that should have tests
and has none.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "out" / "test-results"
BIN = Path(sys.executable).parent
WORKERS = 2
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Each process has a core; threads of its matrix products would wait for those of the other."""
PYTEST_NO_TESTS = 5
INTERRUPTED = 130
Checkers = tuple[tuple[str, ...], ...]
OTHERS = {
    "numerics": ("tests/numerics", "tests/lab/tables/test_error_tables.py"),
    "notebooks": ("tests/notebooks",),
    "browser": ("tests/browser",),
    "packaging": ("tests/packaging",),
}
"""Markers that are a phase of their own, and where their tests are: the rest is not imported."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One step: its time budget [s], what selects its tests, and its checkers.

    ``may_be_empty`` returns why the phase may have no tests, or "" where it must have some.
    ``share`` is how its two processes share the tests (pytest-xdist's ``--dist``): by files where
    both would else compile, or plan, the same.
    """

    name: str
    budget: float
    select: tuple[str, ...]
    checkers: Checkers = ()
    may_be_empty: Callable[[], str] = lambda: ""
    share: str = "worksteal"


@dataclass(slots=True)
class Totals:
    """What was counted so far; ``problems`` names each failure that is not a test, ``left_out`` are
    the tests that only `make exhaustive` runs."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)
    skips_seen: set[str] = field(default_factory=set)
    left_out: int = 0

    def fail(self, reason: str) -> None:
        """Count one failure that no test reported."""
        self.failed += 1
        self.problems.append(reason)

    def add(self, other: Totals) -> None:
        """Add what was counted elsewhere."""
        self.passed += other.passed
        self.failed += other.failed
        self.problems += other.problems

    def line(self) -> str:
        """The totals as one line."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def no_notebooks() -> str:
    """Why the notebook phase may be empty."""
    found = any((ROOT / "notebooks").glob("*.ipynb"))
    return "" if found else "the project has no notebooks"


def no_browser_tests() -> str:
    """Why the browser phase may be empty."""
    found = any(
        "mark.browser" in file.read_text(encoding="utf-8")
        for file in (ROOT / "tests").rglob("*.py")
    )
    return "" if found else "no test is marked as needing a browser"


def of_no_other_phase() -> tuple[str, ...]:
    """Selects the tests that no marker gives to another phase."""
    folders = (place for places in OTHERS.values() for place in places if (ROOT / place).is_dir())
    return (
        "-m",
        " and ".join(f"not {marker}" for marker in OTHERS),
        *(f"--ignore={folder}" for folder in folders),
    )


def marked(marker: str) -> tuple[str, ...]:
    """Selects the tests with a marker of :data:`OTHERS`."""
    return ("-m", marker, *OTHERS[marker])


PHASES = (
    Phase(
        "unit and property",
        190,
        of_no_other_phase(),
        checkers=(
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("mypy",),
            ("lint-imports",),
        ),
    ),
    Phase("numerics", 30, marked("numerics"), share="loadfile"),
    Phase("notebooks", 15, marked("notebooks"), may_be_empty=no_notebooks),
    Phase("browser", 25, marked("browser"), may_be_empty=no_browser_tests, share="loadfile"),
    Phase("packaging", 40, marked("packaging")),
)
INSTALL_BUDGET = 300.0
"""Of its own: a fresh clone downloads, every later run does not."""


def say(text: str) -> None:
    """Print at once, so that the order of lines is that of events."""
    print(text, flush=True)


class Running:
    """The commands that run now, so that an interrupted run leaves none behind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = False
        self._starting = self._asked_to_end = False
        self._processes: set[subprocess.Popen[bytes]] = set()

    def run(
        self,
        command: list[str],
        output: IO[bytes] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> int:
        """Run ``command`` to its end and return its exit status, however long it takes.

        It leads a process group of its own. What it prints goes to ``output``, or where this
        process prints. After :meth:`kill` nothing is started.
        """
        with self._lock:
            if self._ended:
                return INTERRUPTED
            main = threading.current_thread() is threading.main_thread()
            self._starting = main  # a signal in between would leave a process that nobody knows
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                env=environment,
                start_new_session=True,
            )
            self._processes.add(process)
            if main:
                self._starting = False
        if self._asked_to_end:
            raise KeyboardInterrupt
        status = process.wait()
        with self._lock:
            self._processes.discard(process)
        return status

    def interrupt(self, *_: object) -> None:
        """What a signal does that asks this process to end; the main thread runs it."""
        self._asked_to_end = True
        if not self._starting:
            raise KeyboardInterrupt

    def kill(self) -> None:
        """End every command that runs, with all its children."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


RUNNING = Running()


def count(report: Path, totals: Totals) -> bool:
    """Add the results in a JUnit file to ``totals``; False where there is no readable file.

    A file of tests that skips itself as a whole does so in every phase, and counts once.
    """
    try:
        cases = list(ET.parse(report).getroot().iter("testcase"))
    except (OSError, ET.ParseError):
        return False
    for case in cases:
        name = f"{case.get('classname', '')} {case.get('name', '')}"
        if case.find("failure") is not None or case.find("error") is not None:
            totals.failed += 1
        elif case.find("skipped") is None:
            totals.passed += 1
        elif name not in totals.skips_seen:
            totals.skipped += 1
            totals.skips_seen.add(name)
    return True


def run_tests(phase: Phase, totals: Totals) -> None:
    """Run the tests of a phase and add them to ``totals``."""
    report = RESULTS / f"{phase.name.replace(' ', '-')}.xml"
    left_out = RESULTS / f"{report.stem}.left-out"
    for old in (report, left_out):
        old.unlink(missing_ok=True)
    failed_before = totals.failed
    status = RUNNING.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            str(WORKERS),
            "--dist",
            phase.share,
            *phase.select,
            "-r",
            "fEsxX",
            "--durations=5",
            "--durations-min=1",
            f"--junitxml={report}",
        ],
        environment=os.environ | ONE_THREAD | {"PHASE_LEFT_OUT": str(left_out)},
    )
    if left_out.is_file():
        totals.left_out += int(left_out.read_text(encoding="ascii"))
    counted = count(report, totals)
    if status == PYTEST_NO_TESTS:
        reason = phase.may_be_empty()
        if reason:
            say(f"{phase.name}: no tests, and none expected: {reason}")
        else:
            totals.fail(f"{phase.name}: no test was selected, and this phase must have some")
    elif not counted or (status != 0 and totals.failed == failed_before):
        totals.fail(f"{phase.name}: pytest ended with status {status}")


def run_checkers(checkers: Checkers, totals: Totals) -> None:
    """Run the checkers one after the other; print each one's output whole, when it has ended."""
    for checker in checkers:
        with tempfile.TemporaryFile() as output:
            status = RUNNING.run([str(BIN / checker[0]), *checker[1:]], output)
            output.seek(0)
            text = output.read().decode(errors="replace").rstrip()
        say(f"--- {' '.join(checker)}\n{text}")
        if status == 0:
            totals.passed += 1
        else:
            totals.fail(f"{' '.join(checker)} ended with status {status}")


def run_phase(phase: Phase, totals: Totals) -> float:
    """Run the checkers of a phase beside its tests; return its wall time [s].

    The checkers have one thread, and pytest's collection leaves a core idle; so side by side.
    """
    say(f"\n=== {phase.name} ===")
    begun = time.monotonic()
    checked = Totals()
    beside = threading.Thread(target=run_checkers, args=(phase.checkers, checked))
    beside.start()
    try:
        run_tests(phase, totals)
    except BaseException:
        RUNNING.kill()  # the checkers' thread is waited for: it must find its command ended
        raise
    finally:
        beside.join()
    totals.add(checked)
    return time.monotonic() - begun


def timing(name: str, seconds: float, budget: float) -> str:
    """One line: a phase, its wall time and its budget [s]; over it is a remark, never a failure."""
    over = "" if seconds <= budget else "  OVER BUDGET"
    return f"{name:<20} {seconds:7.1f} s of {budget:4.0f} s{over}"


def run_phases(phases: Sequence[Phase], installing: float) -> int:
    """Run the phases after ``installing`` [s]; return 0 where nothing failed."""
    totals = Totals()
    lines = [timing("installing", installing, INSTALL_BUDGET)]
    say(lines[0])
    spent = 0.0
    for phase in phases:
        seconds = run_phase(phase, totals)
        spent += seconds
        lines.append(timing(phase.name, seconds, phase.budget))
        say(lines[-1])
    lines.append(timing("phases together", spent, sum(phase.budget for phase in phases)))
    say("\n=== wall time ===\n" + "\n".join(lines))
    for problem in totals.problems:
        say(f"FAILED {problem}")
    say(f"\n{totals.left_out} tests run in `make exhaustive` only\n{totals.line()}")
    return 1 if totals.failed else 0


def main(arguments: list[str]) -> int:
    """Run the phases that are asked for; return 0 where nothing failed, 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--started",
        type=float,
        default=time.time(),
        metavar="EPOCH",
        help="when the run began, installing included [s since the epoch]",
    )
    parser.add_argument(
        "--only",
        choices=[p.name for p in PHASES],
        action="append",
        help="run this phase alone (may be given again)",
    )
    options = parser.parse_args(arguments)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, RUNNING.interrupt)
    try:
        return run_phases(
            [p for p in PHASES if options.only is None or p.name in options.only],
            time.time() - options.started,
        )
    except KeyboardInterrupt:
        RUNNING.kill()
        say("\ninterrupted: what ran was ended, and the rest was not run")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
