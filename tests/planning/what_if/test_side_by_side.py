"""Uniform schemes side by side: each row is what estimate answers, what does not run says why."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.base.errors import InputError
from planner.planning.what_if.compared import Compared, ComparedPlan

MODEL, DEVICE = "qwen2.5-0.5b", "l40s"


@cache
def compared(model: str = MODEL, device: str = DEVICE, **asked: object) -> Compared:
    return planner.compare(model, device, context=4096, **asked)  # type: ignore[arg-type]


def row(found: Compared, name: str) -> ComparedPlan:
    return next(one for one in found.rows if one.name == name)


@pytest.mark.exhaustive
def test_rows_stand_in_their_order() -> None:
    kinds = [one.kind for one in compared().rows]
    assert kinds[:3] == ["recommended", "recipe", "released"]
    assert set(kinds[3:]) == {"uniform"}
    able = [one.feasible and one.within_limits for one in compared().rows[3:]]
    assert able == sorted(able, reverse=True)
    rates = [
        one.output_tokens_per_second_per_device.value
        for one in compared().rows[2:]
        if one.output_tokens_per_second_per_device is not None and one.within_limits
    ]
    assert rates == sorted(rates, reverse=True)
    assert len({one.name for one in compared().rows}) == len(compared().rows)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["fp8-tensor", "int8-w8a8", "int4-w4a16"])
def test_a_row_is_the_estimate_of_its_scheme(name: str) -> None:
    found = row(compared(engine="vllm"), name)
    alone = planner.estimate(
        MODEL,
        DEVICE,
        scheme=name,
        kv=found.kv,
        context=4096,
        engine="vllm",
        tp=found.tp,
        dp=found.dp,
        pp=found.pp,
        ep=found.ep,
        devices=found.devices,
        batch=found.users,
    )
    assert found.tpot_seconds is not None
    assert found.tpot_seconds.value == pytest.approx(alone.performance.tpot_seconds.value)
    assert found.tpot_seconds.high == pytest.approx(alone.performance.tpot_seconds.high)
    assert found.total_bytes_per_device == alone.memory_per_device.total_bytes
    assert found.loss == pytest.approx(alone.quality.loss)
    assert found.measured_anchor == alone.quality.measured_anchor


@pytest.mark.parametrize(
    ("model", "device", "asked"),
    [
        (MODEL, DEVICE, {"context": 4096}),
        ("deepseek-v3", "h200-sxm", {"devices": 8}),
        ("qwen3-8b", "rtx-4090", {}),
    ],
)
def test_the_recommended_row_is_the_plan(model: str, device: str, asked: dict[str, int]) -> None:
    found, plan = (
        planner.compare(model, device, **asked).rows[0],
        planner.plan(model, device, **asked),
    )
    assert found.output_tokens_per_second == plan.performance.output_tokens_per_second
    assert found.usd_per_million_output_tokens == plan.performance.usd_per_million_output_tokens
    assert found.loss == plan.quality.loss
    assert found.devices == plan.device.count
    assert found.engine.split(" ")[0] == plan.engine.name
    layout = plan.layout
    assert (found.tp, found.dp, found.pp, found.ep) == (layout.tp, layout.dp, layout.pp, layout.ep)


@pytest.mark.parametrize(
    ("model", "device", "asked"),
    [
        ("qwen3-8b", "rtx-4090", {"engine": "vllm", "kv": "bf16"}),
        ("llama-3.1-8b", "h100-sxm", {"engine": "vllm", "kv": "bf16"}),
    ],
)
def test_chances_and_reasons_are_those_of_the_plan(
    model: str, device: str, asked: dict[str, Any]
) -> None:
    """A row that the plan's own answer has beside it says the same there."""
    found, plan = planner.compare(model, device, **asked), planner.plan(model, device, **asked)
    best = found.rows[0]
    said = plan.recommendation
    assert said is not None
    assert best.probability_better is None
    alike = 0
    for other in said.alternatives:
        for one in found.rows[1:]:
            mine = one.output_tokens_per_second, one.kv, one.engine.split(" ")[0]
            if mine[0] is None or one.name not in other.name or mine[1] != other.kv:
                continue
            if mine[2] == other.engine and mine[0].value == other.output_tokens_per_second:
                alike += 1
                if other.why_not != "the same plan":
                    assert one.probability_better == other.probability_better, one.name
                    assert one.why_not == other.why_not, one.name
    assert alike


def test_blocks_of_gguf_are_rows_where_they_are_run() -> None:
    def blocks(device: str, **asked: object) -> set[str]:
        names = {one.name for one in compared("qwen3-0.6b", device, **asked).rows}
        return {name for name in names if name[:1] in "QI" or name.startswith("ggml-")}

    assert blocks("l40s") == set()
    consumer = blocks("rtx-4090")
    assert "Q4_K_M" in consumer
    assert not any(name.startswith("ggml-") for name in consumer), "nobody runs one type alone"
    assert "Q4_K_M" in blocks("l40s", engine="llama.cpp")
    rates = [one.name for one in compared("qwen3-0.6b", "rtx-4090").rows if one.feasible]
    assert not {"Q1_0", "Q2_0"} & set(rates[: len(rates) // 2])


def test_a_scheme_that_one_device_lacks_leaves_the_others() -> None:
    found = planner.compare(
        MODEL, ["h100-sxm", "a100-sxm"], context=4096, schemes=["fp8-tensor", "int8-w8a8"]
    )
    names = {
        device: [
            one.name
            for one in found.rows
            if one.device == device and one.feasible and one.kind == "uniform"
        ]
        for device in found.devices
    }
    assert "fp8-tensor" in names["h100-sxm"]
    assert "int8-w8a8" in names["a100-sxm"]
    assert [(one.device, one.scheme) for one in found.left_out] == [("a100-sxm", "fp8-tensor")]
    assert "FP8" in found.left_out[0].reason or "weight-only" in found.left_out[0].reason
    released = [one for one in found.rows if one.kind == "released"]
    assert all(one.feasible for one in released), "the checkpoint stands beside what was named"


def test_no_uniform_row_repeats_the_release() -> None:
    assert row(compared(), "as released").schemes == ("bf16",)
    assert "bf16" not in [one.name for one in compared().rows]


def test_what_the_device_lacks_has_its_reason() -> None:
    found = row(compared(), "nvfp4")
    assert not found.feasible
    assert "weight-only" in found.reason
    assert found.devices is None
    assert found.loss is None


def test_what_does_not_fit_has_its_reason_and_a_narrow_scheme_stands() -> None:
    found = planner.compare("llama-3.1-70b", "l40s", devices=1, engine="vllm", context=2048)
    assert "GiB a device" in row(found, "as released").reason
    recommended = found.rows[0]
    assert recommended.feasible, "the default limit on loss is a preference"
    assert recommended.loss is not None
    assert recommended.loss > 0
    assert row(found, "int4-w4a16").feasible


@pytest.mark.exhaustive
def test_a_limit_that_none_keeps_is_told() -> None:
    found = planner.compare(MODEL, DEVICE, context=4096, tpot_seconds=1e-5, engine="vllm")
    assert not found.rows[0].feasible
    late = row(found, "fp8-tensor")
    assert late.feasible
    assert not late.within_limits
    fastest = planner.estimate(
        MODEL,
        DEVICE,
        scheme="fp8-tensor",
        kv=late.kv,
        context=4096,
        engine="vllm",
        objective="latency",
        tpot_seconds="none",
    )
    assert late.tpot_seconds is not None
    assert late.tpot_seconds.value == pytest.approx(
        fastest.performance.tpot_seconds.value, rel=0.02
    )


@pytest.mark.exhaustive
def test_a_narrow_cache_is_taken_where_it_is_named() -> None:
    assert {one.kv for one in compared(engine="any").rows[1:] if one.feasible} <= {
        "bf16",
        "fp16",
        "fp8",
        "int8-token",
    }
    named = planner.compare(MODEL, DEVICE, context=4096, engine="any", kv="int4-token")
    assert {one.kv for one in named.rows if one.feasible} == {"int4-token"}


@pytest.mark.exhaustive
def test_named_schemes_have_their_rows() -> None:
    found = planner.compare(
        MODEL, DEVICE, context=4096, schemes=["fp8-tensor", "fp16"], engine="any"
    )
    assert row(found, "fp8-tensor").feasible
    assert row(found, "fp16").feasible
    assert "fp16" not in [one.name for one in compared(engine="any").rows]
    assert [one for one in found.rows if one.name == "int8-block" and one.feasible] == []


@pytest.mark.exhaustive
def test_a_price_is_of_all_devices_or_by_name() -> None:
    one = planner.compare(
        MODEL, ["l40s", "a100-sxm"], context=4096, price={"l40s": 1.8}, engine="vllm"
    )
    l40s, a100 = (
        next(r for r in one.rows if (r.device, r.kind) == (d, "released"))
        for d in ("l40s", "a100-sxm")
    )
    usd, rate = l40s.usd_per_million_output_tokens, l40s.output_tokens_per_second_per_device
    assert usd is not None
    assert rate is not None
    assert usd.value == pytest.approx(1.8 / 3600 / rate.value * 1e6)
    every = planner.compare(MODEL, ["l40s", "a100-sxm"], context=4096, price=3.6, engine="vllm")
    again = next(r for r in every.rows if (r.device, r.kind) == ("l40s", "released"))
    assert again.usd_per_million_output_tokens is not None
    assert again.usd_per_million_output_tokens.value == pytest.approx(2 * usd.value)
    assert a100.joules_per_output_token is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"price": -1.0}, "price -1.0"),
        ({"price": {"h100-sxm": 2.0}}, "not compared"),
        ({"model": []}, "no model is named"),
        ({"device": ["l40s", "L40S"]}, "named twice"),
        ({"model": ["nope"]}, "nope"),
        ({"isl": 1 << 20, "osl": 1 << 20}, "context"),
    ],
)
def test_bad_input_is_an_error_before_anything_is_priced(
    change: dict[str, object], words: str
) -> None:
    asked = {"model": MODEL, "device": DEVICE, **change}
    with pytest.raises(InputError, match=words) as caught:
        planner.compare(**asked)  # type: ignore[arg-type]
    assert caught.value.hint


def test_the_frame_has_a_row_a_plan_and_figures_with_intervals() -> None:
    found = compared()
    frame = found.to_frame()
    assert len(frame) == len(found.rows)
    able = frame[frame["devices"].notna()]
    assert (able["tpot_seconds_low"] < able["tpot_seconds"]).all()
    assert (able["tpot_seconds"] < able["tpot_seconds_high"]).all()
    assert frame["name"].tolist() == [one.name for one in found.rows]
    assert found.to_dict()["rows"][0]["name"] == "recommended"


def priced(tmp_path: Path, **more: Any) -> tuple[float | None, str]:
    """The price that a comparison takes with a scenario that has its own, and who says so."""
    file = tmp_path / "mine.toml"
    file.write_text(
        'title = "Mine"\nquestion = "?"\n[host]\nprice_usd_per_hour = 9.0\n', encoding="utf-8"
    )
    found = planner.compare(
        "smollm2-135m",
        "h100-sxm",
        context=1024,
        devices=1,
        engine="vllm",
        schemes=["bf16"],
        scenario=str(file),
        **more,
    )
    usd, rate = (
        found.rows[1].usd_per_million_output_tokens,
        found.rows[1].output_tokens_per_second_per_device,
    )
    price = found.pairs[0].price_usd_per_hour
    assert usd is not None
    assert rate is not None
    assert usd.value == pytest.approx((price or 0.0) / 3600 / rate.value * 1e6)
    return price, found.pairs[0].price_source


def test_a_price_that_is_given_stands_before_the_scenarios(tmp_path: Path) -> None:
    assert priced(tmp_path, price=2.0) == (2.0, "given")
    assert (compared().pairs[0].price_usd_per_hour, compared().pairs[0].price_source) == (None, "")


@pytest.mark.exhaustive
def test_a_scenarios_price_stands_before_the_profiles(tmp_path: Path) -> None:
    assert priced(tmp_path) == (9.0, "the scenario's")
    found = planner.compare(
        "smollm2-135m", "h100-sxm", context=1024, engine="vllm", schemes=["bf16"]
    )
    assert (found.pairs[0].price_usd_per_hour, found.pairs[0].price_source) == (
        3.0,
        "the device profile's",
    )
