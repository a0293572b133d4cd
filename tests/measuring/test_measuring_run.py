"""Parts in processes of their own: what was told is kept, whatever becomes of the process."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from planner.errors import DataError, InputError
from planner.measuring import run as module
from planner.measuring.find_ggml import NOWHERE, GgmlFiles, find_ggml
from planner.measuring.request import (
    FULL_SECONDS,
    OPERATORS,
    PARTS,
    PartRequest,
    part_named,
    request_of,
)
from planner.measuring.run import (
    MeasuredParts,
    TimedMachine,
    requests,
    run_part,
    run_parts,
    wanted_parts,
)
from planner.measuring.worker import measure_part

REQUEST = PartRequest("bandwidth", True, 0.1, 1, "host", 1 << 20, 1 << 30, {})
BARE = TimedMachine("host", 2, 32 << 20, 8 << 30, None)
ROW = '{"row": {"table": "op_bandwidth"}}'


def told_by(monkeypatch: pytest.MonkeyPatch, code: str) -> MeasuredParts:
    """What a part tells whose process runs ``code``."""
    monkeypatch.setattr(module, "command_of", lambda _: [sys.executable, "-c", code])
    found = MeasuredParts()
    run_part(REQUEST, found)
    return found


def test_a_part_that_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told_by(monkeypatch, f"print('library says hello')\nprint('{ROW}')\n"
                                 "print('{\"done\": true}')")
    assert (found.rows, found.failed) == ([{"table": "op_bandwidth"}], [])


@pytest.mark.parametrize(("ending", "why"), [
    ("import os; os.abort()", "SIGABRT"), ("raise SystemExit('no such kernel')", "no such kernel"),
    ("raise SystemExit(3)", "exit code 3"), ("", "exit code 0")])
def test_a_crash_costs_its_own_rows_alone(monkeypatch: pytest.MonkeyPatch, ending: str,
                                          why: str) -> None:
    found = told_by(monkeypatch, f"print('{ROW}', flush=True)\n{ending}")
    assert len(found.rows) == 1
    assert found.failed[0][0] == "bandwidth"
    assert why in found.failed[0][1]


def test_what_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", -0.3)  # 6 · 0.1 s are left of the time
    found = told_by(monkeypatch, f"print('{ROW}', flush=True)\nimport time; time.sleep(600)")
    assert "took too long" in found.failed[0][1]


def test_a_case_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told_by(monkeypatch, "print('{\"skipped\": [\"q4_0\", \"no kernel\"]}')\n"
                                 f"print('{ROW}')\nprint('{{\"done\": true}}')")
    assert found.failed == [("bandwidth: q4_0", "no kernel")]
    assert len(found.rows) == 1


def test_an_interrupt_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found, kept = MeasuredParts(), []

    def one(request: PartRequest, measured: MeasuredParts) -> None:
        measured.rows.append({"table": "op_bandwidth"})
        if len(measured.rows) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_part", one)
    with pytest.raises(KeyboardInterrupt):
        run_parts([REQUEST, REQUEST, REQUEST], found, lambda *_: None,
                  lambda: kept.append(len(found.rows)))
    assert kept == [1, 2]


def test_what_is_not_installed_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch,
                                                           ) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    parts, left = wanted_parts((), BARE)
    assert {part.needs for part in parts} == {"numpy"}
    assert dict(left)["products of ggml"] == NOWHERE
    assert dict(left)["products of torch"] == "torch is not installed"
    only, _ = wanted_parts(("bandwidth",), BARE)
    assert [part.name for part in only] == ["bandwidth"]


def test_the_time_is_shared_and_requests_survive_the_way() -> None:
    files = GgmlFiles(Path("a/libggml-base.so"), Path("a/libggml-cpu.so"), "here")
    machine = TimedMachine("host", 4, 1 << 20, 1 << 30, files, gpu="h100-sxm")
    asked = list(requests(PARTS, machine, quick=False))
    assert sum(one.seconds for one in asked) == pytest.approx(FULL_SECONDS)
    for one in asked:
        assert request_of(one.text()) == one
        part = part_named(one.part)
        assert bool(one.libraries) == (part.needs == "ggml")
        assert one.gpu == ("h100-sxm" if part.needs == "torch" else "")
        assert part.operator in OPERATORS


def test_a_worker_tells_rows_failures_and_the_end() -> None:
    def good(seconds: float) -> dict[str, object]:
        return {"seconds": seconds}

    def bad(_: float) -> dict[str, object]:
        raise DataError("no memory", hint="none")

    def odd(_: float) -> dict[str, object]:
        raise RuntimeError("first line\nmore lines")

    out = io.StringIO()
    measure_part(REQUEST, [("a", good), ("b", bad), ("c", odd), ("d", good)], out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines == [{"row": {"seconds": 0.025}}, {"skipped": ["b", "no memory"]},
                     {"skipped": ["c", "first line"]}, {"row": {"seconds": 0.025}},
                     {"done": True}]


def test_a_folder_that_is_named_must_hold_the_libraries(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"--engine-dir: .* holds no libggml-base"):
        find_ggml(tmp_path)
    monkeypatch.setenv("PLAN_LLAMA_CPP", str(tmp_path / "none"))
    with pytest.raises(InputError, match="PLAN_LLAMA_CPP"):
        find_ggml()
    (tmp_path / "bin").mkdir()
    for name in ("libggml-base.so", "libggml-cpu.so", "libggml-base.so.0", "libggml.so"):
        (tmp_path / "bin" / name).write_bytes(b"")
    found = find_ggml(tmp_path)
    assert found is not None
    assert (found.base.name, found.cpu.name) == ("libggml-base.so", "libggml-cpu.so")


def test_the_path_and_the_package_are_looked_at(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAN_LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert find_ggml() is None
    for name in ("llama-bench", "libggml-base.so", "libggml-cpu.so"):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / name).chmod(0o755)
    found = find_ggml()
    assert found is not None
    assert "llama-bench on the PATH" in found.where
