"""measurement.json of ExLlamaV2 and V3."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.t0 import t0_level

from planner.base.errors import DataError
from planner.lab.profiling.profile import profile
from planner.lab.scores.exllama import read_v2, read_v3
from planner.quality.profile import Profile

LLAMA = "llama-3.1-8b"
BITS = ((2, 4), (3, 3), (4, 3), (4, 6), (6, 4), (8, 8))


def _projection(bits: float) -> dict[str, Any]:
    return {"group_size": {"4": 64}, "bits": [bits], "bits_prop": [1.0], "scale_bits": 4}


def block(names: tuple[tuple[str, ...], ...], alphas: tuple[float, ...]) -> list[dict[str, Any]]:
    """Options whose errors follow the sensitivities of two kinds exactly."""
    options = []
    for pair in BITS:
        bits = pair[: len(names)]
        power = sum(a * 4.0**-b for a, b in zip(alphas, bits, strict=True))
        options.append(
            {"accuracy": 1 - math.sqrt(power), "total_bits": 1}
            | {name: _projection(b) for own, b in zip(names, bits, strict=True) for name in own}
        )
    return options


def v2(layers: int = 32) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    for n in range(layers):
        measured[f"model.layers.{n}.self_attn"] = block(
            (("q_proj", "k_proj", "v_proj"), ("o_proj",)), (0.01 * (n + 1), 0.02)
        )
        measured[f"model.layers.{n}.mlp"] = block(
            (("gate_proj", "up_proj"), ("down_proj",)), (0.03, 0.05)
        )
    return {
        "measurement": measured | {"model.norm.norm": None, "lm_head.linear": None},
        "last_module_idx": 2 * layers + 2,
    }


def v3(layers: int = 32) -> dict[str, Any]:
    groups = []
    for n in range(layers):
        for names, alpha in (
            ((("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")), 0.5),
            (("self_attn.o_proj",), 0.2),
            (("mlp.gate_proj", "mlp.up_proj"), 0.8),
            (("mlp.down_proj",), 1.0 + n),
        ):
            groups.append(
                {
                    "idx": len(groups),
                    "layers": [f"model.layers.{n}.{name}" for name in names],
                    "candidates": [
                        {"dkld": -alpha * (4.0**-3 - 4.0**-b), "dbits": 1000} for b in (4.0, 6.0)
                    ],
                }
            )
    return {
        "base": {"dir": "/m/3.0", "bpw": 3.0},
        "alts": [{"dir": "/m/4.0", "bpw": 4.0}, {"dir": "/m/6.0", "bpw": 6.0}],
        "groups": groups,
        "base_kld": 0.05,
        "arch_string": "LlamaForCausalLM",
    }


def imported(folder: Path, data: object, model: str = LLAMA) -> Profile:
    path = folder / "measurement.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return profile(model, scores=path)


def test_v2_tells_the_kinds_of_a_block_apart(tmp_path: Path) -> None:
    found = imported(tmp_path, v2())
    assert (found.tier, found.unit, found.anchor) == ("T3", "nats", "fp8-block")
    assert found.uniform_loss("fp8-block") == pytest.approx(t0_level(found, "fp8-block"), rel=1e-4)
    alpha = {key: unit.alpha for key, unit in found.by_unit.items()}
    assert alpha["attention-qkv", 9] / alpha["attention-out", 9] == pytest.approx(5, rel=1e-4)
    assert alpha["mlp-down", 9] / alpha["mlp-gate-up", 9] == pytest.approx(5 / 3, rel=1e-4)
    assert alpha["attention-qkv", 31] / alpha["attention-qkv", 0] == pytest.approx(32, rel=1e-4)
    assert any("own output" in note for note in found.notes)


@given(st.floats(1e-4, 1), st.floats(1e-4, 1))
def test_v2_gives_back_what_made_the_errors(first: float, second: float) -> None:
    data = {
        "measurement": {
            "model.layers.0.mlp": block((("gate_proj", "up_proj"), ("down_proj",)), (first, second))
        }
    }
    scores = read_v2(data, "m")
    assert [entry.value for entry in scores.entries] == pytest.approx([first, second], rel=1e-3)


def test_v2_of_experts_and_parallel_decoders(tmp_path: Path) -> None:
    measured: dict[str, Any] = {}
    for n in range(32):
        measured[f"model.layers.{n}.self_attn"] = block(
            (("q_proj", "k_proj", "v_proj"), ("o_proj",)), (0.01, 0.02)
        )
        measured[f"model.layers.{n}.block_sparse_moe"] = block(
            (("w1", "w3"), ("w2",)), (0.03, 0.06)
        )
    found = imported(tmp_path, {"measurement": measured}, "mixtral-8x7b")
    ratio = found.by_unit["experts-down", 4].alpha / found.by_unit["experts-gate-up", 4].alpha
    assert ratio == pytest.approx(2, rel=1e-4)
    one = v2(1)["measurement"]
    both = {"attn": one["model.layers.0.self_attn"], "mlp": one["model.layers.0.mlp"]}
    scores = read_v2({"measurement": {"model.layers.0.parallel_decoder": both}}, "m")
    assert {entry.modules[0] for entry in scores.entries} == {
        "attention-qkv.0",
        "attention-out.0",
        "mlp-gate-up.0",
        "mlp-down.0",
    }


def test_options_that_do_not_tell_kinds_apart_share_evenly() -> None:
    options = [
        {
            "accuracy": 1 - math.sqrt(4.0**-b),
            "gate_proj": _projection(b),
            "up_proj": _projection(b),
            "down_proj": _projection(b),
        }
        for b in (2, 3, 4)
    ]
    scores = read_v2({"measurement": {"model.layers.0.mlp": options}}, "m")
    assert [entry.value for entry in scores.entries] == pytest.approx([0.5, 0.5])


def test_v3_is_in_nats(tmp_path: Path) -> None:
    found = imported(tmp_path, v3())
    assert (found.tier, found.unit) == ("T3", "nats")
    unit = found.by_unit["mlp-down", 7]
    assert unit.alpha == pytest.approx(8.0, rel=1e-4)
    assert unit.loss["nvfp4"] == pytest.approx(8.0 * unit.error["nvfp4"], rel=1e-4)
    assert found.band_factor > 1
    assert any("4^-bits" in note for note in found.notes)


def test_v3_groups_that_gain_nothing_are_not_free(tmp_path: Path) -> None:
    data = v3()
    data["groups"][0]["candidates"] = [{"dkld": 1e-4, "dbits": 1}, {"dkld": 1e-4, "dbits": 1}]
    found = imported(tmp_path, data)
    assert found.by_unit["attention-qkv", 0].alpha == pytest.approx(0.2, rel=1e-4)
    assert any("nothing measurable" in note for note in found.notes)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model.layers.0.mlp", [], "no options"),
        ("model.layers.0.mlp", {}, "no options"),
        ("model.layers.0.mlp", [3], "not an option"),
        ("what", [], "not a block"),
        (
            "model.layers.99.mlp",
            v2(1)["measurement"]["model.layers.0.mlp"],
            "no module 'mlp-gate-up",
        ),
        ("model.layers.0.mlp", [{"accuracy": 1.5}], "accuracy: 1.5"),
        ("model.layers.0.mlp", [{"accuracy": -0.5}], "from 0 to 1"),
        ("model.layers.0.mlp", [{}], "accuracy: None"),
        ("model.layers.0.mlp", [{"accuracy": 0.9}], "without bits of mlp-gate-up"),
        ("model.layers.0.mlp", [{"accuracy": 0.9, "gate_proj": {"bits": [4]}}], "of one length"),
        (
            "model.layers.0.mlp",
            [{"accuracy": 0.9, "gate_proj": {"bits": [4], "bits_prop": [0.0]}}],
            "without bits",
        ),
        (
            "model.layers.0.mlp",
            [{"accuracy": 0.9, "gate_proj": {"bits": [0], "bits_prop": [1.0]}}],
            "bits: 0",
        ),
        ("model.layers.0.parallel_decoder", [], "attn and mlp"),
    ],
)
def test_bad_v2(tmp_path: Path, key: str, value: object, words: str) -> None:
    data = v2()
    data["measurement"][key] = value
    with pytest.raises(DataError, match=words) as caught:
        imported(tmp_path, data)
    assert caught.value.hint


def test_a_measurement_of_another_depth(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of layer 24 of llama-3\.1-8b, which has 32"):
        imported(tmp_path, v2(24))
    with pytest.raises(DataError, match=r"no module 'model\.layers\.32"):
        imported(tmp_path, v3(33))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alts": []}, "needs alts"),
        ({"groups": {}}, "needs alts"),
        ({"base": 3}, "base: bpw"),
        ({"alts": [{"bpw": 2.0}, {"bpw": 4.0}]}, "no more bits"),
        ({"groups": [{}]}, "no layers"),
        ({"groups": [{"layers": ["a"], "candidates": []}]}, "one candidate for each"),
        ({"groups": [{"layers": ["a"], "candidates": [{"dkld": "x"}, {}]}]}, "dkld"),
        ({"groups": [{"layers": ["a"], "candidates": [{"dkld": -1}, {"dkld": -1}]}]}, "no module"),
    ],
)
def test_bad_v3(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        imported(tmp_path, v3() | change)
    assert caught.value.hint


def test_v3_scores_the_matrix_of_stacked_experts() -> None:
    data = v3()
    data["groups"][0]["layers"] = ["model.layers.0.mlp.experts.7.up_proj"]
    assert read_v3(data, "m").entries[0].modules == ("model.layers.0.mlp.experts.7.up_proj",)
