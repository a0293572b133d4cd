"""Accuracy over the table of public engine logs, where it is beside the repository."""

from collections.abc import Callable
from pathlib import Path

import pytest

from planner.lab.validation.grouping import summarise
from planner.lab.validation.records import Outcome, Validation
from planner.lab.validation.run import validate

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "measured"
ENGINES = ("vllm", "sglang", "tensorrt-llm")
KV = (
    "kv_gib_per_gpu",
    "kv_tokens_per_replica",
    "kv_blocks",
    "max_concurrency",
    "kv_gib_needed_for_one_request",
)


@pytest.fixture(scope="module")
def report() -> Validation:
    if not (DATA / "memory_logs.csv").is_file():
        pytest.skip("the table of engine logs is not beside the repository")
    return validate(DATA, only="memory")


def share_and_errors(
    report: Validation,
    wanted: Callable[[Outcome], bool],
) -> tuple[float, float, float]:
    rows = [
        o for o in report.outcomes if o.regime == "headline" and o.engine in ENGINES and wanted(o)
    ]
    found = summarise([o.error_percent for o in rows if o.predicted is not None])
    assert found.median_ape is not None
    assert found.p90_ape is not None
    return found.n / len(rows), found.median_ape, found.p90_ape


def test_weights(report: Validation) -> None:
    share, median, p90 = share_and_errors(report, lambda o: o.quantity == "weights_gib_per_gpu")
    assert share >= 0.85
    assert median <= 0.5
    assert p90 <= 2.0


@pytest.mark.parametrize("quantities", [KV, KV[:1], KV[1:2]])
def test_caches_with_given_overheads(report: Validation, quantities: tuple[str, ...]) -> None:
    share, median, _ = share_and_errors(
        report, lambda o: o.quantity in quantities and o.mode == "given-overheads"
    )
    assert share >= 0.85
    assert median <= 0.3


@pytest.mark.parametrize("quantities", [KV, KV[:1], KV[1:2]])
def test_caches_predicted(report: Validation, quantities: tuple[str, ...]) -> None:
    share, median, p90 = share_and_errors(
        report, lambda o: o.quantity in quantities and o.mode == "predicted"
    )
    assert share >= 0.60
    assert median <= 2.0
    assert p90 <= 6.0


def test_llama_cpp_caches_are_exact(report: Validation) -> None:
    rows = [
        o
        for o in report.outcomes
        if "llama" in o.engine and o.quantity == "kv_gib_total" and o.predicted is not None
    ]
    assert len(rows) >= 40
    assert max(abs(o.predicted - o.measured) for o in rows if o.predicted) < 0.011 * 2**20


def test_every_row_is_predicted_or_has_a_reason(report: Validation) -> None:
    assert {o.row for o in report.outcomes} == set(range(len({o.row for o in report.outcomes})))
    assert all((o.predicted is None) == bool(o.reason) for o in report.outcomes)
    assert sum(u.n for u in report.uncovered) == len(
        {(o.row, o.reason) for o in report.outcomes if o.predicted is None}
    )
