"""Plan files of version 2 are lifted to version 3: the error they quoted is of a related kind."""

from typing import Any

from planner.planning.plan.schema import parse_plan
from planner.planning.plan.version_2 import KIND, upgraded
from tests.support import theory

OLD = {"table": "e2e_silicon_shared", "n": 115, "median_ape": 12.5}


def as_version_2(data: dict[str, Any]) -> dict[str, Any]:
    """What version 2 wrote, with a quoted error at TPOT alone."""
    out: dict[str, Any] = {**data, "schema_version": "2"}
    times = out["performance"] = {
        key: {k: v for k, v in item.items() if k != "evidence"} if isinstance(item, dict) else item
        for key, item in data["performance"].items()
    }
    times["tpot_seconds"]["validated"] = dict(OLD)
    return out


def test_what_was_validated_is_related_evidence() -> None:
    plan = theory.estimate("llama-3.1-8b", "h100-sxm", scheme="bf16", batch=8, isl=512, osl=64)
    old = as_version_2(plan.to_dict())
    read = parse_plan(old)
    known = read.performance.tpot_seconds.evidence
    assert known is not None
    assert (known.level, known.kind, known.n, known.median_ape) == ("related", KIND, 115, 12.5)
    assert known.signed is None
    assert read.performance.ttft_seconds.evidence is None
    assert read.units == plan.units
    assert "validated" in old["performance"]["tpot_seconds"], "the given data stay as they are"


def test_other_versions_are_given_back() -> None:
    for version in ("1", "3", None):
        data = {"schema_version": version, "validated": dict(OLD)}
        assert upgraded(data) is data
