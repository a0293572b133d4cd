"""Engines refuse, or take in silence, what an export would give them: it is said before."""

import json
from dataclasses import replace

import pytest
from support.exports import assignment, planned_keys

import planner
from planner.base.errors import UnsupportedError
from planner.export import compressed_tensors, fp8, modelopt
from planner.export.lint import split_fused_layers
from planner.export.run import export_plan
from planner.models.catalog import bundled_model
from planner.planning.plan.record import Plan

LLAMA = "llama-3.1-8b"


def uniform(model: str, device: str, scheme: str, **more: int) -> Plan:
    """Of no engine: what each of them makes of it is asked."""
    return planner.estimate(model, device, scheme=scheme, batch=4, engine="any", **more)


def written(plan: Plan, target: str, engine: str = "any") -> dict[str, str]:
    spec, device = bundled_model(plan.model.id), planner.load_device(plan.device.id)
    found = export_plan(plan, spec, device, target, engine)
    return {one.engine.name: one.status for one in found.findings}


def test_int8_is_refused_by_vllm_on_blackwell_only() -> None:
    plan = uniform(LLAMA, "b200-sxm", "int8-w8a8", devices=1)
    assert written(plan, "compressed-tensors") == {"vllm": "no", "sglang": "no"}
    with pytest.raises(UnsupportedError, match="INT8 W8A8 raises at the first product"):
        written(plan, "compressed-tensors", "vllm")
    hopper = uniform(LLAMA, "h100-sxm", "int8-w8a8", devices=1)
    assert written(hopper, "compressed-tensors") == {"vllm": "yes", "sglang": "yes"}


def test_the_plans_own_engine_is_asked() -> None:
    plan = uniform(LLAMA, "b200-sxm", "int8-w8a8", devices=1)
    own = replace(plan, engine=replace(plan.engine, name="vllm", version="0.21"))
    with pytest.raises(UnsupportedError, match=r"vllm 0\.21"):
        written(own, "compressed-tensors", "")
    with pytest.raises(UnsupportedError, match="does not read torchao"):
        written(uniform(LLAMA, "h100-sxm", "int8-w8a8", devices=1), "torchao", "vllm")


def test_a_mixture_names_only_what_modelopt_readers_dispatch() -> None:
    spec = bundled_model(LLAMA)
    first = {key: "nvfp4" for key in planned_keys(spec) if key[1] == 0}
    with pytest.raises(UnsupportedError, match="unquantised in silence"):
        modelopt.export(assignment(spec, first, rest="fp8-channel"))
    data = json.loads(
        modelopt.export(assignment(spec, first, rest="fp8-tensor")).files["hf_quant_config.json"]
    )["quantization"]
    assert data["quant_algo"] == "MIXED_PRECISION"
    assert data["quantized_layers"]["model.layers.0.mlp.up_proj"] == {
        "quant_algo": "NVFP4",
        "group_size": 16,
    }
    assert data["quantized_layers"]["model.layers.1.mlp.up_proj"] == {"quant_algo": "FP8"}


def test_the_compressed_queries_and_latent_are_one_matrix() -> None:
    """q_a and kv_a of a layer are fused by the servers; apart they are refused."""
    plan = uniform("deepseek-v3.1", "h200-sxm", "fp8-block", devices=16, tp=8, dp=2, ep=16)
    units = tuple(replace(u, scheme="bf16") if u.kind == "mla-kv" else u for u in plan.units)
    assert written(replace(plan, units=units), "compressed-tensors")["vllm"] == "no"
    assert written(plan, "compressed-tensors")["vllm"] == "yes"


def test_parts_of_one_matrix_agree() -> None:
    spec = bundled_model(LLAMA)
    one = assignment(spec, {}, rest="fp8-channel")
    assert split_fused_layers(one) == []
    odd = tuple(
        replace(linear, scheme="int8-w8a8") if linear.module.endswith("k_proj") else linear
        for linear in one.linears
    )
    assert len(split_fused_layers(replace(one, linears=odd))) == spec.layers


def test_experts_in_one_tensor_have_no_names() -> None:
    spec = bundled_model("gpt-oss-20b")
    with pytest.raises(UnsupportedError, match="one tensor"):
        compressed_tensors.export(assignment(spec, {}, rest="mxfp4-w4a16"))


def test_schemes_without_a_word_are_refused() -> None:
    spec = bundled_model(LLAMA)
    with pytest.raises(UnsupportedError, match=r"mlp-gate-up of layers 0-31 in int8-block|int8-b"):
        compressed_tensors.export(assignment(spec, {}, rest="int8-block"))
    with pytest.raises(UnsupportedError, match="one block format"):
        fp8.export(assignment(spec, {("mlp-down", 3): "fp8-block"}, rest="fp8-channel"))


def test_caches_that_the_configuration_cannot_say_are_listed() -> None:
    spec = bundled_model(LLAMA)
    found = compressed_tensors.export(assignment(spec, {}, rest="fp8-channel", kv="int8-token"))
    assert json.loads(found.files["quantization_config.json"])["kv_cache_scheme"] is None
    assert [note.split(":")[0] for note in found.notes] == [
        "kv-k of layers 0-31 in int8-token",
        "kv-v of layers 0-31 in int8-token",
    ]
