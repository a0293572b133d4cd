"""What is installed without extras plans, prices, compares, reports and exports; what draws or
returns frames names the extra that it needs."""

import json
from pathlib import Path

import pytest
from support.examples import thorough
from support.wheels import Installed, call, checked

SMALL = ["qwen2.5-0.5b", "l40s", "--devices", "1", "--engine", "vllm"]
SWEEP = """
[[grid]]
verb = "estimate"
model = "qwen2.5-0.5b"
device = ["h100-sxm", "l40s"]
scheme = ["bf16", "fp8-tensor"]
"""
FLEET = """
title = "One model on one kind of device"
engines = ["vllm"]
[[device]]
name = "l40s"
count = 4
price = 0.9
[[model]]
name = "search"
model = "qwen2.5-0.5b"
rate = 2
ttft_ms = 1000
tpot_ms = 50
workload = "chat"
"""
COMMANDS = [
    ["models"],
    ["devices"],
    ["estimate", "qwen2.5-0.5b", "l40s", "--scheme", "bf16"],
    [
        "compare",
        "qwen2.5-0.5b",
        "l40s",
        "--devices",
        "1",
        "--engine",
        "vllm",
        "--report",
        "compared.html",
        "--csv",
        "compared.csv",
    ],
    ["sweep", "sweep.toml", "-o", "sweep.csv", "--report", "sweep.html"],
    ["fleet", "fleet.toml", "--report", "fleet.html", "--workers", "1"],
    [
        "capacity",
        "qwen2.5-0.5b",
        "l40s",
        "--engine",
        "vllm",
        "--rate",
        "20/s",
        "--ttft-ms",
        "1000",
        "--tpot-ms",
        "50",
    ],
    ["explain", "qwen2.5-0.5b", "l40s", "--module", "mlp-down", "--scheme", "fp8-tensor"],
    ["report", "plan.json", "-o", "plan.html"],
    ["export", "plan.json", "out"],
    ["diff", "plan.json", "plan.json"],
    ["validate", "--only", "op_gemm", "--rows", "rows.csv"],
]
WHAT_IF = [
    *SMALL,
    "--tp",
    "1",
    "--context",
    "4096",
    "--schemes",
    "bf16",
    "--kv",
    "bf16",
    "--report",
    "what-if.html",
    "--interactive",
    "--grid",
    "batch=8,16",
]
WRITTEN = {
    "compared.html",
    "compared.csv",
    "sweep.csv",
    "sweep.html",
    "fleet.html",
    "plan.html",
    "out",
    "rows.csv",
}
DRAWN = [
    ["frontier", *SMALL, "--svg", "drawn.svg"],
    ["numerics", "qwen2.5-0.5b", "--module", "mlp-down", "--svg", "drawn.svg"],
    ["sensitivity", "qwen2.5-0.5b", "--plot", "drawn.svg"],
    ["validate", "--plot", "drawn.svg"],
]
RUN = """
import json, sys
from planner.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
PYTHON = """
import json, planner
asked = {
    "inventory": lambda: planner.inventory("qwen2.5-0.5b").to_frame(),
    "cell": lambda: planner.inventory("qwen2.5-0.5b")._repr_html_(),
    "sensitivity": lambda: planner.sensitivity("qwen2.5-0.5b"),
    "sweep": lambda: planner.sweep([{"model": "qwen2.5-0.5b", "device": "l40s"}]),
    "plot": lambda: planner.plot.frontier,
}
said = {}
for name, ask in asked.items():
    try:
        said[name] = repr(ask())
    except planner.MissingPackageError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def test_a_plan_its_reports_and_its_tables_need_no_extra(
    installed: Installed, tmp_path: Path
) -> None:
    python = str(installed.bin / "python")
    planned = checked([str(installed.bin / "plan"), *SMALL, "--json", "--quiet"], tmp_path).stdout
    (tmp_path / "plan.json").write_text(planned, encoding="utf-8")
    (tmp_path / "sweep.toml").write_text(SWEEP, encoding="utf-8")
    (tmp_path / "fleet.toml").write_text(FLEET, encoding="utf-8")
    commands = [*COMMANDS, *([WHAT_IF] if thorough() else [])]
    said = checked([python, "-c", RUN, json.dumps(commands)], tmp_path).stdout
    assert not {"pandas", "matplotlib"} & set(json.loads(said.splitlines()[-1]))
    assert {path.name for path in tmp_path.iterdir()} >= WRITTEN
    assert "<svg" in (tmp_path / "sweep.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", DRAWN, ids=lambda command: command[0])
def test_a_picture_names_its_extra_before_any_work(
    installed: Installed, command: list[str], tmp_path: Path
) -> None:
    done = call([str(installed.bin / "plan"), *command], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: this needs the package matplotlib, which is not installed\n"
        "hint: pip install 'precision-planner[plot]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_frames_and_figures_name_their_extra(installed: Installed, tmp_path: Path) -> None:
    said = json.loads(checked([str(installed.bin / "python"), "-c", PYTHON], tmp_path).stdout)
    assert {name: text.split("[")[-1] for name, text in said.items()} == {
        "inventory": "frames]'",
        "cell": "frames]'",
        "sensitivity": "frames]'",
        "sweep": "frames]'",
        "plot": "plot]'",
    }
