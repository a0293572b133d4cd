"""Configurations of releases and of other tools, read as plans."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.export.plan_files import export_plan, import_plan
from planner.export.read_back import imported_assignment, read_configuration
from planner.models import catalog
from planner.models.catalog import bundled_model

CONFIGS = Path(catalog.__file__).parent / "configs"


@pytest.mark.parametrize(
    ("config", "scheme"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "int4-w4a16"),
        (
            {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": False},
            "int4-w4a16-g32",
        ),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8-tensor"),
        (
            {"quant_method": "fp8", "weight_block_size": [128, 128], "scale_fmt": "ue8m0"},
            "fp8-block-ue8m0",
        ),
    ],
)
def test_uniform_configurations(config: dict[str, Any], scheme: str) -> None:
    spec = bundled_model("llama-3.1-8b")
    found = read_configuration(json.dumps(config).encode(), "config.json", spec)
    one = imported_assignment(found)
    assert {name for (kind, _), name in one.decided().items() if not kind.startswith("kv")} == {
        scheme
    }
    assert one.quantised()[0].planned
    assert [linear.scheme for linear in one.linears if linear.kind == "head"] == ["bf16"]
    assert any("no cache layout is named" in note for note in found.notes)


def test_mxfp4_experts_in_one_tensor() -> None:
    spec = bundled_model("gpt-oss-20b")
    text = (CONFIGS / "gpt-oss-20b.json").read_bytes()
    one = imported_assignment(read_configuration(text, "config.json", spec))
    by_kind = {kind: name for (kind, _), name in one.decided().items()}
    assert by_kind["experts-down"] == "mxfp4-w4a16"
    assert by_kind["attention-out"] == "bf16"


def test_a_matrix_of_its_own_is_listed() -> None:
    """One of q, k and v in another scheme: a plan has one a kind and layer."""
    spec = bundled_model("llama-3.1-8b")
    config = {
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": ["lm_head", "model.layers.3.self_attn.v_proj"],
    }
    found = read_configuration(json.dumps(config).encode(), "config.json", spec)
    notes = found.notes
    assert any("attention-qkv of layers 3 is in bf16 and fp8-block" in note for note in notes)


def test_nvidias_plan_of_deepseek_is_priced_and_written_again() -> None:
    """DeepSeek-V3.1 in NVFP4 as NVIDIA released it, priced on b200-sxm; exported it reads the
    same."""
    file = CONFIGS / "deepseek-v3.1-nvfp4.hf_quant_config.json"
    plan = import_plan(file, "deepseek-v3.1", "b200-sxm", devices=8, tp=8, ep=8, batch=64)
    schemes = {unit.kind: unit.scheme for unit in plan.units}
    assert schemes["experts-down"] == schemes["attention-out"] == "nvfp4"
    assert schemes["mla-q"] == schemes["mla-kv"] == "bf16"
    assert {unit.kv_layout for unit in plan.units if unit.kv_layout} == {"fp8"}
    assert any(a.key == "imported" for a in plan.assumptions)
    found = export_plan(plan, "modelopt")
    theirs = json.loads(file.read_bytes())["quantization"]
    ours = json.loads(found.files["hf_quant_config.json"])["quantization"]
    assert ours["quant_algo"] == theirs["quant_algo"] == "NVFP4"
    assert ours["kv_cache_quant_algo"] == theirs["kv_cache_quant_algo"]
    main = {name for name in theirs["exclude_modules"] if not name.startswith("model.layers.61")}
    plain = {name for name in ours["exclude_modules"] if not name.startswith("model.layers.61")}
    routers = {name for name in plain - main if name.endswith(".mlp.gate")}
    assert plain - routers == main - {name for name in main if name.endswith(".mlp.gate")}
