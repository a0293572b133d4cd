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
            pytest.fail(
                f"{name} differs: {first[0][:300]!r} for {first[1][:300]!r}; see "
                "tests/golden/report/make_report.py"
            )


def test_the_stored_plan_is_the_planners() -> None:
    """The reports are of a stored plan, so that they stay when a figure moves a little; what it
    tells must still be what the planner tells today, and its figures within a tenth."""
    made = json.loads(json.dumps(maker().made()["plan.json"]))
    kept = json.loads((FOLDER / "plan.json").read_text(encoding="utf-8"))
    assert kept.keys() == made.keys(), RENEW
    for table, column in (("assumptions", "key"), ("baselines", "name"), ("modules", "kind")):
        names = [{json.dumps(row[column]) for row in side[table]} for side in (kept, made)]
        assert names[0] == names[1], RENEW
    for name, figure in kept["performance"].items():
        mine, theirs = (
            one["value"] if isinstance(one, dict) else one
            for one in (figure, made["performance"][name])
        )
        assert (mine is None) == (theirs is None), RENEW
        if mine is not None:
            assert mine == pytest.approx(theirs, rel=0.1), RENEW
