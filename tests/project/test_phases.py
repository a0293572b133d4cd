"""The runner of phases counts what happened, judges no time, and ends whole; a Python is found."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from support.wheels import ROOT

JUNIT = """<testsuites><testsuite tests="5">
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="no"/></testcase>
<testcase classname="a" name="broken"><error message="no"/></testcase>
<testcase classname="a" name="left out"><skipped message="why"/></testcase>
<testcase classname="" name="whole file"><skipped message="why"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def phases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module; its results go to a folder of the test."""
    spec = importlib.util.spec_from_file_location("phases", ROOT / ".ci" / "phases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "phases", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def test_results_are_counted_and_a_skipped_file_once(phases: ModuleType, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(JUNIT, encoding="utf-8")
    totals = phases.Totals()
    assert phases.count(report, totals)
    assert phases.count(report, totals)
    assert totals.line() == "2 passed, 4 failed, 2 skipped"


def test_a_missing_report_is_noticed(phases: ModuleType, tmp_path: Path) -> None:
    assert not phases.count(tmp_path / "none.xml", phases.Totals())


@pytest.mark.parametrize(("reason", "failed"), [("", 1), ("there is nothing to test", 0)])
def test_a_phase_without_tests(
    phases: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reason: str,
    failed: int,
) -> None:
    monkeypatch.setattr(phases.RUNNING, "run", lambda command, environment: phases.PYTEST_NO_TESTS)
    totals = phases.Totals()
    phases.run_tests(phases.Phase("empty", 1, (), may_be_empty=lambda: reason), totals)
    assert totals.failed == failed
    assert (reason or "must have some") in capsys.readouterr().out + " ".join(totals.problems)


def test_a_phase_over_its_budget_is_a_remark(
    phases: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(phases, "run_phase", lambda phase, totals: 1000.0)
    assert phases.run_phases(phases.PHASES, 1e6) == 0
    said = capsys.readouterr().out
    assert said.count("OVER BUDGET") == 2 * (1 + len(phases.PHASES)) + 1  # told, and summed up
    assert said.endswith("0 tests run in `make exhaustive` only\n0 passed, 0 failed, 0 skipped\n")


def test_what_is_left_to_make_exhaustive_is_counted(
    phases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], environment: dict[str, str]) -> int:
        Path(environment["PHASE_LEFT_OUT"]).write_text("7", encoding="ascii")
        return 0

    monkeypatch.setattr(phases.RUNNING, "run", run)
    totals = phases.Totals()
    for _ in range(2):
        phases.run_tests(phases.Phase("some", 1, ()), totals)
    assert totals.left_out == 14


def test_the_budgets_come_to_five_minutes(phases: ModuleType) -> None:
    assert sum(phase.budget for phase in phases.PHASES) == 300


def test_a_command_has_all_the_time_it_takes(phases: ModuleType) -> None:
    """The runner waits for what it started without a limit, and returns its status."""
    assert phases.Running().run(["sh", "-c", "sleep 1; exit 7"]) == 7


def test_every_test_is_in_the_reach_of_its_phase(phases: ModuleType) -> None:
    """A phase imports only its own files; a marker elsewhere would select nothing."""
    found = dict.fromkeys(phases.OTHERS, 0)
    for file in (ROOT / "tests").rglob("*.py"):
        for marker in re.findall(r"mark\.(\w+)", file.read_text(encoding="utf-8")):
            if marker in found:
                found[marker] += 1
                assert any(file.is_relative_to(ROOT / place) for place in phases.OTHERS[marker]), (
                    f"{file} is marked {marker}"
                )
    assert found["browser"]
    assert found["numerics"]


INTERRUPTED = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("phases", sys.argv[1])
phases = sys.modules["phases"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(phases)
phases.RESULTS = phases.Path(sys.argv[2])
phases.BIN = phases.Path(sys.argv[2])
phases.run_tests = lambda phase, totals: phases.RUNNING.run(
    ["sh", "-c", "sleep 1000 & echo child $!; wait"])
phases.PHASES = (phases.Phase("long", 1, (), checkers=(("checker",),)),)
sys.exit(phases.main([]))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_with_all_its_children(
    sent: signal.Signals, tmp_path: Path
) -> None:
    checker = tmp_path / "checker"
    checker.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n", encoding="utf-8")
    checker.chmod(0o755)
    told, known = tmp_path / "told", tmp_path / "pid"
    with (
        told.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, str(ROOT / ".ci" / "phases.py"), str(tmp_path)],
            stdout=output,
        ) as process,
    ):
        while (
            "child " not in told.read_text()
            or not known.is_file()
            or not known.read_text().endswith("\n")
        ):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(sent)
        assert process.wait() == 130
    assert "interrupted" in told.read_text()
    child = re.search(r"child (\d+)\n", told.read_text())
    assert child is not None
    for pid in (int(child[1]), int(known.read_text())):
        for _ in range(6000):  # it was sent the signal that nothing outlives
            if not runs(pid):
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"process {pid} outlives the run that was interrupted")


def runs(pid: int) -> bool:
    """Whether a process is there, one that nobody has waited for aside."""
    try:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
    except FileNotFoundError:
        pytest.skip("ps is not installed")
    return bool(state) and not state.startswith("Z")


def test_checkers_run_beside_the_tests_and_are_counted(
    phases: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, line in (("good", "exit 0"), ("bad", "echo reason >&2; exit 3")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(phases, "BIN", tmp_path)
    monkeypatch.setattr(phases, "run_tests", lambda phase, totals: None)
    totals = phases.Totals()
    phases.run_phase(phases.Phase("some", 9, (), checkers=(("good",), ("bad", "-x"))), totals)
    assert totals.line() == "1 passed, 1 failed, 0 skipped"
    assert totals.problems == ["bad -x ended with status 3"]
    assert "--- bad -x\nreason" in capfd.readouterr().out


def test_a_stub_that_fails_is_passed_over(tmp_path: Path) -> None:
    stub = tmp_path / "python3.11"
    stub.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n", encoding="utf-8")
    stub.chmod(0o755)
    found = find_python(
        {
            "PATH": os.pathsep.join(
                [str(tmp_path), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
            )
        }
    )
    assert found.returncode == 0
    assert found.stdout.strip() not in ("", str(stub))


def test_an_interpreter_that_was_named_is_the_only_candidate(tmp_path: Path) -> None:
    stub = tmp_path / "python-of-mine"
    stub.write_text("#!/bin/sh\necho 'is Python 3.9' >&2\nexit 1\n", encoding="utf-8")
    stub.chmod(0o755)
    found = find_python({"PATH": os.environ["PATH"], "PYTHON": str(stub)})
    assert found.returncode == 2
    assert found.stdout == ""
    assert f"{stub} is Python 3.9" in found.stderr
    assert "hint:" in found.stderr


def find_python(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script that picks the interpreter."""
    return subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "find-python")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
