"""What is printed where: pure JSON on the descriptor, 80 columns, quiet, help, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planner.cli.main import run
from planner.planning.plan.file import read_plan
from planner.report.view.module_table import kind_rows, kinds_text

SMALL = ["llama-3.1-8b", "h100-sxm", "--devices", "1"]
COMMANDS: list[list[str]] = [
    SMALL,
    [*SMALL, "--untie", "--max-loss", "int4-w4a16"],
    ["deepseek-v3", "h100-sxm", "--context", "131072"],
    ["deepseek-v3.2", "h200-sxm", "--objective", "latency"],
    ["qwen3-235b-a22b", "b200-sxm", "--max-loss", "nvfp4", "--devices", "2"],
    ["llama-3.1-8b", "xeon-platinum-8480", "--batch", "8"],
    ["deepseek-v2-lite", "jetson-agx-orin-64gb"],
    ["estimate", *SMALL, "--scheme", "bf16"],
    ["estimate", "deepseek-v3", "h200-sxm"],
    ["models"],
    ["devices"],
    ["devices", "h100-sxm"],
    ["devices", "xeon-6980p"],
    ["devices", "rubin-r200"],
    ["formats"],
    ["scenarios"],
    ["inventory", "deepseek-v3"],
    ["inventory", "llama-3.1-8b"],
    ["--help"],
    ["plan", "--help"],
    ["estimate", "--help"],
    ["devices", "--help"],
    ["inventory", "--help"],
    ["--version"],
]
JSON: list[list[str]] = [
    [*SMALL, "--json"],
    ["estimate", *SMALL, "--json"],
    ["models", "--json"],
    ["devices", "--json"],
    ["devices", "h100-sxm", "--json"],
    ["formats", "--json"],
    ["scenarios", "--json"],
    ["inventory", "deepseek-v2-lite", "--json"],
    ["schema"],
]


def spawn(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.sample(2)
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_80(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    out, err = capfd.readouterr()
    assert out.endswith("\n")
    for line in [*out.splitlines(), *err.splitlines()]:
        assert len(line) <= 80, line
        assert line == line.rstrip()
        assert "\x1b" not in line


@pytest.mark.sample(3)
@pytest.mark.parametrize("arguments", JSON, ids=" ".join)
def test_json_parses_and_holds_no_nan(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(name)

    assert run(arguments) == 0
    assert json.loads(capfd.readouterr().out, parse_constant=refuse)


def test_standard_output_is_json_down_to_the_descriptor() -> None:
    done = spawn(*SMALL, "--json", "--timings")
    assert done.returncode == 0
    found = read_plan(json.loads(done.stdout))
    assert found.solver.status == "optimal"
    assert done.stdout.startswith(b"{")
    assert done.stdout.rstrip().endswith(b"}")
    assert b"timings:" in done.stderr
    assert b"assumptions:" not in done.stderr


@pytest.mark.exhaustive
def test_two_processes_print_the_same_bytes() -> None:
    first = spawn(*SMALL, "--json", PYTHONHASHSEED="1")
    second = spawn(*SMALL, "--json", PYTHONHASHSEED="77")
    assert first.stdout == second.stdout
    assert first.stderr == second.stderr


@pytest.mark.exhaustive
def test_quiet_leaves_only_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(SMALL) == 0
    loud, spoken = capfd.readouterr()
    assert run([*SMALL, "--quiet"]) == 0
    quiet, silence = capfd.readouterr()
    assert quiet == loud
    assert spoken == silence == ""
    assert run([*SMALL, "--assumptions"]) == 0
    assert capfd.readouterr().err.startswith("Assumptions:")


@pytest.mark.exhaustive
def test_the_first_lines_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*SMALL, "--json", "--quiet"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert run([*SMALL, "--quiet"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("llama-3.1-8b on 1 × h100-sxm: ")
    total = data["memory_per_device"]["total_bytes"] / 2**30
    assert lines[2].startswith(f"Fits        yes: {total:.1f} of ")
    assert lines[3].startswith("Throughput  ")
    assert lines[4].startswith("Latency     TPOT ")
    work = data["workload"]
    assert f"{work['isl']:,} tokens in, {work['osl']:,} out" in " ".join("\n".join(lines).split())


@pytest.mark.exhaustive
def test_every_scheme_of_the_plan_is_in_the_table(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["deepseek-v3", "h100-sxm", "--context", "131072", "--quiet", "-v"]
    assert run([*arguments[:-1], "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert run(arguments) == 0
    text = capfd.readouterr().out
    for longest in (30, 26, 22, 18, 1):  # the table takes one of these
        rows = kind_rows(read_plan(data), longest)
        if all(
            any(
                line.startswith(kinds_text(row.kinds)) and row.scheme in line
                for line in text.splitlines()
            )
            for row in rows
        ):
            break
    else:
        raise AssertionError(text)
    assert {m["scheme"] for m in data["modules"]} <= set(text.split())


def test_the_command_and_the_api_agree(capfd: pytest.CaptureFixture[str]) -> None:
    from planner.api.plan import plan

    assert run([*SMALL, "--json", "--quiet", "--tpot-ms", "20", "--isl", "1000"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert (
        printed
        == plan("llama-3.1-8b", "h100-sxm", devices=1, tpot_seconds=0.02, isl=1000).to_dict()
    )


@pytest.mark.exhaustive
def test_the_report_is_written_beside_the_answer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "plan.html"
    assert run([*SMALL, "--report", str(page), "--quiet"]) == 0
    first = page.read_bytes()
    assert b"llama-3.1-8b" in first
    assert first.count(b"<script") == first.count(b'<script type="application/json"')
    assert capfd.readouterr().out
    assert run([*SMALL, "--report", str(page), "--quiet"]) == 0
    assert page.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["plan.html"]


def test_expanded_inventory_lists_every_tensor(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["inventory", "deepseek-v2-lite", "--json"]) == 0
    brief = json.loads(capfd.readouterr().out)
    assert run(["inventory", "deepseek-v2-lite", "--json", "--expand"]) == 0
    full = json.loads(capfd.readouterr().out)
    assert len(full["tensors"]) == brief["tensor_count"] == full["tensor_count"]
    assert sum(t["count"] for t in brief["tensors"]) == brief["tensor_count"]


@pytest.mark.exhaustive
def test_a_grouped_number_is_the_number(capfd: pytest.CaptureFixture[str]) -> None:
    for text in ("16384", "16_384", "16,384"):
        assert run([*SMALL, "--json", "--quiet", "--context", text]) == 0
        assert json.loads(capfd.readouterr().out)["workload"]["context_tokens"] == 16384


def test_a_closed_pipe_is_not_a_traceback() -> None:
    shell = f"'{sys.executable}' -m planner devices --json | head -c 10"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, check=False)
    assert done.stdout.startswith(b"[")
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr
