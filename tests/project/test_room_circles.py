"""No circle of imports inside a room of planning, those for the type checker included."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import planner

PLANNING = Path(planner.__file__).parent / "planning"
ROOMS = (
    "answer",
    "engines",
    "explain",
    "infeasible",
    "inspect",
    "price",
    "question",
    "search",
    "serving",
    "solver",
    "space",
    "what_if",
)


def imports(folder: Path, package: str) -> dict[str, set[str]]:
    """The modules of a folder, and which of them each imports anywhere in its text."""
    found: dict[str, set[str]] = {}
    for path in folder.glob("*.py"):
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                named |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
            elif isinstance(node, ast.Import):
                named |= {a.name for a in node.names}
        found[f"{package}.{path.stem}"] = named
    return {name: {one for one in named if one in found} for name, named in found.items()}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_circle(room: str) -> None:
    found = imports(PLANNING / room, f"planner.planning.{room}")
    assert any(found.values()), "no import was read"
    assert list(TopologicalSorter(found).static_order())


def test_a_circle_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from p.b import x\n")
    (tmp_path / "b.py").write_text("def f():\n    from p import a\n")
    with pytest.raises(CycleError):
        list(TopologicalSorter(imports(tmp_path, "p")).static_order())
