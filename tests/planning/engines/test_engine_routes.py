"""Where an engine runs a scheme on another's kernel, the price and the answer follow it."""

from __future__ import annotations

import pytest

from planner.base.errors import UnsupportedError
from planner.lookup import load_device
from planner.memory.engines.catalog import parse_engine
from planner.planning.engines.routes import route, same_weights, weight_only_route
from planner.planning.plan.record import Plan
from tests.support import theory

CT = "compressed-tensors"


def runs_as(
    engine: str, device: str, scheme: str, group: str = "dense", container: str = CT
) -> str:
    found = route(parse_engine(engine), load_device(device), scheme, group, container)
    return scheme if found is None else found.runs_as


def seconds(plan: Plan, kinds: str) -> float:
    return sum(u.prefill_seconds for u in plan.units if u.kind.startswith(kinds))


def told(plan: Plan) -> str:
    return "; ".join(f"{a.key}: {a.value} {a.reason}" for a in plan.assumptions)


@pytest.mark.parametrize(
    ("engine", "device", "scheme", "group", "container", "expected"),
    [
        ("vllm@0.33", "l40s", "fp8-block", "dense", CT, "fp8-w8a16"),
        ("vllm@0.33", "l40s", "fp8-block", "experts", CT, "fp8-block"),
        ("vllm@0.24", "l40s", "fp8-block", "dense", CT, "fp8-block"),
        ("vllm", "h100-sxm", "nvfp4", "dense", CT, "nvfp4-w4a16"),
        ("vllm", "b200-sxm", "nvfp4", "dense", CT, "nvfp4"),
        ("vllm", "b200-sxm", "fp8-tensor", "experts", CT, "fp8-w8a16"),
        ("vllm", "b200-sxm", "fp8-tensor", "experts", "modelopt-mixed", "fp8-tensor"),
        ("vllm", "b200-sxm", "fp8-tensor", "dense", CT, "fp8-tensor"),
        ("vllm", "a100-sxm", "int8-w8a8", "dense", CT, "int8-w8a8"),
        ("sglang@0.5.23", "h100-sxm", "nvfp4", "experts", CT, "nvfp4-w4a16"),
        ("sglang@0.5.8", "h100-sxm", "nvfp4", "experts", CT, "nvfp4"),
        ("tensorrt-llm", "h100-sxm", "nvfp4", "dense", CT, "nvfp4"),
    ],
)
def test_the_kernel_that_runs(
    engine: str, device: str, scheme: str, group: str, container: str, expected: str
) -> None:
    assert runs_as(engine, device, scheme, group, container) == expected


def test_no_engine_no_route() -> None:
    assert route(None, load_device("l40s"), "fp8-block", "dense", CT) is None
    assert weight_only_route(None, load_device("h100-sxm"), "nvfp4", ["dense"]) is None


def test_twins_multiply_the_stored_weights() -> None:
    assert same_weights("nvfp4")
    assert same_weights("fp8-block-ue8m0")
    assert not same_weights("fp8-tensor")
    assert not same_weights("bf16")


def test_block_fp8_on_ada_costs_what_the_weight_only_kernel_takes() -> None:
    def at(engine: str, scheme: str) -> Plan:
        return theory.estimate(
            "llama-3.1-8b",
            "l40s",
            scheme=scheme,
            engine=engine,
            context=4096,
            batch=48,
            tp=1,
            devices=1,
        )

    new, old = at("vllm@0.33", "fp8-block"), at("vllm@0.24", "fp8-block")
    twin, free = at("vllm@0.33", "fp8-w8a16"), at("any", "fp8-block")
    assert seconds(new, "mlp") == pytest.approx(seconds(twin, "mlp"), rel=0.02)
    assert seconds(new, "mlp") != pytest.approx(seconds(old, "mlp"), rel=0.05)
    assert seconds(free, "mlp") == pytest.approx(seconds(old, "mlp"), rel=0.05)
    assert "MarlinFP8ScaledMMLinearKernel by vllm 0.33 on l40s: weight-only" in told(new)
    assert "kernel of" not in told(old)
    assert "kernel of" not in told(free)
    assert new.quality.loss < old.quality.loss  # activations are not rounded


def test_a_release_without_a_unit_here_is_served_weight_only_where_the_engine_does() -> None:
    plan = theory.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="nvfp4", engine="vllm", context=4096, batch=8
    )
    assert {u.scheme for u in plan.units if u.kind == "mlp-down"} == {"nvfp4-w4a16"}
    assert "weight-only, priced as nvfp4-w4a16" in told(plan)
    for engine in ("any", "tensorrt-llm"):
        with pytest.raises(UnsupportedError, match="nvfp4"):
            theory.estimate(
                "llama-3.1-8b", "h100-sxm", scheme="nvfp4", engine=engine, context=4096, batch=8
            )


def test_the_checkpoint_format_whose_experts_run_in_fp8_is_taken() -> None:
    plan = theory.estimate(
        "qwen3-30b-a3b", "h100-sxm", scheme="fp8-tensor", engine="vllm", context=4096, batch=64
    )
    assert "as" in told(plan)
    assert "modelopt-mixed" in told(plan)
    assert "kernel of" not in told(plan)


def test_experts_in_int8_run_on_sglang_by_the_flag_that_its_command_sets() -> None:
    plan = theory.estimate(
        "qwen3-30b-a3b", "a100-sxm", scheme="int8-w8a8", engine="sglang", context=4096
    )
    assert {u.scheme for u in plan.units if u.kind == "experts-down"} == {"int8-w8a8"}


def test_refusals_name_the_engine_and_where_it_was_read() -> None:
    for engine, device, scheme in (
        ("vllm@0.33", "b200-sxm", "int8-w8a8"),
        ("sglang", "b200-sxm", "int8-w8a8"),
        ("vllm@0.33", "h100-sxm", "int8-w8a16"),
    ):
        with pytest.raises(UnsupportedError, match=scheme) as raised:
            theory.estimate("qwen3-30b-a3b", device, scheme=scheme, engine=engine, context=4096)
        assert engine.partition("@")[0] in str(raised.value)
