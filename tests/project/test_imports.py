"""What is imported when: start-up is a feature, and imports run one way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.wheels import ROOT, call, checked

HEAVY = {"numpy", "pandas", "pydantic", "matplotlib", "rich", "scipy", "jinja2", "highspy"}
NOT_FOR_PLANNING = {
    "pandas",
    "matplotlib",
    "scipy",
    "numba",
    "pydantic",
    "rich",
    "jinja2",
    "planner.numerics",
    "planner.planning.plan.diff",
    "planner.quality.sensitivity.alpha_table",
    "planner.quality.sensitivity.measured_names",
}
MOST_MODULES = 445
"""Modules of this package that a plan may import: each costs about 0.3 ms, records included.
Thirteen of them are what losses rest on and mean: measured models, published accuracies, words;
five are what an engine is at a version: its versions, classes, variables, code that releases carry,
SGLang's share; sixteen the law of a served step (tables, loop, pipelines, launches, paces, physical
limits) and what was measured of it, eleven what engines keep in memory, which every verb asks, and
twenty-two what decides: published practice, the ledger of evidence, calibrated gains, official
releases, drafts that are not used.
Four are names that people type and the pages of --help, one the language of an answer, one how
files keep messages, one a device with its number,
one what a device-hour costs, one what a plan file says of requests that come by themselves. Files
that others publish, the hub, and what is told of engines at home are loaded where they are asked
for."""
_SCRIPT = """
import json, sys
from planner.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    code = stop.code or 0
print()
print(json.dumps([code, sorted(sys.modules)]))
"""


def modules_after(script: str, folder: Path) -> tuple[int, set[str], str]:
    """Exit status of a command, the names of all modules it imported, and its output."""
    done = checked([sys.executable, "-c", script], folder)
    *lines, last = done.stdout.splitlines()
    code, names = json.loads(last)
    return code, set(names), "\n".join(lines)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code, names, said = modules_after(_SCRIPT.format(arguments=["--help"]), tmp_path)
    assert code == 0
    assert "Usage" in said
    assert names & HEAVY == set()


def test_the_main_job_imports_what_it_needs(tmp_path: Path) -> None:
    arguments = ["deepseek-v3", "h100-sxm", "--context", "131072"]
    code, names, said = modules_after(_SCRIPT.format(arguments=arguments), tmp_path)
    assert code == 0
    assert said.strip()
    assert names & NOT_FOR_PLANNING == set()
    assert sum(name.startswith("planner.") for name in names) <= MOST_MODULES
    assert {"numpy", "highspy"} <= names


def test_a_plan_that_can_have_no_pools_loads_none_of_their_search(tmp_path: Path) -> None:
    for more in (
        ["--devices", "2", "--mode", "aggregated"],
        ["--devices", "2", "--engine", "llama.cpp"],
    ):
        arguments = ["qwen2.5-0.5b", "h100-sxm", *more]
        code, names, _ = modules_after(_SCRIPT.format(arguments=arguments), tmp_path)
        assert code == 0
        assert not {name for name in names if name.startswith("planner.planning.pools")}


@pytest.mark.parametrize("verb", [[], ["estimate"]])
def test_plans_and_estimates_load_nothing_of_the_laboratory(
    verb: list[str], tmp_path: Path
) -> None:
    """What measures, checks and learns is reached by the name of its verbs alone."""
    arguments = [*verb, "qwen2.5-0.5b", "h100-sxm"]
    code, names, _ = modules_after(_SCRIPT.format(arguments=arguments), tmp_path)
    assert code == 0
    assert not {name for name in names if name.startswith("planner.lab")}


def test_importing_the_package_is_light(tmp_path: Path) -> None:
    code, names, _ = modules_after(
        "import json, sys, planner; print(json.dumps([0, sorted(sys.modules)]))", tmp_path
    )
    assert code == 0
    assert names & (HEAVY | {"click"}) == set()
    assert {name for name in names if name.startswith("planner.")} == {
        "planner.base",
        "planner.base.display",
    }


@pytest.mark.parametrize(
    "made",
    [
        "from planner.planning.plan.diff import Difference as D; r = object.__new__(D)",
        "from planner.models.inventory import Inventory as I; r = object.__new__(I)",
    ],
)
def test_a_record_alone_loads_nothing_that_shows_it(made: str, tmp_path: Path) -> None:
    code, names, _ = modules_after(
        f"import json, sys; {made}; print(json.dumps([0, sorted(sys.modules)]))", tmp_path
    )
    assert code == 0
    shows = ("planner.report", "planner.plot", "planner.api")
    assert not {name for name in names if name.startswith(shows)}


def test_layers_import_one_way() -> None:
    done = call([str(Path(sys.executable).parent / "lint-imports")], ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_turned_arrow_would_be_found(tmp_path: Path) -> None:
    package = tmp_path / "planner"
    for module in ("formats/__init__.py", "hardware/__init__.py", "__init__.py"):
        (package / module).parent.mkdir(parents=True, exist_ok=True)
        (package / module).write_text("", encoding="utf-8")
    (package / "formats" / "wrong.py").write_text("import planner.hardware\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_packages = ["planner"]\n[[tool.importlinter.contracts]]\n'
        'name = "One direction"\ntype = "layers"\n'
        'layers = ["planner.hardware", "planner.formats"]\n',
        encoding="utf-8",
    )
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "planner.formats.wrong" in done.stdout
