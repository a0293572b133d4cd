"""What runs before a commit is what CI runs; one file is checked by the tests of its room."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import yaml
from support.wheels import ROOT


def script(name: str):  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_hooks_run_the_checkers_of_ci() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    hooks = yaml.safe_load(text)["repos"][0]["hooks"]
    entries = {tuple(hook["entry"].removeprefix(".venv/bin/").split()) for hook in hooks}
    phases = script("phases").PHASES
    assert entries == {command for phase in phases for command in phase.checkers}


def test_a_module_is_checked_by_the_tests_of_its_room(tmp_path: Path) -> None:
    check = script("check")
    files = {
        "planner/memory/caches.py": "",
        "planner/memory/engines/vllm.py": "",
        "tests/memory/test_caches.py": "",
        "tests/memory/test_bytes.py": "from planner.memory.caches import cache_classes\n",
        "tests/memory/test_engines.py": "from planner.memory.engines import catalog, vllm\n",
        "tests/memory/test_others.py": "from planner.memory.cachesque import x\n",
        "tests/planning/test_far.py": "from planner.memory.caches import cache_classes\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    def tests(name: str) -> list[str]:
        return [test.name for test in check.mirrored(Path(name), tmp_path)]

    assert tests("planner/memory/caches.py") == ["test_bytes.py", "test_caches.py"]
    assert tests("planner/memory/engines/vllm.py") == ["test_engines.py"]
    assert tests("tests/memory/test_caches.py") == ["test_caches.py"]
    assert check.commands(Path("planner/memory/caches.py"), tmp_path)[-1][0] == "pytest"
    assert check.commands(Path("benchmarks/laws.py"), tmp_path)[-1][:2] == ["ruff", "format"]


def test_a_file_that_is_none_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "check.py"), "planner/none.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: planner/none.py is no Python file here"
