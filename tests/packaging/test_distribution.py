"""The wheel and the sdist carry every file that the program reads, and nothing else."""

import tarfile
import tomllib
import zipfile
from pathlib import Path

from support.wheels import ROOT, Distributions

DATA = {
    "hardware_profiles": "planner/_data/hardware_profiles",
    "scenarios": "planner/_data/scenarios",
}


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def package_files() -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / "planner").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_the_wheel_carries_every_file_of_the_package(distributions: Distributions) -> None:
    held = {name for name in members(distributions.wheel) if name.startswith("planner/")}
    data = {name for name in held if name.startswith("planner/_data/")}
    assert held - data == package_files()


def test_the_wheel_carries_profiles_and_scenarios(distributions: Distributions) -> None:
    held = members(distributions.wheel)
    for folder, target in DATA.items():
        files = {path.name for path in (ROOT / folder).glob("*.toml")}
        assert files, f"{folder} has no TOML file"
        assert {f"{target}/{name}" for name in files} <= held


def test_the_wheel_carries_configurations_tables_and_typing(distributions: Distributions) -> None:
    held = members(distributions.wheel)
    assert "planner/py.typed" in held
    assert "planner/models/configs/deepseek-v3.json" in held
    assert "planner/models/configs/sources.toml" in held
    assert "planner/quality/data/priors.toml" in held


def test_the_wheel_holds_only_the_package(distributions: Distributions) -> None:
    tops = {name.split("/")[0] for name in members(distributions.wheel)}
    information = {top for top in tops if top.endswith(".dist-info")}
    assert len(information) == 1
    assert tops - information == {"planner"}


def test_a_wheel_from_the_sdist_equals_one_from_the_checkout(distributions: Distributions) -> None:
    assert members(distributions.wheel) == members(distributions.checkout_wheel)


def test_two_builds_give_the_same_bytes(distributions: Distributions) -> None:
    assert distributions.wheel.read_bytes() == distributions.checkout_wheel.read_bytes()


def test_the_sdist_can_be_read_and_tested(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {
        "pyproject.toml",
        "README.md",
        "README.zh.md",
        "LICENSE",
        "NOTICE",
        "Makefile",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "ARCHITECTURE.md",
        "tests/conftest.py",
        "benchmarks/startup.py",
        ".ci/phases.py",
        ".ci/find-python",
    }
    assert wanted <= held


def test_the_metadata_names_the_command_and_the_licence(distributions: Distributions) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(distributions.wheel) as archive:
        (folder,) = {n.split("/")[0] for n in archive.namelist() if ".dist-info/" in n}
        entry = archive.read(f"{folder}/entry_points.txt").decode()
        metadata = archive.read(f"{folder}/METADATA").decode()
    assert "plan = planner.cli:main" in entry
    assert f"Version: {project['version']}\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata
