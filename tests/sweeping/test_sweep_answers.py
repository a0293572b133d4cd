"""Rows of a sweep are the answers of the single questions."""

import itertools

import pytest

import planner
from planner.base.errors import PlannerError, UnknownNameError
from planner.lookup import load_device, load_model
from planner.placement.modules import PLANNED_KINDS
from planner.planning.question.scenario import Host, Scenario
from planner.planning.solver.problem import EQUAL
from planner.sweeping.answer import Context, layout_text, row, serving
from planner.sweeping.fast import fast_rows
from planner.sweeping.read import asks_of

MODEL = "qwen2.5-0.5b"
FIXED = {"verb": "estimate", "engine": "any", "devices": 2, "tp": 1, "dp": 1, "pp": 1, "ep": 1}
GRID = [
    {
        "model": MODEL,
        "device": "l40s",
        "scheme": scheme,
        "kv": kv,
        "isl": isl,
        "osl": osl,
        "batch": batch,
        **FIXED,
        **limits,
    }
    for scheme, kv, (isl, osl), batch, limits in itertools.product(
        ("fp8-tensor", "bf16"),
        ("bf16", "fp8"),
        ((1000, 100), (9000, 50)),
        (1, 24, 4000),
        (
            {},
            {"tpot_seconds": 0.004},
            {"ttft_seconds": 0.05},
            {"e2e_seconds": 0.1},
            {"memory_bytes": 1 << 30},
        ),
    )
]


def test_many_estimates_are_the_rows_made_one_by_one() -> None:
    asks = asks_of(GRID)
    context = Context(load_model(MODEL), load_device("l40s"), None, None)
    fast = fast_rows(context, asks)
    assert sorted(fast) == list(range(len(asks)))
    statuses = set()
    for n in range(0, len(asks), 3):
        alone, together = row(context, asks[n]), fast[n]
        statuses.add((alone["status"], alone.get("limit")))
        assert set(alone) == set(together), n
        for name, value in alone.items():
            if isinstance(value, float):
                assert together[name] == pytest.approx(value, rel=3e-9), (n, name)
            else:
                assert together[name] == value, (n, name)
    assert {
        ("ok", None),
        ("infeasible", "memory"),
        ("infeasible", "tpot"),
        ("infeasible", "ttft"),
        ("infeasible", "e2e"),
        ("infeasible", "memory-bytes"),
    } <= statuses


def test_what_no_engine_has_memory_for_is_told_as_one_by_one() -> None:
    asks = asks_of(
        [
            {
                "model": MODEL,
                "device": "l40s",
                "verb": "estimate",
                "scheme": "bf16",
                "devices": 1,
                "tp": 1,
                "dp": 1,
                "pp": 1,
                "ep": 1,
                "context": 4096,
                **more,
            }
            for more in (
                {"batch": 4000},
                {"batch": 2, "memory_bytes": 1 << 30},
                {"batch": 4000, "memory_bytes": 1 << 30},
            )
        ]
    )
    context = Context(load_model(MODEL), load_device("l40s"), None, None)
    assert len(serving(context, asks[0])) > 1
    fast = fast_rows(context, asks)
    assert sorted(fast) == [0, 1, 2]
    assert [fast[n]["limit"] for n in fast] == ["memory", "memory-bytes", "memory"]
    assert [fast[n] for n in fast] == [row(context, one) for one in asks]


def test_requests_by_name_hits_and_slots_are_the_same_one_by_one() -> None:
    more: list[dict[str, object]] = [
        {"workload": "rag"},
        {"workload": "rag", "context": 30000},
        {"workload": "rag", "context": 30000, "slots": "full"},
        {"workload": "rag", "isl": 3000, "prefix_hit_rate": 0.75},
        {"isl": 20000, "osl": 500, "prefix_hit_rate": 0.999},
        {"workload": "agent"},
    ]
    given = [
        {"model": MODEL, "device": "l40s", "batch": batch, **FIXED, **values}
        for values in more
        for batch in (1, 100)
        if (values, batch) != (more[-1], 100)
    ]
    asks = asks_of(given)
    context = Context(load_model(MODEL), load_device("l40s"), None, None)
    fast = fast_rows(context, asks)
    assert len(fast) >= 8
    for n, together in fast.items():
        alone = row(context, asks[n])
        assert {k: v for k, v in together.items() if not isinstance(v, float)} == {
            k: v for k, v in alone.items() if not isinstance(v, float)
        }
        for name, value in alone.items():
            if isinstance(value, float):
                assert together[name] == pytest.approx(value, rel=3e-9), (n, name)
    bytes_ = [fast[n]["kv_cache_bytes"] for n in (1, 3, 5)]
    assert bytes_[0] == bytes_[1] < bytes_[2]


@pytest.mark.parametrize(
    ("key", "value"), [("workload", "rog"), ("slots", "half"), ("prefix_hit_rate", 1.5)]
)
def test_requests_that_are_none_are_refused_with_a_hint(key: str, value: object) -> None:
    with pytest.raises(PlannerError) as caught:
        asks_of([{"model": MODEL, "device": "l40s", key: value}])
    assert caught.value.hint


def test_money_of_many_estimates_is_that_of_each() -> None:
    priced = Scenario("priced", "priced", "", {}, Host(price_usd_per_hour=1.5))
    context = Context(load_model(MODEL), load_device("l40s"), priced, None)
    asks = asks_of(GRID[:4])
    for n, together in fast_rows(context, asks).items():
        alone = row(context, asks[n])
        if together["status"] != "ok":
            continue
        names = [f"usd_per_million_output_tokens{end}" for end in ("", "_low", "_high")]
        assert [together[name] for name in names] == pytest.approx(
            [alone[name] for name in names], rel=3e-9
        )
        assert together[names[0]] == pytest.approx(
            1.5 / 3600 / together["output_tokens_per_second_per_device"] * 1e6
        )


def test_rows_carry_the_plan() -> None:
    asked = {
        "model": MODEL,
        "device": "h100-sxm",
        "devices": 1,
        "tp": 1,
        "dp": 1,
        "pp": 1,
        "batch": 8,
        "context": 4096,
        "tpot_seconds": 0.01,
        "engine": "tensorrt-llm",
    }
    frame = planner.sweep([asked, {**asked, "verb": "estimate", "scheme": "fp8-tensor"}])
    plan = planner.plan(**asked)
    priced = planner.estimate(**asked, scheme="fp8-tensor")
    for n, one in enumerate((plan, priced)):
        got = frame.loc[n]
        assert got["status"] == "ok"
        for name in ("tpot_seconds", "ttft_seconds"):
            expected = getattr(one.performance, name)
            assert got[name] == pytest.approx(expected.value, rel=1e-9)
            assert got[f"{name}_low"] == pytest.approx(expected.low, rel=1e-9)
            assert got[f"{name}_high"] == pytest.approx(expected.high, rel=1e-9)
        assert got["total_bytes"] == one.memory_per_device.total_bytes
        assert got["loss"] == pytest.approx(one.quality.loss, rel=1e-9)
        assert got["output_tokens_per_second"] == pytest.approx(
            one.performance.output_tokens_per_second.value, rel=1e-9
        )
        joules = one.performance.joules_per_output_token
        assert [
            got[f"joules_per_output_token{end}"] for end in ("", "_low", "_high")
        ] == pytest.approx([joules.value, joules.low, joules.high], rel=1e-9)
        schemes = {u.scheme for u in one.units if u.loss or u.kv_layout}
        assert all(scheme in got["assignment"] for scheme in schemes)
        rate = one.performance.output_tokens_per_second
        assert [
            got[f"output_tokens_per_second{end}"] for end in ("_low", "_high")
        ] == pytest.approx([rate.low, rate.high], rel=1e-9)
        assert got["layout"] == "tp1"
        assert got["served_by"] == f"{one.engine.name} {one.engine.version}"
    advice = plan.recommendation
    assert frame.loc[0, "verdict"] == advice.verdict
    assert frame.loc[0, "needs_new_weights"] == advice.needs_new_weights
    assert frame["checkpoint"].fillna("")[0] == (advice.checkpoint or "")
    assert set(frame.loc[0, "formats"].split(" + ")) == {
        unit.scheme for unit in plan.units if unit.kind in PLANNED_KINDS
    }
    assert frame.loc[0, "cache"] in {unit.kv_layout for unit in plan.units if unit.kv_layout}
    assert frame[["verdict", "formats", "cache", "needs_new_weights"]].loc[1].isna().all()
    assert frame.loc[0, "gap"] == pytest.approx(EQUAL)
    assert frame["question"].tolist() == [1, 2]


def test_an_exact_plan_has_its_verdict_too() -> None:
    asked = {
        "model": MODEL,
        "device": "h100-sxm",
        "devices": 1,
        "tp": 1,
        "dp": 1,
        "pp": 1,
        "batch": 8,
        "context": 4096,
        "engine": "vllm",
        "exact": True,
    }
    frame = planner.sweep([asked])
    advice = planner.plan(**asked).recommendation
    assert advice is not None
    assert (frame.loc[0, "verdict"], frame.loc[0, "needs_new_weights"]) == (
        advice.verdict,
        advice.needs_new_weights,
    )


@pytest.mark.parametrize(
    ("ways", "text"),
    [((1, 1, 1, 1), "tp1"), ((8, 1, 2, 8), "tp8 pp2 ep8"), ((1, 8, 1, 8), "dp8 ep8")],
)
def test_a_layout_names_what_divides_it(ways: tuple[int, int, int, int], text: str) -> None:
    assert layout_text(*ways) == text


def test_nothing_is_lost_what_cannot_be_asked_is_a_row_with_its_reason() -> None:
    base = {"model": MODEL, "verb": "estimate", "batch": 8, "devices": 1, "engine": "any"}
    frame = planner.sweep(
        [
            {**base, "device": "h100-sxm", "scheme": "nvfp4"},
            {**base, "device": "h100-sxm", "scheme": "fp8-tensor", "context": 1 << 30},
            {**base, "device": "h100-sxm", "scheme": "fp8-tensor", "tp": 1, "dp": 2, "pp": 1},
            {**base, "device": "h100-sxm", "scheme": "fp8-tensor", "engine": "llama.cpp"},
            {**base, "device": "h100-sxm", "scheme": "fp8-tensor"},
        ]
    )
    assert frame["status"].tolist() == ["unsupported", "invalid", "invalid", "unsupported", "ok"]
    assert frame["reason"].notna().tolist() == [True] * 4 + [False]
    with pytest.raises(PlannerError) as caught:
        planner.estimate(MODEL, "h100-sxm", scheme="nvfp4", devices=1, batch=8, engine="any")
    assert frame.loc[0, "reason"] == caught.value.message


@pytest.mark.exhaustive
def test_infeasible_plans_name_the_limits() -> None:
    base = {"model": MODEL, "device": "l40s", "devices": 1, "context": 8192, "batch": 4}
    frame = planner.sweep(
        [
            {**base, "tpot_seconds": 1e-5},
            {**base, "memory_bytes": 1 << 20},
            {**base, "batch": 1 << 18},
        ]
    )
    assert frame["status"].tolist() == ["infeasible"] * 3
    assert frame["limit"].tolist() == ["tpot", "memory-bytes", "memory"]


def test_a_broken_question_does_not_lose_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from planner.sweeping import answer

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("made for this test")

    monkeypatch.setattr(answer, "decide", broken)
    frame = planner.sweep([{"model": MODEL, "device": "l40s"}])
    assert frame.loc[0, "status"] == "failed"
    assert "ZeroDivisionError: made for this test" in frame.loc[0, "reason"]


def test_an_unknown_name_ends_the_sweep_before_it_begins() -> None:
    with pytest.raises(UnknownNameError):
        planner.sweep([{"model": MODEL, "device": "h1000"}])


def test_a_scenario_brings_model_device_and_limits() -> None:
    frame = planner.sweep(
        [{"scenario": "orin-int8", "model": MODEL, "context": 2048, "engine": "any"}]
    )
    assert frame.loc[0, "device"] == "jetson-agx-orin-64gb"
    assert frame.loc[0, "batch"] == 4
    assert frame.loc[0, "status"] == "ok"
