"""A plan in pools explained: its decisions, other numbers of its workers, what limits cost."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from support import small_pools

import planner
from planner.cli.main import run
from planner.planning.explain.records import PoolsExplanation
from planner.planning.inspect.reprice import reprice
from planner.planning.plan.record import Plan


@cache
def explained(mixed: bool, /) -> PoolsExplanation:
    found = planner.explain(plan=small_pools.mixed() if mixed else small_pools.plan())
    assert isinstance(found, PoolsExplanation)
    return found


@pytest.mark.parametrize("mixed", [False, True])
def test_the_plans_own_numbers_of_workers_are_among_the_others(mixed: bool) -> None:
    found = explained(mixed)
    (own,) = [one for one in found.splits if one.own]
    pools = small_pools.pools(found.plan)
    assert (own.prefill_workers, own.decode_workers) == (
        pools.prefill.workers,
        pools.decode.workers,
    )
    rate = found.plan.performance.output_tokens_per_second.value
    assert own.output_tokens_per_second == pytest.approx(rate, rel=1e-6)
    assert own.limit == pools.limit
    assert all(one.output_tokens_per_second <= rate * (1 + 1e-6) for one in found.splits)
    assert len(found.splits) > 1


def test_the_optimum_is_said_to_be_it() -> None:
    assert explained(True).better_by == pytest.approx(0.0, abs=2e-3)
    assert all(one.again for one in explained(True).pools)


def _moved(plan: Plan, kind: str, scheme: str) -> Plan:
    """``plan`` with every layer of a kind of the decode workers in another scheme."""
    pools = small_pools.pools(plan)
    units = tuple(replace(u, scheme=scheme) if u.kind == kind else u for u in plan.units)
    own = tuple(replace(u, scheme=scheme) if u.kind == kind else u for u in pools.decode.units)
    return replace(
        plan, units=units, deployment=replace(pools, decode=replace(pools.decode, units=own))
    )


def test_what_a_choice_costs_is_what_pricing_it_says() -> None:
    """Every unit of one kind moved: the step is longer by what the explanation adds up."""
    found = explained(False)
    decode = found.pools[1]
    assert decode.name == "decode"
    kind = "mlp-down"
    mine = [unit for unit in decode.units if unit.units[0].startswith(kind)]
    others = {
        (unit.alone or unit.next_best).scheme
        for unit in mine  # type: ignore[union-attr]
        if (unit.alone or unit.next_best) is not None
    }
    if len(others) != 1 or any(unit.alone is None for unit in mine):
        pytest.skip("the units of this kind have several next best choices")
    (scheme,) = others
    told = sum(unit.alone.tpot_seconds for unit in mine if unit.alone is not None)
    priced = planner.estimate(
        plan=_moved(found.plan, kind, scheme), batch=found.plan.workload.batch
    )
    # At full batches: the closed loop settles at fewer sequences of the moved plan than of its own.
    assert priced.workload.batch == found.plan.workload.batch
    moved, own = (reprice(plan).priced.tpot for plan in (priced, found.plan))
    assert own == pytest.approx(decode.seconds, rel=1e-6)
    assert moved - decode.seconds == pytest.approx(told, rel=1e-6, abs=1e-9)


def test_limits_cost_what_the_best_pools_gain() -> None:
    found = explained(True)
    names = {price.name for price in found.limits}
    assert {"tpot", "max-loss", "link"} <= names
    assert all(price.without >= price.gain >= 0 for price in found.limits)
    free = planner.plan(
        "llama-3.1-8b",
        "h100-sxm",
        devices=4,
        engine="vllm",
        mode="disaggregated",
        exact=True,
        tpot_seconds="none",
    )
    (tpot,) = [price for price in found.limits if price.name == "tpot"]
    gained = (
        free.performance.output_tokens_per_second.value
        / found.plan.performance.output_tokens_per_second.value
        - 1
    )
    assert tpot.without == pytest.approx(max(gained, 0.0), abs=2e-3)


def test_the_text_and_json_are_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(small_pools.plan().to_dict()), encoding="utf-8")
    assert run(["explain", "--plan", str(path)]) == 0
    out, err = capsys.readouterr()
    for words in (
        "Bottleneck  prefill: ",
        "Other numbers of these workers",
        "this plan",
        "What each limit costs",
        "link ",
        "per fullest pass",
        "per step at the plan's batch",
    ):
        assert words in out, words
    assert "basis:" in err
    assert max(len(line) for line in out.splitlines()) <= 80
    assert str(explained(False)) == out.rstrip("\n")
    data = json.loads(json.dumps(explained(False).to_dict()))
    assert [one["name"] for one in data["pools"]] == ["prefill", "decode"]


def test_a_question_in_pools_is_explained_as_its_plan_is() -> None:
    """The plan of one pool was explained, whatever `plan` had answered."""
    found = planner.explain(
        small_pools.MODEL,
        small_pools.DEVICE,
        devices=small_pools.DEVICES,
        engine="vllm",
        mode="disaggregated",
    )
    assert isinstance(found, PoolsExplanation)
    assert found.pools == explained(False).pools
    assert found.limits == explained(False).limits


def test_pools_are_no_question_of_a_plan_s_or_of_a_module() -> None:
    with pytest.raises(planner.InputError, match="its own pools"):
        planner.explain(plan=small_pools.plan(), mode="aggregated")
    with pytest.raises(planner.InputError, match="module asks about one layer"):
        planner.explain("llama-3.1-8b", "h100-sxm", module="mlp-down", mode="disaggregated")
    with pytest.raises(planner.InputError, match="what would change a plan in pools"):
        planner.explain("llama-3.1-8b", "h100-sxm", devices=2, mode="disaggregated", solves=3)
