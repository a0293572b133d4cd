"""The runner of phases counts what happened, and finds a Python that really runs."""

import importlib.util
import os
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
def test_a_phase_without_tests(phases: ModuleType, monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str], reason: str,
                               failed: int) -> None:
    monkeypatch.setattr(phases, "run", lambda command, deadline: phases.PYTEST_NO_TESTS)
    totals = phases.Totals()
    phases.run_tests(phases.Phase("empty", 1, "none", may_be_empty=lambda: reason), totals, 0)
    assert totals.failed == failed
    assert (reason or "must have some") in capsys.readouterr().out + " ".join(totals.problems)


def test_a_hanging_command_is_stopped_at_the_deadline(phases: ModuleType) -> None:
    begun = time.time()
    assert phases.run(["sleep", "60"], begun + 0.2) == 124
    assert time.time() - begun < 30


def test_checkers_run_beside_the_tests_and_are_counted(
        phases: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
        tmp_path: Path) -> None:
    for name, line in (("good", "exit 0"), ("bad", "echo reason >&2; exit 3")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(phases, "BIN", tmp_path)
    monkeypatch.setattr(phases, "run_tests", lambda phase, totals, deadline: None)
    totals = phases.Totals()
    phases.run_phase(phases.Phase("some", 9, "any", checkers=(("good",), ("bad", "-x"))), totals,
                     time.time() + 60)
    assert totals.line() == "1 passed, 1 failed, 0 skipped"
    assert totals.problems == ["bad -x ended with status 3"]
    assert "--- bad -x\nreason" in capfd.readouterr().out


def test_a_stub_that_fails_is_passed_over(tmp_path: Path) -> None:
    stub = tmp_path / "python3.11"
    stub.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n", encoding="utf-8")
    stub.chmod(0o755)
    found = find_python({"PATH": os.pathsep.join(
        [str(tmp_path), str(Path(sys.executable).parent), "/usr/bin", "/bin"])})
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
    return subprocess.run(["/bin/sh", str(ROOT / ".ci" / "find-python")], env=environment,
                          capture_output=True, text=True, check=False)
