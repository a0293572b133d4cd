"""Tables of the GGUF Tool Suite (Thireus and its contributors): floors, groups, refusals."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.t0 import t0_level

from planner.base.errors import DataError
from planner.lab.profiling.profile import profile
from planner.lab.scores.gguf import is_table, joint_groups, noise_floor
from planner.models.catalog import resolve_model
from planner.models.gguf_names import gguf_matrices
from planner.quality.profile_file import read_profile

GLM = "glm-4.5-air"
QWEN = "qwen3-8b"
FLOOR = 0.003
_SHARED = Path(__file__).resolve().parents[4] / "shared/measured/kld"


OWN = {
    "attn_q": 1.0,
    "attn_k": 4.0,
    "attn_v": 4.0,
    "attn_output": 1.5,
    "ffn_gate": 1.6,
    "ffn_up": 1.7,
    "ffn_down": 1.8,
    "ffn_gate_exps": 1.1,
    "ffn_up_exps": 1.3,
    "ffn_down_exps": 6.0,
    "ffn_gate_shexp": 2.0,
    "ffn_up_shexp": 2.0,
    "ffn_down_shexp": 2.0,
    "token_embd": 9.0,
    "output": 100.0,
}


def glm() -> dict[str, float]:
    """A table as published: k and v, and shared experts, cut together; layer 46 does nothing."""
    table = {}
    for one in gguf_matrices(resolve_model(GLM)):
        stem = one.name.split(".")[-2]
        if stem in OWN:
            own = OWN[stem] * 1e-3 + (one.layer or 0) * 1e-5
            table[one.name] = FLOOR if one.kind == "mtp" else round(FLOOR + own, 6)
    return table


def write(folder: Path, rows: dict[str, dict[str, object]], name: str = "kld_results.csv") -> Path:
    path = folder / name
    names = list(next(iter(rows.values())))
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["QTYPE", *names])
        out.writerows([kind, *(values[name] for name in names)] for kind, values in rows.items())
    return path


def test_alphas_are_what_lies_above_the_floor(tmp_path: Path) -> None:
    table = glm()
    found = profile(
        GLM, scores=write(tmp_path, {"iq1_kt": dict(table)}), output=tmp_path / "p.json"
    )
    assert (found.tier, found.unit, found.anchor) == ("T3", "nats", "fp8-block")
    assert found.uniform_loss("fp8-block") == pytest.approx(t0_level(found, "fp8-block"), rel=1e-4)
    low, high = found.by_unit["experts-down", 3], found.by_unit["experts-down", 45]
    assert high.alpha / low.alpha == pytest.approx((6e-3 + 45e-5) / (6e-3 + 3e-5), rel=1e-3)
    # k and v count once, beside q
    qkv, down = found.by_unit["attention-qkv", 3], low
    assert qkv.alpha / down.alpha == pytest.approx(5.06 / 6.03, rel=1e-3)
    # a group over two kinds is shared by its tensors: two to gate and up, one to down
    ratio = found.by_unit["shared-gate-up", 9].alpha / found.by_unit["shared-down", 9].alpha
    assert ratio == pytest.approx(2, rel=1e-3)
    unit = found.by_unit["mlp-down", 0]
    assert unit.loss["nvfp4"] / unit.loss["fp8-block"] == pytest.approx(
        unit.error["nvfp4"] / unit.error["fp8-block"], rel=1e-3
    )
    assert not any(layer == 46 and not kind.startswith("kv") for kind, layer in found.by_unit)
    said = "\n".join(found.notes)
    assert "Thireus" in said
    assert "GGUF Tool Suite" in said
    assert "contributors" in said
    assert "prediction layer, which does not run" in said
    assert "measured together" in said
    assert "head" in said
    assert found.band_factor > 1
    assert "emulated" in found.band_basis
    assert read_profile(tmp_path / "p.json").units == found.units


def test_several_types_count_by_their_signal(tmp_path: Path) -> None:
    one = glm()
    other = {name: FLOOR + 5 * (value - FLOOR) for name, value in one.items()}
    both = profile(
        GLM,
        scores=write(
            tmp_path,
            {
                "bf16": dict.fromkeys(one, 0),
                "iq1_kt": one,
                "iq2_ks": other,
                "iq2_bn_r4": dict.fromkeys(one, 9.5),
                "q8_0": dict.fromkeys(one, 0),
            },
        ),
    )
    alone = profile(GLM, scores=write(tmp_path, {"iq1_kt": one}))
    for key, unit in alone.by_unit.items():
        assert both.by_unit[key].alpha == pytest.approx(unit.alpha, rel=1e-4)
    assert any("bf16, iq2_bn_r4, q8_0" in note for note in both.notes)


def test_without_a_prediction_layer_the_floor_is_the_first_percentile(tmp_path: Path) -> None:
    table = {
        one.name: 0.001 + 0.001 * n for n, one in enumerate(gguf_matrices(resolve_model(QWEN)))
    }
    found = profile(QWEN, scores=write(tmp_path, {"q2_k_r4": table}))
    assert any("1st percentile" in note for note in found.notes)
    assert found.uniform_loss("fp8-block") == pytest.approx(t0_level(found, "fp8-block"), rel=1e-4)
    assert all(unit.alpha > 0 for unit in found.units)  # nothing is free


def test_older_names_stand_for_their_parts(tmp_path: Path) -> None:
    table = {}
    for one in gguf_matrices(resolve_model("deepseek-v2-lite")):
        if one.kind != "router" and "_v_b" not in one.name:
            table[one.name.replace("attn_k_b", "attn_kv_b")] = 0.01 + 0.0001 * len(table)
    found = profile("deepseek-v2-lite", scores=write(tmp_path, {"iq1_kt": table}))
    assert found.by_unit["mla-kv", 5].alpha > 0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60))
def test_a_floor_is_no_more_than_the_median(values: list[float]) -> None:
    table = {str(n): value for n, value in enumerate(values)}
    assert min(values) <= noise_floor(table, []) <= sorted(values)[len(values) // 2]


def test_groups_are_found_by_equal_values() -> None:
    table = {
        f"blk.{n}.{stem}.weight": 0.1 * n + own
        for n in range(5)
        for stem, own in (("attn_k", 1.0), ("attn_v", 1.0), ("attn_q", 2.0))
    }
    table["blk.4.attn_v.weight"] = 7.0
    table["blk.3.attn_q.weight"] = table["blk.3.attn_k.weight"]  # by chance, in one layer
    groups = joint_groups({"iq1_kt": table})
    assert [group for group in groups if len(group) > 1] == [
        (f"blk.{n}.attn_k.weight", f"blk.{n}.attn_v.weight") for n in range(4)
    ]
    assert sorted(name for group in groups for name in group) == sorted(table)


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"blk.3.attn_r.weight": 1.0}, "no tensor 'blk.3.attn_r.weight'", "this model"),
        ({"blk.60.attn_q.weight": 1.0}, "46 layers", "this model"),
        ({"blk.3.attn_q.weight": "nan"}, "blk.3.attn_q.weight under iq1_kt: 'nan'", "0 or more"),
        ({"blk.3.attn_q.weight": "-0.1"}, "is not a loss", "0 or more"),
        ({"blk.3.attn_q.weight": ""}, "blk.3.attn_q.weight under iq1_kt: no value", "column"),
        ({"blk.3.attn_q.weight": "+0.12%"}, "change of perplexity", "kld_results.csv"),
        ({"blk.3.attn_q.weight": "404%"}, "without a result", "again"),
        ({"blk.3.attn_q.weight": "x"}, "is not a number", "number"),
        ({"group0": 1.0}, "does not say which tensors", "groups expanded"),
    ],
)
def test_bad_tables(tmp_path: Path, change: dict[str, object], words: str, hint: str) -> None:
    with pytest.raises(DataError, match=words.replace("'", "['\"]")) as caught:
        profile(GLM, scores=write(tmp_path, {"iq1_kt": {**glm(), **change}}))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("QTYPE\n", "no tensors"),
        ("QTYPE,group0\nq8_0,0.1\n", "whole model"),
        ("QTYPE,output.weight,output.weight\nq8_0,1,1\n", "given twice"),
        ("QTYPE,output.weight\niq1_kt,1\niq1_kt,1\n", "given twice"),
        ("QTYPE,output.weight\niq1_kt,1,2\n", "another number of values"),
        ("QTYPE,output.weight\nbf16,0\niq1_bn,9\n", "no row"),
        ("QTYPE,output.weight\niq1_kt,1\n", "above the noise floor"),
        ("QTYPE,blk.0.attn_q.weight,blk.1.attn_q.weight\niq1_kt,1,2\n", "none of layer 2"),
    ],
)
def test_tables_of_another_kind(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "kld_results.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words) as caught:
        profile(GLM, scores=path)
    assert caught.value.hint


def test_a_table_of_another_depth(tmp_path: Path) -> None:
    short = {
        name: value for name, value in glm().items() if not name.startswith(("blk.44.", "blk.45."))
    }
    with pytest.raises(DataError, match=r"none of layer 44 of glm-4\.5-air, which has 46"):
        profile(GLM, scores=write(tmp_path, {"iq1_kt": short}))


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert is_table(b"\xef\xbb\xbfQTYPE,output.weight\n")
    assert not is_table(b"module,scheme,score\n")


def test_measured_tables_are_taken(tmp_path: Path) -> None:
    if not _SHARED.exists():
        pytest.skip("no shared tables: measured ones are not imported here")
    tables: dict[str, dict[str, dict[str, object]]] = defaultdict(lambda: defaultdict(dict))
    with (_SHARED / "kld_tensors.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            tables[row["model"]][row["qtype"]][row["tensor"]] = row["kld"]
    for model, mine in (
        ("DeepSeek-V3.1-Terminus", "deepseek-v3.1"),
        ("GLM-4.6", "glm-4.6"),
        ("Kimi-K2-Thinking", "kimi-k2-instruct"),
        ("Qwen3.5-27B", "qwen3.5-27b"),
    ):
        found = profile(mine, scores=write(tmp_path, tables[model]))
        assert found.uniform_loss("fp8-block") == pytest.approx(
            t0_level(found, "fp8-block"), rel=1e-4
        )
        assert len(found.by_unit) >= 3 * found.model.layers
