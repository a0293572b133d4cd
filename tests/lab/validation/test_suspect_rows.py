"""Rows whose own data contradict their labels are predicted, and out of headlines."""

from __future__ import annotations

import pytest

from planner.lab.validation import e2e_silicon
from planner.lab.validation.e2e_silicon import HELD, TWIN, faster_than_twins, held_back
from planner.lab.validation.records import EXCLUDED
from planner.lab.validation.serving_rules import mislabelled
from planner.throughput.serving import SteadyState

ROW = {
    "device": "h200_sxm",
    "mode": "agg",
    "software": "trtllm 1.1.0",
    "precision": "fp8",
    "model": "deepseek-ai/DeepSeek-V3",
    "gemm_dtype": "fp8",
    "moe_dtype": "fp8",
    "parallelism": "agg:TP8/PP1/ADP1/mTP1/mEP8",
    "concurrency": "16.0",
    "batch_size": "16",
    "isl": "1024",
    "osl": "1024",
    "ttft_ms": "400.0",
    "tpot_ms": "20.0",
    "exclude": "",
}
R1 = {"model": "deepseek-ai/DeepSeek-R1"}


@pytest.mark.parametrize(("tpot", "suspect"), [("15.0", True), ("16.5", False), ("25.1", False)])
def test_a_name_of_the_same_shape_that_decodes_faster_drafts_tokens(
    tpot: str,
    *,
    suspect: bool,
) -> None:
    rows = [ROW, ROW | R1 | {"tpot_ms": tpot}, ROW | R1 | {"tpot_ms": "1", "isl": "8192"}]
    assert (1 in faster_than_twins(rows)) == suspect
    assert 2 not in faster_than_twins(rows)
    found = e2e_silicon.predict_rows("e2e_silicon_x", rows[:2])
    mine = {o.regime for o in found if o.row == 1 and "host" not in o.regime}
    assert (mine == {EXCLUDED + TWIN}) == suspect
    assert all(o.predicted is not None for o in found)


def test_a_run_of_one_name_has_no_twin() -> None:
    assert not faster_than_twins([ROW, ROW | {"tpot_ms": "9.0"}])


def served(*, full: bool) -> SteadyState:
    return SteadyState(0.01, 1.0, 100.0, 0.0, 0.0, 0.0, full)


def test_requests_that_wait_beside_a_cache_with_room_are_held_by_a_limit() -> None:
    assert held_back(512, 1024, tpot=0.01, ttft=40.0, served=served(full=False))
    assert not held_back(512, 1024, tpot=0.01, ttft=40.0, served=served(full=True))
    assert not held_back(512, 1024, tpot=0.01, ttft=8.0, served=served(full=False))


def test_the_regime_says_why() -> None:
    row = ROW | {"concurrency": "64.0", "ttft_ms": "60000.0"}
    found = e2e_silicon.predict_rows("e2e_silicon_x", [row])
    assert {o.regime for o in found if "host" not in o.regime} == {EXCLUDED + HELD}
    assert mislabelled("tensorrt-llm", "1.3.0rc5")
    assert not mislabelled("tensorrt-llm", "1.3.0")
    assert not mislabelled("vllm", "1.3.0rc5")
    marked = e2e_silicon.predict_rows("e2e_silicon_x", [ROW | {"software": "trtllm 1.3.0rc1"}])
    assert all(o.regime.startswith(EXCLUDED) for o in marked)
