"""Rules of the source tree that no other tool checks."""

import ast
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.wheels import ROOT

import planner

MOST_LINES, FEWEST_LINES = 400, 40
SOURCES = sorted(
    path
    for folder in ("planner", "tests", "benchmarks", "evaluation", ".ci")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def importers(names: Mapping[str, Path]) -> dict[str, set[str]]:
    """The modules of ``names`` that import each, for types and within functions as well."""
    by: dict[str, set[str]] = {name: set() for name in names}
    for importer, path in names.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                targets = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                for target in targets & (names.keys() - {importer}):
                    by[target].add(importer)
    return by


def test_what_one_neighbour_imports_is_not_cut_off() -> None:
    """A short module with one importer belongs into it; a verb, a family and a package do not."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in SOURCES
        if path.is_relative_to(ROOT / "planner")
    }
    short = {
        name
        for name, path in paths.items()
        if len(path.read_text(encoding="utf-8").splitlines()) < FEWEST_LINES
        and not name.startswith(("planner.cli.", "planner.api.", "planner.models.families."))
        and not name.endswith("__init__")
    }
    assert {n: by for n, by in importers(paths).items() if n in short and len(by) == 1} == {}


def test_the_sources_were_found() -> None:
    names = {str(path.relative_to(ROOT)) for path in SOURCES}
    assert {"planner/base/errors.py", "tests/project/test_tree.py", ".ci/phases.py"} <= names


def test_test_files_have_unique_names() -> None:
    names = [path.name for path in SOURCES if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_the_package_is_typed() -> None:
    assert (ROOT / "planner" / "py.typed").is_file()


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert planner.__version__ == project["version"]
    headings = re.findall(r"^## (.*)$", changes, flags=re.MULTILINE)
    released = [text for text in headings if text != "Unreleased"]
    assert headings.index(released[0]) <= 1, "only `## Unreleased` stands above a release"
    assert re.fullmatch(rf"{re.escape(planner.__version__)} \(\d{{4}}-\d\d-\d\d\)", released[0])


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "NOTICE",
        "hardware_profiles/README.md",
        "benchmarks/README.md",
    ],
)
def test_what_a_newcomer_reads_is_there(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("name", [".ci/run", ".ci/find-python"])
def test_scripts_are_executable(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o111
