"""Files import each other one way: no circle, for types, inside functions and in text included."""

import subprocess
import sys
from pathlib import Path

import pytest
from project.circles import Import, Kind, circles, main
from support.wheels import ROOT


def test_there_is_no_circle() -> None:
    assert [circle.modules for circle in circles()] == []


def for_types(one: Import) -> bool:
    """An import that the type checker alone reads, or one of a notebook's display."""
    return one.kind is Kind.TYPES or one.function == "_repr_html_"


FILES = {
    "a.py": "import p.b\n",
    "b.py": "from p import a\n",
    "c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.d import x\n"
    "else:\n    x = 1\n",
    "d.py": "class X:\n    def _repr_html_(self):\n        from .e import y\n",
    "e.py": "from . import c\nfrom p.f import z\n",
    "f.py": "def late():\n    import p.g\n",
    "g.py": "from p import f, missing\n",
    "__init__.py": "",
    "h/__init__.py": "from .i import x\nfrom ..a import y\n",
    "h/i.py": "import json\n",
    "j.py": '"""p.k"""\nTABLE = {"k": ("p.k", "f")}\n',
    "k.py": "import p.j\n",
    "l.py": '"""p.m"""\n',
    "m.py": "import p.l\n",
}


def test_circles_of_every_kind_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "p" / "h").mkdir(parents=True)
    for name, text in FILES.items():
        (tmp_path / "p" / name).write_text(text, encoding="utf-8")
    three, top, inside, text = circles(tmp_path, "p")
    assert (three.modules, top.modules, inside.modules, text.modules) == (
        ("p.c", "p.d", "p.e"),
        ("p.a", "p.b"),
        ("p.f", "p.g"),
        ("p.j", "p.k"),
    )
    assert top.describe() == "held by imports at the top"
    assert inside.describe() == "only through imports inside a function"
    assert text.describe() == "only through imports in text"
    assert three.describe() == "only through imports under TYPE_CHECKING and inside a function"
    assert [c.stays_without(for_types) for c in (three, top, inside)] == [False, True, True]
    assert [(i.importer, i.imported, i.function) for i in three.imports] == [
        ("p.c", "p.d", ""),
        ("p.d", "p.e", "_repr_html_"),
        ("p.e", "p.c", ""),
    ]


def test_the_script_prints_each_circle_and_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    *lines, last = capsys.readouterr().out.splitlines()
    found = circles()
    assert last == f"circles of more than one file: {len(found)}"
    assert sum(" files, " in line for line in lines) == len(found)
    assert sum(line.startswith("  planner/") for line in lines) == sum(
        len(circle.modules) for circle in found
    )


@pytest.mark.exhaustive
def test_the_script_runs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.project.circles"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert main() == 0
    assert done.stdout == capsys.readouterr().out
