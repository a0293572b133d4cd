"""Export then import is the identity on what a format can say."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.exports import assignment, assignments, planned_keys

from planner.base.errors import DataError, UnsupportedError
from planner.export import compressed_tensors, fp8, gptq, llama_cpp, modelopt, torchao
from planner.export.assignment import ModuleAssignment
from planner.export.llama_cpp_back import read_tensor_types
from planner.export.read_back import imported_assignment, read_configuration, unquantised
from planner.models.catalog import bundled_model

MODELS = ("llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v3.1")
STACKED = ("llama-4-scout", "qwen3.5-35b-a3b")
"""Their experts are one tensor a layer, which compressed-tensors and llama.cpp split."""
PLAIN = "bf16"


def there_and_back(one: ModuleAssignment, text: str) -> ModuleAssignment:
    return imported_assignment(read_configuration(text.encode(), "export", one.spec))


@pytest.mark.sample(2)
@pytest.mark.parametrize("model", MODELS + STACKED)
@settings(max_examples=examples(3))
@given(data=st.data())
def test_compressed_tensors(model: str, data: st.DataObject) -> None:
    one = data.draw(assignments(model, (PLAIN, *compressed_tensors.SCHEMES), ("bf16", "fp8")))
    if one.quantised():
        text = compressed_tensors.export(one).files["quantization_config.json"]
        assert there_and_back(one, text).decided() == one.decided()


@pytest.mark.sample(1)
@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=examples(2))
@given(data=st.data())
def test_modelopt(model: str, data: st.DataObject) -> None:
    one = data.draw(assignments(model, (PLAIN, *modelopt.MIXED), ("bf16", "fp8")))
    if one.quantised():
        text = modelopt.export(one).files["hf_quant_config.json"]
        assert there_and_back(one, text).decided() == one.decided()


@pytest.mark.sample(1)
@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=examples(2))
@given(data=st.data())
def test_gptq(model: str, data: st.DataObject) -> None:
    one = data.draw(assignments(model, (PLAIN, *gptq.SCHEMES)))
    if one.quantised():
        text = gptq.export(one).files["quantization_config.json"]
        assert there_and_back(one, text).decided() == one.decided()


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=examples(2))
@given(data=st.data())
def test_gptq_rules_reach_the_servers_fused_matrices(model: str, data: st.DataObject) -> None:
    """As vLLM and SGLang look a module up, the first rule whose expression matches from the start
    of its name: each name, fused ones too, gets the scheme of its parts."""
    one = data.draw(assignments(model, (PLAIN, *gptq.SCHEMES)))
    if not one.quantised():
        return
    config = json.loads(gptq.export(one).files["quantize_config.json"])
    wanted: dict[str, set[tuple[int, int] | None]] = {}
    for linear in one.linears:
        if linear.kind == "head":
            continue
        stem, _, last = linear.module.rpartition(".")
        names = [linear.module, *(f"{stem}.{fused}" for fused in gptq._FUSED.get(last, ()))]
        if ".{expert}" in linear.module:
            names = [linear.module, linear.module.partition(".{expert}")[0]]
        for template in names:
            for layer in linear.layers:
                wanted.setdefault(template.format(layer=layer, expert=0), set()).add(
                    gptq.SCHEMES.get(linear.scheme)
                )
    for name, schemes in wanted.items():
        if len(schemes) == 1:  # else parts of one matrix differ, which the lint refuses
            assert looked_up(config, name) == next(iter(schemes)), name


def looked_up(config: dict[str, Any], name: str) -> tuple[int, int] | None:
    for pattern, own in config["dynamic"].items():
        if re.match(pattern[2:], name):
            return (own["bits"], own["group_size"]) if pattern.startswith("+:") else None
    return config["bits"], config["group_size"]


@pytest.mark.parametrize("scheme", [*modelopt.UNIFORM])
def test_modelopt_with_one_algorithm(scheme: str) -> None:
    spec = bundled_model("llama-3.1-8b")
    one = assignment(
        spec, {key: PLAIN for key in planned_keys(spec) if key[1] in (0, 31)}, rest=scheme
    )
    data = json.loads(modelopt.export(one).files["hf_quant_config.json"])
    assert data["quantization"]["quant_algo"] == modelopt.UNIFORM[scheme]
    assert there_and_back(one, json.dumps(data)).decided() == one.decided()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scheme", ["fp8-block", "fp8-block-ue8m0"])
@settings(max_examples=examples(2))
@given(data=st.data())
def test_fp8(model: str, scheme: str, data: st.DataObject) -> None:
    one = data.draw(assignments(model, (PLAIN, scheme)))
    if one.quantised():
        text = fp8.export(one).files["quantization_config.json"]
        assert there_and_back(one, text).decided() == one.decided()


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=examples(2))
@given(data=st.data())
def test_torchao_names_each_linear_once(model: str, data: st.DataObject) -> None:
    """Its precedence, exact names before the first full match, gives every linear its own."""
    one = data.draw(assignments(model, (PLAIN, *torchao.SCHEMES)))
    if not one.quantised():
        return
    table = json.loads(torchao.export(one).files["fqn_to_config.json"])["_data"]["fqn_to_config"]
    for linear in one.linears:
        for name in (next(iter(linear.names())), list(linear.names())[-1]):
            hits = [
                value
                for key, value in table.items()
                if key == name or (key.startswith("re:") and re.fullmatch(key[3:], name))
            ]
            assert hits == [torchao.SCHEMES.get(linear.scheme)], name


@pytest.mark.parametrize("model", MODELS + STACKED)
@settings(max_examples=examples(2))
@given(data=st.data())
def test_llama_cpp_names_each_matrix_once(model: str, data: st.DataObject) -> None:
    pool = ("bf16", "ggml-q8_0", "ggml-q4_k", "ggml-q6_k")
    one = data.draw(assignments(model, pool))
    if not one.quantised():
        return
    lines = llama_cpp.export(one).files["tensor_types.txt"].splitlines()
    rules = [line.rpartition("=") for line in lines]
    decided = one.decided()
    for kind, stem in (
        ("attention-out", "attn_output"),
        ("mlp-down", "ffn_down"),
        ("experts-down", "ffn_down_exps"),
        ("shared-down", "ffn_down_shexp"),
    ):
        for layer in range(one.spec.layers):
            name = f"blk.{layer}.{stem}.weight"
            hits = [to for pattern, _, to in rules if re.search(pattern, name)]
            expected = decided.get((kind, layer))
            assert hits == ([llama_cpp.TYPES[expected]] if expected else []), name


@pytest.mark.parametrize("model", MODELS + STACKED)
@settings(max_examples=examples(2))
@given(data=st.data())
def test_llama_cpp(model: str, data: st.DataObject) -> None:
    one = data.draw(assignments(model, ("bf16", "fp16", "ggml-q8_0", "ggml-q4_0", "ggml-q4_k")))
    if not one.quantised():
        return
    text = llama_cpp.export(one).files["tensor_types.txt"].encode()
    again = imported_assignment(read_tensor_types(text, "file", one.spec))
    assert again.decided() == one.decided()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "names no tensor"),
        (b"q4_k", "no PATTERN=TYPE"),
        (b"=q4_k", "no PATTERN=TYPE"),
        (b"attn_q=q7_K", "'q7_K' has no scheme"),
        (b"(a*)*=q8_0", "repeats too much"),
        (b"[=q8_0", "not an expression"),
        (b"\xff=q8_0", "not UTF-8"),
        (b"a=q8_0\n" * 5000, "lines"),
        (b"attn_q=q8_0", "no line names blk.0.attn_k.weight"),
        (b"x" * 600 + b"=q8_0", "no PATTERN"),
    ],
)
def test_lists_of_tensor_types_that_are_refused(text: bytes, words: str) -> None:
    with pytest.raises((DataError, UnsupportedError)) as caught:
        read_tensor_types(text, "list", bundled_model("llama-3.1-8b"))
    assert words in caught.value.message
    assert caught.value.message.startswith("list")


def test_a_list_of_ones_own_as_llama_quantize_reads_it() -> None:
    """The first that is found anywhere in the name, types in any case; head and table too."""
    text = b"ffn_down=Q6_K\nattn_v=q6_k\n^token_embd=q4_K\n^output\\.=q6_K\nblk=q4_K\n"
    found = read_tensor_types(text, "list", bundled_model("llama-3.1-8b"))
    schemes = {row.name: row.scheme for row in found.spec.rows if row.scheme is not None}
    assert schemes.pop("model.layers.{layer}.mlp.down_proj.weight") == "ggml-q6_k"
    assert schemes.pop("model.layers.{layer}.self_attn.v_proj.weight") == "ggml-q6_k"
    assert schemes.pop("lm_head.weight") == "ggml-q6_k"
    assert set(schemes.values()) == {"ggml-q4_k"}
    assert found.spec.quantization == "ggml-q4_k"
    assert any(
        "attention-qkv" in note and "ggml-q4_k and ggml-q6_k" in note for note in found.notes
    )
    with pytest.raises(DataError, match="parts of one matrix"):
        read_tensor_types(b"attn_k_b=q8_0\nblk=q4_0", "list", bundled_model("deepseek-v2-lite"))


def test_what_a_release_stores_is_taken_off_first() -> None:
    spec = unquantised(bundled_model("deepseek-v3.1"))
    assert {row.scheme for row in spec.rows} == {None}
    assert {row.dtype for row in spec.rows} == {"bf16", "fp32"}
    assert spec.quantization == "bf16"


def test_what_is_no_json_is_told_what_import_reads() -> None:
    with pytest.raises(DataError, match="not JSON") as caught:
        read_configuration(b"table,row\n1,2\n", "rows.csv", bundled_model("llama-3.1-8b"))
    assert "plan file" not in caught.value.hint
    assert "import reads an engine's configuration" in caught.value.hint
