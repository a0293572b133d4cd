"""The locked versions satisfy the ranges of pyproject.toml, are complete, and name no server."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.wheels import ROOT

LOCKS = sorted((ROOT / ".ci" / "lock").glob("*.txt"))
PYTHONS = [path for path in LOCKS if path.name.startswith("python")]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; .*)? \\$")


def pins(text: str) -> dict[str, Version]:
    """Package → version; every line must be a pin or one of its hashes."""
    found: dict[str, Version] = {}
    for line in text.splitlines():
        pin = _PIN.match(line)
        if pin:
            assert pin[1] not in found
            found[canonicalize_name(pin[1])] = Version(pin[2])
        else:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
    return found


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    return [
        Requirement(text)
        for text in (
            *project["project"]["dependencies"],
            *extras["dev"],
            *extras["fast"],
            *project["build-system"]["requires"],
        )
    ]


def test_the_locks_are_those_of_the_tested_versions() -> None:
    assert [path.name for path in LOCKS] == [
        "models.txt",
        "python3.11.txt",
        "python3.13.txt",
        "supply.txt",
    ]


@pytest.mark.parametrize("path", PYTHONS, ids=lambda path: path.stem)
def test_a_lock_satisfies_every_range(path: Path) -> None:
    locked = pins(path.read_text(encoding="utf-8"))
    environment = {**default_environment(), "python_version": path.stem.removeprefix("python")}
    applied = [need for need in wanted() if not need.marker or need.marker.evaluate(environment)]
    assert len(applied) > 20
    assert [
        str(need)
        for need in applied
        if not need.specifier.contains(locked[canonicalize_name(need.name)])
    ] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_pin_has_a_hash_and_no_server_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert pins(text)
    assert len(re.findall(r"==\S+(?: ; .*)? \\\n    --hash=sha256:", text)) == len(pins(text))
    assert "://" not in text
    assert "--index" not in text


def test_the_models_are_the_ones_that_are_asked_for() -> None:
    folder = ROOT / ".ci" / "lock"
    asked = [Requirement(line) for line in (folder / "models.in").read_text().split()]
    locked = pins((folder / "models.txt").read_text(encoding="utf-8"))
    assert {canonicalize_name(r.name): next(iter(r.specifier)).version for r in asked} == {
        name: str(version) for name, version in locked.items()
    }


def test_large_oracles_are_not_locked() -> None:
    assert not any(
        name in pins(path.read_text(encoding="utf-8"))
        for path in PYTHONS
        for name in ("torch", "transformers", "torchao", "nvidia-modelopt")
    )
