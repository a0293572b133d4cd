"""The check of what is installed: versions of the lock, licences, what runs and what only tests."""

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RULES = tomllib.loads((ROOT / ".ci" / "licences.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def supply() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply", ROOT / ".ci" / "supply.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["supply"] = made
    spec.loader.exec_module(made)
    return made


def _one(name: str, *licences: str, version: str = "1") -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "licenses": [{"license": {"name": text}} for text in licences],
    }


def test_another_version_and_a_stranger_are_told(supply: ModuleType) -> None:
    lock = supply.locked(
        "numpy==2.1 \\\n    --hash=sha256:aa\nRich_Text==3 ; python_version < '4'\n"
    )
    assert lock == {"numpy": "2.1", "rich-text": "3"}
    told = supply.differing(
        [
            _one("NumPy", version="2.1"),
            _one("rich.text", version="4"),
            _one("left-pad"),
            _one("pip"),
        ],
        lock,
    )
    assert told == ["rich-text 4, the lock has 3", "left-pad 1, the lock has none"]


@pytest.mark.parametrize(
    ("licence", "runs", "fine"),
    [
        ("MIT", True, True),
        ("License :: OSI Approved :: BSD License", True, True),
        ("MIT OR Apache-2.0", True, True),
        ("MPL-2.0", False, True),
        ("MPL-2.0", True, False),
        ("MPL-2.0 AND MIT", True, False),
        ("GPL-3.0-only", False, False),
        ("MIT AND GPL-3.0", True, False),
        ("License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)", False, True),
        ("License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)", True, False),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", False, False),
    ],
)
def test_licences(supply: ModuleType, licence: str, runs: bool, fine: bool) -> None:
    wrong = list(supply.refused([_one("a", licence)], {"a"} if runs else set(), RULES))
    assert (wrong == []) is fine
    assert all(line.startswith("a: ") and ("(run time)" in line) is runs for line in wrong)


def test_a_package_without_a_licence_is_refused_unless_it_is_known(supply: ModuleType) -> None:
    assert list(supply.refused([_one("strange")], set(), RULES)) == ["strange: none named"]
    assert list(supply.refused([_one("asttokens")], set(), RULES)) == []


def test_what_runs_is_what_the_package_needs(supply: ModuleType) -> None:
    needed = supply.needed("precision-planner")
    assert {"click", "numpy", "pydantic", "pydantic-core", "highspy", "filelock"} <= needed
    assert not {"pytest", "mypy", "ruff"} & needed


def test_what_runs_is_permissive(supply: ModuleType) -> None:
    """By the metadata of what is installed here: the bill itself is made by `make supply`."""
    from importlib.metadata import metadata

    for name in sorted(supply.needed("precision-planner")):
        about = metadata(name)
        named = (
            [about.get("License-Expression")]
            if about.get("License-Expression")
            else [
                line for line in about.get_all("Classifier", ()) if line.startswith("License :: ")
            ]
        )
        if not named and about.get("License") and len(about["License"]) < 60:
            named = [about["License"]]
        assert list(supply.refused([_one(name, *named)], {supply.canonical(name)}, RULES)) == []
