"""per-layer-sensitivity.json of ModelOpt, and presets that hold no losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.t0 import t0_level

from planner.base.errors import DataError, PlannerError, UnsupportedError
from planner.lab.profiling.profile import profile
from planner.quality.profile import Profile

LLAMA = "llama-3.1-8b"
LINEARS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")


def summary(
    recipe: object = ("NVFP4_DEFAULT_CFG",), layers: int = 32, prefix: str = "model.layers"
) -> dict[str, Any]:
    listed = [
        {
            "layer": f"{prefix}.{n}.{linear}",
            "num_bits": 4.0,
            "sensitivity": (n + 1) * (i + 1) * 1e-3,
            "size_cost": 1e6,
        }
        for n in range(layers)
        for i, linear in enumerate(LINEARS)
    ]
    listed.append({"layer": "lm_head", "num_bits": 4.0, "sensitivity": 0.1, "size_cost": 1e8})
    return {
        "scheme": {"name": "s", "quant_formats": list(recipe)},  # type: ignore[call-overload]
        "model": {"id": "x"},
        "autoquant_state": {"keys": ["candidate_stats"]},
        "layer_sensitivity": listed,
    }


def imported(
    folder: Path, data: object, name: str = "per-layer-sensitivity.json", model: str = LLAMA
) -> Profile:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return profile(model, scores=path)


def test_the_error_of_the_recipe_is_taken_out(tmp_path: Path) -> None:
    found = imported(tmp_path, summary())
    assert (found.tier, found.unit, found.anchor) == ("T3", "nats", "fp8-block")
    assert found.uniform_loss("fp8-block") == pytest.approx(t0_level(found, "fp8-block"), rel=1e-4)
    down, qkv = found.by_unit["mlp-down", 3], found.by_unit["attention-qkv", 3]
    assert down.loss["nvfp4"] / qkv.loss["nvfp4"] == pytest.approx(4, rel=1e-3)
    assert found.by_unit["mlp-down", 31].alpha / found.by_unit[
        "mlp-down", 0
    ].alpha == pytest.approx(32, rel=1e-3)
    assert any("head" in note and "not used" in note for note in found.notes)


def test_a_recipe_without_a_counterpart_gives_the_order_alone(tmp_path: Path) -> None:
    found = imported(tmp_path, summary(("CUSTOM_INT3_CFG",)))
    assert any("CUSTOM_INT3_CFG" in note and "order" in note for note in found.notes)
    down, qkv = found.by_unit["mlp-down", 3], found.by_unit["attention-qkv", 3]
    assert down.alpha / qkv.alpha == pytest.approx(4, rel=1e-3)


def test_vision_and_prefixes_are_known(tmp_path: Path) -> None:
    data = summary(layers=40)
    data["layer_sensitivity"] = [
        {
            "layer": f"model.language_model.layers.{n}.mlp.shared_expert.{name}",
            "num_bits": 8.0,
            "sensitivity": 0.5,
        }
        for n in range(40)
        for name in ("gate_proj", "down_proj")
    ]
    data["layer_sensitivity"] += [
        {"layer": f"model.layers.{n}.mlp.experts.3.down_proj", "num_bits": 8.0, "sensitivity": 0.25}
        for n in range(40)
    ]
    data["layer_sensitivity"] += [
        {"layer": "model.visual.blocks.0.attn.qkv", "num_bits": 16.0, "sensitivity": 0.0},
        {"layer": "model.visual.blocks.1.attn.qkv", "num_bits": 4.0, "sensitivity": 0.1},
    ]
    found = imported(tmp_path, data, model="qwen3.5-35b-a3b")
    assert found.by_unit["shared-down", 5].alpha > 0
    assert found.by_unit["experts-down", 5].alpha > 0
    assert found.by_unit["experts-gate-up", 5].alpha == 0  # one decision with down
    assert any("one decision" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer_sensitivity": {}}, "not a list"),
        ({"layer_sensitivity": []}, "no scores"),
        ({"layer_sensitivity": [{"num_bits": 4}]}, "no layer"),
        ({"layer_sensitivity": [3]}, "no layer"),
        (
            {"layer_sensitivity": [{"layer": "x", "num_bits": 4.0, "sensitivity": 1}]},
            "no module 'x'",
        ),
        (
            {"layer_sensitivity": [{"layer": "x", "num_bits": [4, 8], "sensitivity": 1}]},
            "one number",
        ),
        ({"layer_sensitivity": [{"layer": "x", "num_bits": 4.0, "sensitivity": -1}]}, "not a loss"),
        ({"layer_sensitivity": [{"layer": "x", "num_bits": 4.0}]}, "not a number"),
        ({"layer_sensitivity": [{"layer": "x", "num_bits": 4.0, "sensitivity": 1}] * 2}, "twice"),
        (
            {
                "layer_sensitivity": [
                    {"layer": f"model.layers.{n}.mlp.down_proj", "num_bits": 4.0, "sensitivity": 0}
                    for n in range(32)
                ]
            },
            "no unit has a loss",
        ),
        ({"scheme": {"quant_formats": ["A", "B"]}}, "2 recipes"),
        ({"scheme": {"quant_formats": ["none"]}}, "changes nothing"),
    ],
)
def test_bad_summaries(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        imported(tmp_path, summary() | change)
    assert caught.value.hint


def test_a_summary_of_another_depth(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of layer 16 of llama-3\.1-8b"):
        imported(tmp_path, summary(layers=16))


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        (
            "p.yaml",
            "0:\n  nbits_key: 8\n  nbits_value: 4\n",
            UnsupportedError,
            "KVTuner preset.* 1 ",
        ),
        ("p.json", '{"0": {"nbits_key": 8, "nbits_value": 4}}', UnsupportedError, "no losses"),
        ("p.yml", "a: 1\n", DataError, "YAML"),
    ],
)
def test_presets_hold_no_losses(
    tmp_path: Path, name: str, text: str, error: type[PlannerError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        imported(tmp_path, text, name)
    assert caught.value.hint
