"""Nothing in the package is unused, as far as vulture can see; what only seems so is listed."""

import tomllib
from pathlib import Path

import pytest
from support.wheels import ROOT

LIST = Path(__file__).with_name("seemingly_unused.toml")
vulture = pytest.importorskip("vulture", reason="vulture is not installed")


def test_what_seems_unused_is_listed_with_its_reason() -> None:
    """Tests are no users. A name that has gone, or is used again, leaves the list."""
    listed: dict[str, str] = {}
    for reason, names in tomllib.loads(LIST.read_text(encoding="utf-8")).items():
        for name in names:
            assert name not in listed
            listed[name] = reason
    found = vulture.Vulture()
    found.scavenge([str(ROOT / "planner")])
    seen = {
        f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno} {item.name}"
        for item in found.get_unused_code(min_confidence=60)
        if item.name not in listed
    }
    assert sorted(seen) == []
    named = {item.name for item in found.get_unused_code(min_confidence=60)}
    assert sorted(listed.keys() - named) == []
