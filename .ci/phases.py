"""Run every check and test in phases, each timed against its budget, and print the totals.

Each phase prints pytest's own summary, the reason of every skip, and its wall seconds. The last
line of the whole run is ``N passed, N failed, N skipped``: tests, plus one for each checker (ruff,
mypy, lint-imports), each phase that should have tests and has none, and a run over its time limit.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "out" / "test-results"
BIN = Path(sys.executable).parent
LIMIT_SECONDS = 18 * 60
PYTEST_NO_TESTS = 5
Checkers = tuple[tuple[str, ...], ...]
OTHER_MARKERS = ("numerics", "notebooks", "browser", "packaging")


@dataclass(frozen=True, slots=True)
class Phase:
    """One step: its time budget [s], its checkers, and the marker expression of its tests.

    ``may_be_empty`` returns why the phase may have no tests, or "" where it must have some.
    ``workers`` processes share its tests.
    """

    name: str
    budget: float
    select: str
    checkers: Checkers = ()
    may_be_empty: Callable[[], str] = lambda: ""
    workers: int = 1


@dataclass(slots=True)
class Totals:
    """What was counted so far; ``problems`` names each failure that is not a test."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)
    skips_seen: set[str] = field(default_factory=set)

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
    found = any("mark.browser" in file.read_text(encoding="utf-8")
                for file in (ROOT / "tests").rglob("*.py"))
    return "" if found else "no test is marked as needing a browser"


PHASES = (
    Phase("unit and property", 300, " and ".join(f"not {m}" for m in OTHER_MARKERS),
          checkers=(("ruff", "check", "."), ("mypy",), ("lint-imports",)), workers=2),
    Phase("numerics", 120, "numerics", workers=2),
    Phase("notebooks", 120, "notebooks", may_be_empty=no_notebooks),
    Phase("browser", 120, "browser", may_be_empty=no_browser_tests),
    Phase("packaging", 120, "packaging"),
)
INSTALL_BUDGET = 300.0


def say(text: str) -> None:
    """Print at once, so that the order of lines is that of events."""
    print(text, flush=True)


def run(command: list[str], deadline: float, output: IO[bytes] | None = None) -> int:
    """Run ``command`` to its end or to ``deadline`` [s since the epoch]; return its exit status.

    At the deadline the whole process group is killed and the status is that of a timeout, 124.
    What it prints goes to ``output``, or where this process prints.
    """
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                          stderr=subprocess.STDOUT if output else None,
                          start_new_session=True) as process:
        try:
            return process.wait(timeout=max(0.0, deadline - time.time()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return 124
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL)
            raise


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


def run_tests(phase: Phase, totals: Totals, deadline: float) -> None:
    """Run the tests of a phase and add them to ``totals``."""
    report = RESULTS / f"{phase.name.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    failed_before = totals.failed
    shared = ["-n", str(phase.workers), "--dist", "worksteal"] if phase.workers > 1 else []
    status = run([sys.executable, "-m", "pytest", *shared, "-m", phase.select, "-r", "fEsxX",
                  "--durations=5", "--durations-min=1", f"--junitxml={report}"], deadline)
    counted = count(report, totals)
    if status == PYTEST_NO_TESTS:
        reason = phase.may_be_empty()
        if reason:
            say(f"{phase.name}: no tests, and none expected: {reason}")
        else:
            totals.fail(f"{phase.name}: no test was selected, and this phase must have some")
    elif status == 124:
        totals.fail(f"{phase.name}: stopped at the time limit")
    elif not counted or (status != 0 and totals.failed == failed_before):
        totals.fail(f"{phase.name}: pytest ended with status {status}")


def run_checkers(checkers: Checkers, totals: Totals, deadline: float) -> None:
    """Run the checkers one after the other; print each one's output whole, when it has ended."""
    for checker in checkers:
        with tempfile.TemporaryFile() as output:
            status = run([str(BIN / checker[0]), *checker[1:]], deadline, output)
            output.seek(0)
            text = output.read().decode(errors="replace").rstrip()
        say(f"--- {' '.join(checker)}\n{text}")
        if status == 0:
            totals.passed += 1
        else:
            totals.fail(f"{' '.join(checker)} ended with status {status}")


def run_phase(phase: Phase, totals: Totals, deadline: float) -> float:
    """Run the checkers of a phase beside its tests; return its wall time [s].

    The checkers have one thread, and pytest's collection leaves a core idle; so side by side.
    """
    say(f"\n=== {phase.name} ===")
    begun = time.time()
    checked = Totals()
    beside = threading.Thread(target=run_checkers, args=(phase.checkers, checked, deadline))
    beside.start()
    try:
        run_tests(phase, totals, deadline)
    finally:
        beside.join()
    totals.add(checked)
    return time.time() - begun


def timing(name: str, seconds: float, budget: float) -> str:
    """One line: a phase, its wall time and its budget [s]."""
    over = "" if seconds <= budget else "  OVER BUDGET"
    return f"{name:<20} {seconds:7.1f} s of {budget:4.0f} s{over}"


def main(arguments: list[str]) -> int:
    """Run the phases; return 0 where nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--started", type=float, default=time.time(), metavar="EPOCH",
                        help="when the run began, installing included [s since the epoch]")
    parser.add_argument("--only", choices=[p.name for p in PHASES], action="append",
                        help="run this phase alone (may be given again)")
    options = parser.parse_args(arguments)
    RESULTS.mkdir(parents=True, exist_ok=True)
    totals = Totals()
    deadline = options.started + LIMIT_SECONDS
    lines = [timing("installing", time.time() - options.started, INSTALL_BUDGET)]
    say(lines[0])
    for phase in PHASES:
        if options.only is None or phase.name in options.only:
            lines.append(timing(phase.name, run_phase(phase, totals, deadline), phase.budget))
            say(lines[-1])
    total = time.time() - options.started
    if total > LIMIT_SECONDS:
        totals.fail(f"the run took {total:.0f} s, and {LIMIT_SECONDS} s is the limit")
    say("\n=== wall time ===\n" + "\n".join([*lines, timing("total", total, LIMIT_SECONDS)]))
    for problem in totals.problems:
        say(f"FAILED {problem}")
    say("\n" + totals.line())
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
