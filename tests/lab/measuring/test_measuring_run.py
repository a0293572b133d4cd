"""Parts in processes of their own: what was told is kept, whatever becomes of the process."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planner.base.errors import DataError, InputError
from planner.lab.calibration.ggml import LEAST_ROWS
from planner.lab.measuring import run as module
from planner.lab.measuring.find_ggml import NOWHERE, GgmlFiles, find_ggml
from planner.lab.measuring.ggml_gemm import (
    CACHED_TOKENS,
    COMMON,
    NOT_STORED,
    shapes_of,
    weight_types,
)
from planner.lab.measuring.ggml_library import TYPES
from planner.lab.measuring.request import (
    FULL_SECONDS,
    OPERATORS,
    PARTS,
    PartRequest,
    part_named,
    request_of,
)
from planner.lab.measuring.run import (
    MeasuredParts,
    TimedMachine,
    requests,
    run_part,
    run_parts,
    wanted_parts,
)
from planner.lab.measuring.worker import KEPT, OVERRUN, measure_part

REQUEST = PartRequest("bandwidth", True, 0.1, 1, "host", 1 << 20, 1 << 30, {})
BARE = TimedMachine("host", 2, 32 << 20, 8 << 30, None)
ROW = '{"row": {"table": "op_bandwidth"}}'


def idle() -> float:
    """No other program takes the cores."""
    return 1.0


def test_a_disturbed_case_is_repeated_and_says_so() -> None:
    """The fastest of those that had their cores counts, not the fastest of all."""
    shares, times = iter([0.9, 0.2, 0.3, 0.4, 0.9, 0.8]), iter([5.0, 9.0, 7.0])
    out = io.StringIO()
    case: Any = ("a", lambda _: {"latency_us": next(times)})
    measure_part(REQUEST, [case], out, share=lambda: next(shares))
    assert json.loads(out.getvalue().splitlines()[0]) == {"row": {"latency_us": 7.0, "share": 0.8}}
    out, times = io.StringIO(), iter([5.0, 4.0, 6.0])
    measure_part(REQUEST, [case], out, share=lambda: 0.1)
    assert json.loads(out.getvalue().splitlines()[0]) == {"row": {"latency_us": 4.0, "share": 0.1}}


def told_by(monkeypatch: pytest.MonkeyPatch, code: str) -> MeasuredParts:
    """What a part tells whose process runs ``code``."""
    monkeypatch.setattr(module, "command_of", lambda _: [sys.executable, "-c", code])
    found = MeasuredParts()
    run_part(REQUEST, found)
    return found


def test_a_part_that_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told_by(
        monkeypatch, f"print('library says hello')\nprint('{ROW}')\nprint('{{\"done\": true}}')"
    )
    assert (found.rows, found.failed) == ([{"table": "op_bandwidth"}], [])


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("raise SystemExit('no such kernel')", "no such kernel"),
        ("raise SystemExit(3)", "exit code 3"),
        ("", "exit code 0"),
    ],
)
def test_a_crash_costs_its_own_rows_alone(
    monkeypatch: pytest.MonkeyPatch, ending: str, why: str
) -> None:
    found = told_by(monkeypatch, f"print('{ROW}', flush=True)\n{ending}")
    assert len(found.rows) == 1
    assert found.failed[0][0] == "bandwidth"
    assert why in found.failed[0][1]


def test_what_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", -0.3)  # 6 · 0.1 s are left of the time
    found = told_by(monkeypatch, f"print('{ROW}', flush=True)\nimport time; time.sleep(600)")
    assert "took too long" in found.failed[0][1]


def test_a_case_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told_by(
        monkeypatch,
        'print(\'{"skipped": ["q4_0", "no kernel"]}\')\n'
        f"print('{ROW}')\nprint('{{\"done\": true}}')",
    )
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
        run_parts(
            [REQUEST, REQUEST, REQUEST],
            found,
            lambda *_: None,
            lambda: kept.append(len(found.rows)),
        )
    assert kept == [1, 2]


def test_what_is_not_installed_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
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
    assert FULL_SECONDS * OVERRUN < 180  # three minutes with what a slow machine takes more
    for one in asked:
        assert request_of(one.text()) == one
        part = part_named(one.part)
        assert bool(one.libraries) == (part.needs == "ggml")
        assert one.gpu == ("h100-sxm" if part.needs == "torch" else "")
        assert part.operator in OPERATORS


def test_what_is_not_installed_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    files = GgmlFiles(Path("a/libggml-base.so"), Path("a/libggml-cpu.so"), "here")
    machine = TimedMachine("host", 4, 1 << 20, 1 << 30, files)
    parts, _ = wanted_parts((), machine)
    asked = {one.part: one.seconds for one in requests(parts, machine, quick=False)}
    assert sum(asked.values()) == pytest.approx(FULL_SECONDS)
    parts, _ = wanted_parts(("gemm",), machine)
    alone = {one.part: one.seconds for one in requests(parts, machine, quick=False)}
    assert sum(alone.values()) == pytest.approx(FULL_SECONDS)
    [bandwidth] = requests(wanted_parts(("bandwidth",), machine)[0], machine, quick=False)
    assert bandwidth.seconds == pytest.approx(2 * asked["bandwidth"])


def test_cases_that_there_is_no_time_for_are_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are left out, which is no failure: what was measured is whole."""
    out, now = io.StringIO(), iter(range(0, 100, 2))
    timed = {"table": "op_bandwidth", "latency_us": 1.0}
    cases = [(name, lambda _: dict(timed)) for name in "abcdefg"]
    measure_part(
        replace(REQUEST, seconds=1.0), cases, out, clock=lambda: float(next(now)), share=idle
    )
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines == [
        *[{"row": timed | {"share": 1.0}}] * KEPT,
        {"late": ["e", "f", "g"]},
        {"done": True},
    ]
    text = out.getvalue().replace("\n", "\\n").replace('"', '\\"')
    found = told_by(monkeypatch, f'print("{text}")')
    assert found.failed == []
    assert len(found.rows) == KEPT
    assert found.skipped[0][0] == "bandwidth: 3 cases, e to g"
    assert "left out" in found.skipped[0][1]


def test_types_of_few_files_are_timed_with_less() -> None:
    library: Any = SimpleNamespace(number={name: 0 for name in TYPES if name != "-"})
    types = weight_types(library, quick=False)
    assert types[: len(COMMON)] == list(COMMON)
    assert set(types) == set(library.number) - set(NOT_STORED)
    shapes, tokens = shapes_of("iq2_xs", quick=False)
    cached = sum(m <= CACHED_TOKENS for m in tokens)
    assert len(shapes) * (len(tokens) + cached) >= LEAST_ROWS  # a set of its own
    assert len(shapes) > 1
    assert all(k % 256 == 0 for _, k in shapes)
    assert len(shapes_of("q4_k", quick=False)[0]) > len(shapes)


def test_a_worker_tells_rows_failures_and_the_end() -> None:
    def good(seconds: float) -> dict[str, object]:
        return {"latency_us": seconds}

    def bad(_: float) -> dict[str, object]:
        raise DataError("no memory", hint="none")

    def odd(_: float) -> dict[str, object]:
        raise RuntimeError("first line\nmore lines")

    out = io.StringIO()
    measure_part(REQUEST, [("a", good), ("b", bad), ("c", odd), ("d", good)], out, share=idle)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines == [
        {"row": {"latency_us": 0.025, "share": 1.0}},
        {"skipped": ["b", "no memory"]},
        {"skipped": ["c", "first line"]},
        {"row": {"latency_us": 0.025, "share": 1.0}},
        {"done": True},
    ]


def test_a_folder_that_is_named_must_hold_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_the_path_and_the_package_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
