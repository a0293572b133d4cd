"""Reports of a stored plan, byte for byte (renewed by tests/golden/report/make_report.py)."""

import importlib.util
import json
from types import ModuleType

import pytest
from support.wheels import ROOT

FOLDER = ROOT / "tests" / "golden" / "report"
RENEW = "renew with tests/golden/report/make_report.py --plan and look at the diff"


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


def test_the_stored_plan_is_the_planners() -> None:
    """The reports are of a stored plan, so that they stay when a figure moves a little; what it
    says must still be what the planner says today."""
    made = maker().made()
    for name, data in made.items():
        kept = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        assert_alike(kept, json.loads(json.dumps(data)), name)


def assert_alike(kept: object, made: object, place: str) -> None:
    """Equal texts, counts and names; figures within a tenth."""
    if isinstance(kept, dict) and isinstance(made, dict):
        assert kept.keys() == made.keys(), f"{place}: {RENEW}"
        for key in kept:
            if key not in ("value", "reason", "date"):  # of assumptions: figures in words
                assert_alike(kept[key], made[key], f"{place}.{key}")
    elif isinstance(kept, list) and isinstance(made, list):
        assert len(kept) == len(made), f"{place}: {RENEW}"
        for i, (one, other) in enumerate(zip(kept, made, strict=True)):
            assert_alike(one, other, f"{place}[{i}]")
    elif isinstance(kept, float) and isinstance(made, float):
        assert kept == pytest.approx(made, rel=0.1), f"{place}: {RENEW}"
    elif not isinstance(kept, int):
        assert kept == made, f"{place}: {RENEW}"
