"""Every bundled scenario is answered, and the answer respects what its question asks."""

from functools import cache
from pathlib import Path

import pytest

import planner
from planner.base.units import GIB
from planner.formats.schemes import scheme
from planner.hardware.profile import DeviceProfile
from planner.planning.plan.record import Plan
from planner.planning.question.scenarios import load_scenario, scenario_ids
from planner.throughput.kernels import kernel
from tests.support import theory

README = Path(__file__).resolve().parents[2] / "scenarios" / "README.md"
LINEAR = ("attention-", "mla-", "mlp-", "experts-", "shared-")


@cache
def answered(name: str) -> Plan:
    return theory.plan(scenario=name)


def linear_schemes(plan: Plan) -> set[str]:
    return {u.scheme for u in plan.units if u.kind.startswith(LINEAR)}


def linear_formats(plan: Plan) -> set[str | None]:
    return {
        f
        for u in plan.units
        if u.kind.startswith(LINEAR)
        for f in (u.weight_format, u.activation_format)
    }


def device_of(name: str) -> DeviceProfile:
    return planner.load_device(load_scenario(name).values["device"])


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", scenario_ids())
def test_the_answer_is_proved_and_keeps_the_limits_of_the_question(name: str) -> None:
    plan, values = answered(name), load_scenario(name).values
    assert plan.model.id == values["model"]
    assert plan.device.id == values["device"]
    assert plan.device.count == values["devices"]
    assert plan.solver.proved
    assert plan.memory_per_device.total_bytes <= plan.memory_per_device.usable_bytes
    if "schemes" in values:
        assert linear_schemes(plan) <= set(values["schemes"])
    if values.get("tpot_ms", "none") != "none":
        assert plan.performance.tpot_seconds.value <= values["tpot_ms"] * 1e-3
    if "batch" in values:
        assert plan.workload.batch == values["batch"]
    if "max_loss" in values:
        limit = theory.estimate(
            values["model"], values["device"], scheme=values["max_loss"], scenario=name
        ).quality.loss
        assert plan.quality.loss <= limit * (1 + 1e-9)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", scenario_ids())
def test_the_scenario_is_named_among_the_assumptions(name: str) -> None:
    notes = {a.key: a for a in answered(name).assumptions}
    assert notes["scenario"].value == name
    assert notes["scenario"].reason == load_scenario(name).title


@pytest.mark.parametrize("name", scenario_ids())
def test_title_and_question_are_plain_text_and_in_the_readme(name: str) -> None:
    found = load_scenario(name)
    assert len(found.title) <= 60
    assert found.question.endswith("?") or found.question.endswith(".")
    assert "\n" not in found.question
    assert "  " not in found.question
    assert f"| `{name}` |" in README.read_text(encoding="utf-8")


def test_throughput_in_fp8_on_h100_keeps_the_experts_in_fp8() -> None:
    plan = answered("h100-fp8-throughput")
    experts = [u for u in plan.units if u.kind.startswith("experts-")]
    assert "fp8-block" in {u.scheme for u in experts} <= {"fp8-block", "fp8-channel"}
    # Under the limits of the question: without them a larger batch is slower for each user.
    uniform = theory.plan(
        scenario="h100-fp8-throughput", schemes=["bf16"], kv="bf16", devices=32, engine="any"
    )
    assert (
        plan.performance.output_tokens_per_second_per_device.value
        > uniform.performance.output_tokens_per_second_per_device.value
    )


@pytest.mark.exhaustive
def test_the_engine_of_a_scenario_counts_and_a_given_one_replaces_it() -> None:
    assert answered("h100-fp8-throughput").engine.name == "vllm"
    assert theory.plan(scenario="h100-fp8-throughput", engine="any").engine.name == "any"


def test_a_compressed_cache_takes_fewer_bytes_and_holds_more_users_than_bf16() -> None:
    small = answered("h100-128k-compressed-kv")
    lies = {"tp": small.layout.tp, "pp": small.layout.pp}  # every rank of tp has the latents whole
    plain = theory.plan(scenario="h100-128k-compressed-kv", kv="bf16", **lies)
    assert small.workload.context_tokens == 131_072
    assert small.kv_cache.bytes_per_token == 61 * 656
    assert plain.kv_cache.bytes_per_token == 61 * 1152
    assert small.capacity.max_concurrency_at_context > plain.capacity.max_concurrency_at_context


def test_blackwell_uses_fp4_arithmetic_and_gains_over_fp8() -> None:
    plan = answered("b200-fp4")
    assert "nvfp4" in linear_schemes(plan)
    fp8 = theory.plan(scenario="b200-fp4", schemes=["bf16", "fp8-block"], max_loss="fp8-block")
    assert (
        plan.performance.output_tokens_per_second.value
        > fp8.performance.output_tokens_per_second.value
    )


def test_xeon_widens_fp8_in_software_within_the_memory_of_the_scenario() -> None:
    plan, device = answered("xeon-fp8-in-software"), device_of("xeon-fp8-in-software")
    assert device.rate("fp8") is None
    assert kernel(device, "fp8-block").path == "software"
    assert "fp8-block" in linear_schemes(plan)
    assert plan.memory_per_device.capacity_bytes == 1024 * GIB
    assert device.capacity_bytes.value == 512 * GIB
    alone = theory.estimate(scheme="bf16", scenario="xeon-fp8-in-software")
    assert plan.performance.tpot_seconds.value < alone.performance.tpot_seconds.value


def test_orin_uses_int8_and_no_fp8_or_fp4_anywhere() -> None:
    plan = answered("orin-int8")
    assert "int8" in linear_formats(plan)
    assert linear_formats(plan) <= {"int8", "fp16", "bf16"}
    assert not any("fp8" in u.scheme or "fp4" in u.scheme for u in plan.units)


def test_thor_uses_fp4_within_the_time_of_a_token() -> None:
    plan = answered("thor-fp4")
    assert "e2m1" in linear_formats(plan)
    assert device_of("thor-fp4").unified_memory


def test_a100_uses_int8_by_int8_where_fp16_and_int8_are_to_choose_from() -> None:
    plan = answered("a100-fp16-int8")
    assert linear_schemes(plan) == {"int8-w8a8"}
    assert not any("fp8" in u.scheme for u in plan.units)


def test_high_precision_is_fp32_in_every_linear_and_in_the_cache() -> None:
    plan = answered("h200-fp32")
    assert linear_schemes(plan) == {"fp32"}
    assert linear_formats(plan) == {"fp32"}
    assert {u.kv_layout for u in plan.units if u.kv_layout} == {"fp32"}
    assert plan.quality.loss == 0
    assert scheme("fp32").weight.scale is None
