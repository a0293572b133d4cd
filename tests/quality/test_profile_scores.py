"""Scores that other programs measured: read strictly, matched to units, never taken for nats."""

import json
from pathlib import Path

import pytest
from support.t0 import t0_level

from planner.base.errors import DataError, InputError, PlannerError, UnknownNameError
from planner.lab.profiling.profile import profile
from planner.lab.scores.read import read_scores
from planner.lab.scores.units import _anchor, score_units
from planner.models.catalog import resolve_model

LLAMA = "llama-3.1-8b"
LINEARS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")


def write(folder: Path, name: str, data: object) -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def modelopt(layers: int = 32) -> dict[str, object]:
    stats = {}
    for n in range(layers):
        for i, linear in enumerate(LINEARS):
            stats[f"model.layers.{n}.{linear}.quant_recipe"] = {
                "formats": [
                    "NVFP4_DEFAULT_CFG(effective-bits: 4.5)",
                    "FP8_DEFAULT_CFG(effective-bits: 8.0)",
                    "NONE(effective-bits: 16.0)",
                ],
                "scores": [(n + 1) * (i + 1) * 1.0, (n + 1) * 0.1, 0.0],
                "costs": [1, 2, 4],
            }
    return {"candidate_stats": stats, "method": "gradient"}


def test_modelopt(tmp_path: Path) -> None:
    found = profile(LLAMA, scores=write(tmp_path, "s.json", modelopt()))
    assert (found.tier, found.unit, found.anchor) == ("T3", "nats", "fp8-tensor")
    assert found.uniform_loss("fp8-tensor") == pytest.approx(
        t0_level(found, "fp8-tensor"), rel=1e-4
    )
    assert found.uniform_loss("bf16") == 0
    low, high = (found.by_unit["mlp-down", n].loss["nvfp4"] for n in (0, 31))
    assert high / low == pytest.approx(32, rel=1e-4)
    assert any("ModelOpt" in note for note in found.notes)


def test_csv_in_nats(tmp_path: Path) -> None:
    lines = ["module,scheme,loss_nats"]
    lines += [
        f"model.layers.{n}.{linear}.weight,{scheme},{loss}"
        for n in range(32)
        for linear in (*LINEARS, "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj")
        for scheme, loss in (("fp8_block", 0.001), ("nvfp4", 0.01))
    ]
    found = profile(LLAMA, scores=write(tmp_path, "s.csv", "\n".join(lines)))
    assert found.unit == "nats"
    assert found.by_unit["attention-qkv", 3].loss["nvfp4"] == pytest.approx(0.03)
    assert found.uniform_loss("fp8-block") == pytest.approx(7 * 32 * 0.001)
    caches = [u for u in found.units if u.kind == "kv-k"]
    assert len(caches) == 32
    assert sum(u.loss["fp8"] for u in caches) > 0


def test_autoround_and_units_by_name(tmp_path: Path) -> None:
    data = {
        f"model.layers.{n}.mlp.down_proj": {"W4A16": 2.0, "MXFP8": 0.5, "INT8_W8A8": 1.0}
        for n in range(32)
    }
    scores = read_scores(write(tmp_path, "s.json", data))
    units, anchor, notes = score_units(scores, resolve_model(LLAMA))
    assert anchor == "int8-w8a8"
    assert units[0].loss["int4-w4a16"] == pytest.approx(2 / 32)
    assert any("stay as released" in note for note in notes)
    named = write(tmp_path, "u.csv", "module,scheme,score\nmlp-down.0,fp8-block,1\n")
    units, _, _ = score_units(read_scores(named), resolve_model(LLAMA))
    assert units[0].unit == "mlp-down.0"


def test_experts_that_are_scored_once_are_one_decision(tmp_path: Path) -> None:
    data = {
        "candidate_stats": {
            f"model.layers.{n}.mlp.experts.0.gate_proj.quant_recipe": {
                "formats": ["FP8_DEFAULT_CFG(effective-bits: 8.0)"],
                "scores": [2.0],
            }
            for n in range(94)
        }
    }
    units, _, notes = score_units(
        read_scores(write(tmp_path, "s.json", data)), resolve_model("qwen3-235b-a22b")
    )
    by = {(u.kind, u.layer): u.loss["fp8-tensor"] for u in units}
    assert by["experts-gate-up", 3] == pytest.approx(1 / 94, rel=1e-4)
    assert by["experts-down", 3] == 0
    assert any("one decision" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "data", "error", "words"),
    [
        ("s.csv", "module,scheme\na,b\n", DataError, "columns"),
        ("s.csv", "module,scheme,score\nmlp-down.0,fp9,1\n", UnknownNameError, "fp9"),
        ("s.csv", "module,scheme,score\nmlp-down.0,nvfp4,-1\n", DataError, "0 or more"),
        ("s.csv", "module,scheme,score\nmlp-down.0,nvfp4,nan\n", DataError, "0 or more"),
        ("s.csv", "module,scheme,score\nmlp-down.0,nvfp4\n", DataError, "fewer columns"),
        ("s.csv", "module,scheme,score\nx,fp8-block,1\nx,fp8-block,2\n", DataError, "given twice"),
        ("s.csv", "module,scheme,score\nmlp-down.99,fp8-block,1\n", DataError, "no module"),
        ("s.csv", "module,scheme,score\nmlp-down.0,nvfp4,1\n", DataError, "no 8-bit scheme"),
        ("s.csv", "", DataError, "columns none"),
        (
            "s.json",
            {"candidate_stats": {"a": {"formats": ["X"], "scores": []}}},
            DataError,
            "one length",
        ),
        (
            "s.json",
            {"candidate_stats": {"a": {"formats": ["X9_CFG"], "scores": [1]}}},
            UnknownNameError,
            "recipe",
        ),
        ("s.json", {"a": 3}, DataError, "not an object"),
        ("s.json", {}, DataError, "no scores"),
        ("s.pth", "x", DataError, "pickle"),
        ("s.txt", "x", DataError, "csv and"),
    ],
)
def test_bad_files(
    tmp_path: Path, name: str, data: object, error: type[PlannerError], words: str
) -> None:
    with pytest.raises(error, match=words):
        profile(LLAMA, scores=write(tmp_path, name, data))


def test_scores_exclude_what_they_replace(tmp_path: Path) -> None:
    scores = write(tmp_path, "s.json", modelopt())
    for extra in ({"schemes": ["nvfp4"]}, {"routing": "x"}, {"inputs": "x"}, {"tier": "T1"}):
        with pytest.raises(InputError):
            profile(LLAMA, scores=scores, **extra)  # type: ignore[arg-type]


def test_the_unit_of_scores_is_a_scheme_that_every_matrix_has_a_score_in() -> None:
    scores = {
        ("mlp-down", 0): {"fp8-block": 1.0, "int8-w8a8": 2.0},
        ("mlp-down", 1): {"int8-w8a8": 3.0},
    }
    assert _anchor(scores) == ("int8-w8a8", 5.0)
    assert _anchor({key: {**one, "fp8-block": 0.5} for key, one in scores.items()}) == (
        "fp8-block",
        1.0,
    )
    with pytest.raises(DataError, match="no 8-bit scheme"):
        _anchor({key: {"int4-w4a16": 1.0} for key in scores})
