"""What is asked of a whole deployment together: pools with drafted tokens, prefixes with either."""

import pytest

import planner
from planner.base.errors import InputError


@pytest.fixture(scope="module")
def drafted() -> planner.Plan:
    return planner.plan(
        "llama-3.1-8b",
        "h100-sxm",
        devices=2,
        mode="disaggregated",
        engine="sglang",
        schemes=["bf16", "fp8-channel"],
        speculation="llama-3.2-1b",
        draft_tokens=1,
        acceptance=0.8,
    )


def test_decode_workers_draft(drafted: planner.Plan) -> None:
    assert drafted.deployment is not None
    assert drafted.speculation is not None
    assert drafted.speculation.kind == "draft-model"
    assert drafted.speculation.accepted_tokens == pytest.approx(1.8)
    tpot = drafted.performance.tpot_seconds
    assert drafted.speculation.step_seconds / 1.8 == pytest.approx(tpot.value)


def test_drafts_and_pools_are_read_back(drafted: planner.Plan) -> None:
    assert planner.read_plan(drafted.to_dict()) == drafted


@pytest.mark.parametrize(
    "beside",
    [
        {"speculation": "llama-3.2-1b", "acceptance": 0.7},
        {"mode": "disaggregated"},
        {"transfer_bytes_per_s": 50e9},
    ],
)
def test_prefixes_are_planned_alone(beside: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        planner.plan("llama-3.1-8b", "h100-sxm", devices=2, workload="chat", reuse="auto", **beside)  # type: ignore[arg-type]
    assert "--prefix-hit" in str(caught.value.hint)
