"""Reports of a stored plan, byte for byte (renewed by tests/golden/report/make_report.py)."""

import importlib.util
from types import ModuleType

import pytest
from support.wheels import ROOT

FOLDER = ROOT / "tests" / "golden" / "report"


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_report", FOLDER / "make_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_golden_reports_are_reproduced() -> None:
    made = maker().reports()
    assert sorted(made) == sorted(p.name for p in FOLDER.glob("plan.*") if p.suffix != ".json")
    for name, text in made.items():
        kept = (FOLDER / name).read_bytes()
        if text.encode() != kept:
            lines = zip(text.splitlines(), kept.decode().splitlines(), strict=False)
            first = next((pair for pair in lines if pair[0] != pair[1]), ("", "length"))
            pytest.fail(f"{name} differs: {first[0][:300]!r} for {first[1][:300]!r}; see "
                        "tests/golden/report/make_report.py")
