"""Configurations that are wrong, hostile or not modelled: refused by name, cheaply."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError, PlannerError, UnknownNameError, UnsupportedError
from planner.base.strict_json import MAX_CONFIG_BYTES, parse_object, read_config_bytes
from planner.models.configuration import spec_from_bytes


def _parse(text: bytes):
    return spec_from_bytes(
        text, "config.json", model_id="x", public_name="x", source="x", source_kind="file"
    )


def test_an_unknown_key_is_named(tiny, build):
    with pytest.raises(DataError, match="keys not understood: 'altup_lanes'"):
        build(tiny("llama", altup_lanes=4))


def test_a_key_of_another_family_is_not_harmless(tiny, build):
    with pytest.raises(DataError, match="num_experts"):
        build(tiny("llama", num_experts=8))


def test_an_unknown_model_type_is_named_with_the_known_ones(tiny, build):
    with pytest.raises(UnknownNameError, match=r"'gpt_neo'.*understood: gpt_neox.* and \d+ more"):
        build(tiny("llama", model_type="gpt_neo"))


@pytest.mark.parametrize("model_type", [None, 3, [], {}, ["llama"]])
def test_a_model_type_of_another_kind(tiny, build, model_type):
    with pytest.raises(UnknownNameError, match="model_type"):
        build(tiny("llama", model_type=model_type))


@pytest.mark.parametrize(
    ("family", "change", "reason"),
    [
        ("llama", {"hidden_size": ...}, "hidden_size is missing"),
        ("llama", {"hidden_size": 0}, "hidden_size is 0"),
        ("llama", {"hidden_size": -64}, "hidden_size is -64"),
        ("llama", {"hidden_size": 64.0}, "hidden_size is 64.0; an integer"),
        ("llama", {"hidden_size": "64"}, "hidden_size is '64'; an integer"),
        ("llama", {"hidden_size": True}, "hidden_size is True; an integer"),
        ("llama", {"hidden_size": 2**24 + 1}, "hidden_size is 16777217"),
        ("llama", {"hidden_size": 10**400}, "an integer of 1329 bits"),
        ("llama", {"num_hidden_layers": 1001}, "the range is 1 to 1000"),
        ("llama", {"num_key_value_heads": 3}, "must divide 4 heads"),
        ("llama", {"hidden_size": 66}, "must divide 66"),
        ("llama", {"tie_word_embeddings": 1}, "true or false"),
        ("llama", {"torch_dtype": "float8"}, "bfloat16"),
        ("llama", {"dtype": "float32"}, "contradicts"),
        ("qwen3", {"head_dim": None}, "head_dim is missing"),
        ("qwen3", {"num_key_value_heads": ...}, "is not stated: 32 (default of qwen3 in transf"),
        ("qwen3_moe", {"num_experts_per_tok": 9}, "there are 8 experts"),
        ("qwen3_moe", {"num_experts": 65537}, "range is 1 to 65536"),
        ("qwen3_moe", {"mlp_only_layers": [4]}, "mlp_only_layers holds 4"),
        ("qwen3_moe", {"mlp_only_layers": 4}, "a list of integers"),
        ("deepseek_v3", {"n_group": 3}, "must divide 8 experts"),
        ("deepseek_v3", {"topk_group": 5}, "there are 4 groups"),
        ("deepseek_v3", {"num_experts_per_tok": 5}, "2 groups hold 4 experts"),
        ("deepseek_v3", {"num_key_value_heads": 2}, "latent attention has 4"),
        ("deepseek_v3", {"topk_method": "greedy"}, "noaux_tc"),
        ("deepseek_v3", {"first_k_dense_replace": ...}, "first_k_dense_replace is missing"),
        ("deepseek_v32", {"q_lora_rank": None}, "indexer reads the compressed query"),
        ("deepseek_v32", {"index_topk": ...}, "index_topk is missing"),
        ("deepseek_v3", {"index_topk": 64}, "keys not understood: 'index_topk'"),
    ],
)
def test_values_out_of_range(tiny, build, family, change, reason):
    with pytest.raises(DataError) as caught:
        build(tiny(family, **change))
    assert reason in caught.value.message
    assert "config.json" in caught.value.message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quant_method": "aqlm"}, "quant_method is 'aqlm'; understood: auto-round, awq"),
        ({"quant_method": "awq"}, "group_size is missing"),
        ({"quant_method": None}, "quant_method is missing"),
        ({"fmt": "e5m2"}, "fmt is 'e5m2'"),
        ({"weight_block_size": [64, 64]}, "64x64"),
        ({"bits": 4}, "keys not understood: 'bits'"),
        ({"weight_block_size": "128"}, "a list of integers"),
        ({"scale_fmt": "ufp7"}, "scale_fmt"),
        ({"activation_scheme": "static"}, "static"),
        ({"modules_to_not_convert": "lm_head"}, "modules_to_not_convert"),
        ({"modules_to_not_convert": ["re:(a+)+"]}, "repeats too much"),
        ({"modules_to_not_convert": ["re:("]}, "is not an expression"),
        ({"modules_to_not_convert": ["model"]}, "covers no module"),
    ],
)
def test_quantisation_that_is_not_understood(tiny, build, change, reason):
    config = tiny("deepseek_v3")
    config["quantization_config"] = config["quantization_config"] | change
    with pytest.raises(DataError) as caught:
        build(config)
    assert reason in caught.value.message
    assert "quantization_config" in caught.value.message


def test_sliding_windows_are_refused_where_they_are_used(tiny, build):
    with pytest.raises(UnsupportedError, match="sliding_window is 4096"):
        build(tiny("mixtral", sliding_window=4096))
    with pytest.raises(UnsupportedError, match="sliding_window is 4096"):
        build(tiny("qwen3", sliding_window=4096, use_sliding_window=True))
    with pytest.raises(UnsupportedError, match="'sliding_attention'"):
        build(tiny("qwen3", layer_types=["full_attention", "sliding_attention"]))
    unused = build(tiny("qwen3", sliding_window=4096, use_sliding_window=False))
    assert unused.rows == build(tiny("qwen3")).rows


def test_sizes_beyond_exact_arithmetic_are_refused(tiny, build):
    wide = {"hidden_size": 2**24, "intermediate_size": 2**24, "num_hidden_layers": 1000}
    with pytest.raises(DataError, match=r"more than 2\^53"):
        build(tiny("llama", **wide))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"[1]", "a list of 1 where an object"),
        (b'{"a": 1, "a": 2}', "key 'a' is given twice"),
        (b'{"a": {"b": 1, "b": 1}}', "key 'b' is given twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "model_type is missing"),
        (b'{"a": 1e999}', "beyond the range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "model_type is missing"),  # one mark is an editor's
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not JSON"),
        (b"\xff\xfe{", "not UTF-8"),
        (b'{"a":' * 200_000, "nested deeper"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper than 32"),
        (b"{}", "model_type is missing"),
    ],
)
def test_json_that_is_not_a_configuration(text, reason):
    with pytest.raises(DataError) as caught:
        _parse(text)
    assert reason in caught.value.message
    assert len(caught.value.message) < 300


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(MAX_CONFIG_BYTES + 1)
    with pytest.raises(DataError, match="larger than"):
        read_config_bytes(path)


@pytest.mark.parametrize(
    "text",
    [
        b'{"x": [' + b"[]," * 2_000_001 + b"[]]}",
        b'{"x": [' + b"{}," * 2_000_001 + b"{}]}",
        b'{"x": ' + b"[" * 3_000_000,
        b"[" + b"0," * 3_000_000 + b"0]",
    ],
)
def test_many_values_are_refused_before_they_are_built(text):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="2,000,000 values"):
            parse_object(text, "config.json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_hostile_configuration_allocates_little(tiny, build):
    config = tiny("deepseek_v3", num_hidden_layers=1000, n_routed_experts=65536,
                  num_nextn_predict_layers=1000)  # fmt: skip
    tracemalloc.start()
    try:
        build(config)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner,
                                                               max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from(["llama", "qwen3", "qwen3_moe", "mixtral", "deepseek_v2", "deepseek_v3",
                        "deepseek_v32"]), st.data())  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_value_in_any_key_gives_a_model_or_a_planner_error(tiny, family, data):
    config = tiny(family)
    config[data.draw(st.sampled_from(sorted(config)))] = data.draw(JSON)
    try:
        spec = _parse(json.dumps(config).encode())
    except PlannerError as error:
        error.message.encode("utf-8")
    else:
        assert spec.rows


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_a_planner_error(text):
    with pytest.raises(PlannerError):
        _parse(text)
