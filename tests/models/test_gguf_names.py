"""GGUF names of models: every family, and every tensor of the shared tables of measured ones."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from planner.base.errors import UnsupportedError
from planner.models.catalog import model_ids, resolve_model
from planner.models.families import model_types
from planner.models.gguf_names import ARCHITECTURES, gguf_alias, gguf_matrices

_TABLE = Path(__file__).resolve().parents[3] / "shared/measured/kld/kld_tensors.csv"
_MEASURED = {
    "DeepSeek-V3.1-Terminus": "deepseek-v3.1", "GLM-4.5": "glm-4.5", "GLM-4.5-Air": "glm-4.5-air",
    "GLM-4.6": "glm-4.6", "GLM-4.7": "glm-4.6", "Kimi-K2-Thinking": "kimi-k2-instruct",
    "Qwen3-VL-235B-A22B-Instruct": "qwen3-235b-a22b", "Qwen3.5-27B": "qwen3.5-27b",
    "Qwen3.5-35B-A3B": "qwen3.5-35b-a3b", "Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
}  # fmt: skip
# Models that are not bundled: the tensors of a layer are those of a relative.
_RELATIVES = {
    "GLM-4.7-Flash": "deepseek-v3.1", "Qwen3-4B-Instruct-2507": "qwen3-8b",
    "Qwen3-4B-Thinking-2507": "qwen3-8b", "Qwen3.5-0.8B": "qwen3.5-27b",
    "Qwen3.5-2B": "qwen3.5-27b", "Qwen3.5-4B": "qwen3.5-27b", "gemma-4-31B-it": "gemma-4-26b-a4b",
}  # fmt: skip
# Routers are never quantised; GLM-4.5-Air starts at layer 3, Kimi-K2-Thinking lacks k_b.
_NOT_MEASURED = {
    "GLM-4.5-Air": r"blk\.[12]\.ffn_\w+_(exps|shexp)\.weight",
    "Kimi-K2-Thinking": r"blk\.\d+\.attn_k_b\.weight",
}
_ROUTER = re.compile(r"blk\.\d+\.ffn_gate_inp\.weight")


def _names(model: str) -> dict[str, str]:
    return {one.name: one.kind for one in gguf_matrices(resolve_model(model))}


def _stem(name: str) -> str:
    return re.sub(r"^blk\.\d+\.", "", name)


def test_architectures_are_of_families_that_are_understood() -> None:
    assert set(ARCHITECTURES) <= set(model_types())


@pytest.mark.parametrize(
    "model", [name for name in model_ids() if resolve_model(name).model_type in ARCHITECTURES]
)
def test_names_are_unique_and_kinds_are_those_of_the_rows(model: str) -> None:
    spec = resolve_model(model)
    if spec.model_type not in ARCHITECTURES:
        with pytest.raises(UnsupportedError, match=spec.model_type):
            gguf_matrices(spec)
        return
    found = gguf_matrices(spec)
    assert len({one.name for one in found}) == len(found)
    rows = defaultdict(set)
    for row in spec.rows:
        rows[row.name].add(row.kind)
    for one in found:
        assert (one.layer is None) == (not one.name.startswith("blk."))
        for name in one.rows:
            assert one.kind in rows[name]
        assert one.rows or one.kind == "mtp"
    named = {name for one in found for name in one.rows}
    left = {row.name for row in spec.rows if row.quantisable and row.part == "main"} - named
    assert {name.rpartition(".layers.{layer}.")[2] for name in left} <= {
        "mlp.shared_expert_gate.weight"
    }, left


def test_latent_attention_is_two_matrices_and_one_in_older_files() -> None:
    spec = resolve_model("deepseek-v3")
    names = _names("deepseek-v3")
    assert names["blk.7.attn_k_b.weight"] == names["blk.7.attn_v_b.weight"] == "mla-kv"
    assert names["blk.7.attn_q_a.weight"] == "mla-q"
    assert names["blk.3.ffn_gate_inp.weight"] == "router"
    assert "blk.2.ffn_gate_inp.weight" not in names
    assert "blk.7.attn_kv_b.weight" not in names
    assert gguf_alias(spec)["blk.7.attn_kv_b.weight"] == (
        "blk.7.attn_k_b.weight",
        "blk.7.attn_v_b.weight",
    )
    rows = {one.rows for one in gguf_matrices(spec) if one.name == "blk.7.attn_v_b.weight"}
    assert rows == {("model.layers.{layer}.self_attn.kv_b_proj.weight",)}
    assert names["blk.61.nextn.eh_proj.weight"] == "mtp"


def test_linear_attention() -> None:
    names = _names("qwen3.5-35b-a3b")
    for stem in ("attn_qkv", "attn_gate", "ssm_alpha", "ssm_beta", "ssm_out"):
        assert names[f"blk.0.{stem}.weight"] == "linear-attention"
    assert names["blk.3.attn_q.weight"] == "attention-qkv"
    assert "blk.0.attn_q.weight" not in names
    rows = {one.name: one.rows for one in gguf_matrices(resolve_model("qwen3.5-35b-a3b"))}
    inside = "model.language_model.layers.{layer}.linear_attn."
    assert rows["blk.0.attn_gate.weight"] == (inside + "in_proj_z.weight",)
    assert rows["blk.0.ssm_alpha.weight"] == (inside + "in_proj_a.weight",)
    assert rows["blk.0.ssm_beta.weight"] == (inside + "in_proj_b.weight",)
    assert rows["blk.40.nextn.eh_proj.weight"] == ("mtp.fc.weight",)
    older = _names("qwen3-next-80b-a3b")
    assert "blk.0.ssm_ba.weight" in older
    assert "blk.0.ssm_beta.weight" not in older
    assert gguf_alias(resolve_model("qwen3-next-80b-a3b"))["blk.0.ssm_in.weight"] == (
        "blk.0.attn_qkv.weight",
        "blk.0.attn_gate.weight",
    )


def test_gate_and_up_joined_or_apart() -> None:
    apart = gguf_alias(resolve_model("qwen3-30b-a3b"))
    assert apart["blk.5.ffn_gate_up_exps.weight"] == (
        "blk.5.ffn_gate_exps.weight",
        "blk.5.ffn_up_exps.weight",
    )
    joined = gguf_alias(resolve_model("gemma-4-26b-a4b"))
    assert joined["blk.5.ffn_gate_exps.weight"] == ("blk.5.ffn_gate_up_exps.weight",)
    phi = _names("phi-4")
    assert phi["blk.0.attn_qkv.weight"] == "attention-qkv"
    assert "blk.0.ffn_gate.weight" not in phi
    assert phi["blk.0.ffn_up.weight"] == "mlp-gate-up"


def test_a_tied_head_has_no_tensor() -> None:
    assert "output.weight" not in _names("llama-3.2-1b")
    assert _names("llama-3.1-8b")["output.weight"] == "head"
    assert _names("gpt2")["token_embd.weight"] == "embedding"


def test_the_prediction_layer_that_a_configuration_does_not_name() -> None:
    found = {one.name: one for one in gguf_matrices(resolve_model("glm-4.6"))}
    for name in ("blk.92.attn_q.weight", "blk.92.nextn.embed_tokens.weight"):
        assert (found[name].kind, found[name].layer, found[name].rows) == ("mtp", 92, ())
    assert set(_names("glm-4.5")) == set(found)


def test_what_llama_cpp_does_not_have_is_an_error() -> None:
    spec = resolve_model("smollm2-135m")
    with pytest.raises(UnsupportedError, match="no architecture") as caught:
        gguf_matrices(replace(spec, model_type="longcat_flash"))
    assert "llama4" in caught.value.hint
    row = replace(spec.rows[2], name="model.layers.{layer}.self_attn.r_proj.weight",
                  shape=(8, 8), kind="attention-qkv")  # fmt: skip
    with pytest.raises(UnsupportedError, match="r_proj"):
        gguf_matrices(replace(spec, rows=(*spec.rows, row)))


def test_the_measured_tensors_are_named() -> None:
    if not _TABLE.exists():
        pytest.skip(f"no shared table {_TABLE.name}: the names of measured tensors are not checked")
    measured = defaultdict(set)
    with _TABLE.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            measured[line["model"]].add(line["tensor"])
    assert set(measured) == set(_MEASURED) | set(_RELATIVES)
    for model, mine in _MEASURED.items():
        names = _names(mine)
        assert measured[model] <= set(names), model
        allowed = re.compile(_NOT_MEASURED.get(model, "-"))
        for name in set(names) - measured[model]:
            assert names[name] == "mtp" or _ROUTER.fullmatch(name) or allowed.fullmatch(name), name
    for model, mine in _RELATIVES.items():
        assert {_stem(name) for name in measured[model]} <= {_stem(name) for name in _names(mine)}
