"""What only some calls need is an extra, and every error that names an extra names one there is."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.wheels import ROOT

from planner.base.errors import MissingPackageError, needs

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = sorted((ROOT / "planner").rglob("*.py"))


def loaded_with_the_module(tree: ast.Module) -> set[str]:
    """Packages imported when the module is: not in a function, nor for the type checker only."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def test_errors_name_extras_that_there_are() -> None:
    named = {
        name
        for path in SOURCES
        for text in [path.read_text(encoding="utf-8")]
        for name in (
            *re.findall(r', extra="(\w+)"\)', text),
            *re.findall(r"precision-planner\[(\w+)\]", text),
        )
    }
    assert {"plot", "frames", "calibrate", "parquet"} <= named
    assert named - set(EXTRAS) == set()


def test_what_is_installed_without_extras_draws_nothing_and_has_no_frames() -> None:
    base = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert base & {"pandas", "matplotlib"} == set()
    assert len(base) == 9


def test_no_module_loads_them_with_itself() -> None:
    heavy = {"pandas", "matplotlib"}
    loads = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for text in [path.read_text(encoding="utf-8")]
        if any(name in text for name in heavy)  # others need no parsing
        and heavy & loaded_with_the_module(ast.parse(text))
    }
    assert loads == set()


def test_an_import_outside_functions_would_be_found() -> None:
    tree = ast.parse(
        "from __future__ import annotations\nif TYPE_CHECKING:\n    import a\n"
        "class C:\n    import b\ntry:\n    import c.d\nexcept ImportError:\n    pass\n"
        "def f():\n    import e\n"
    )
    assert loaded_with_the_module(tree) == {"__future__", "b", "c"}


def test_developers_have_every_package_of_the_light_extras() -> None:
    assert set(EXTRAS["dev"]) >= {
        *EXTRAS["plot"],
        *EXTRAS["frames"],
        *EXTRAS["fast"],
        *EXTRAS["distributed"],
        *EXTRAS["parquet"],
        *EXTRAS["gguf"],
        *EXTRAS["calibrate"],
    }


def test_all_is_every_extra_without_a_framework() -> None:
    (everything,) = (Requirement(text) for text in EXTRAS["all"])
    heavy = {name for name, texts in EXTRAS.items() if "torch" in " ".join(texts)}
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(EXTRAS) - heavy - {"dev", "fuzz", "notebook", "all"}


def test_a_package_that_is_not_there_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="the package pandas") as caught:
        needs("pandas", extra="frames")
    assert caught.value.hint == "pip install 'precision-planner[frames]'"


def test_a_package_that_is_there_is_not_imported_by_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import what_it_lacks\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    needs("half_installed", extra="frames")
    assert "half_installed" not in sys.modules
