"""Judges that run no code of the engine: TensorRT-LLM's table of fields, llama.cpp's parser."""

from pathlib import Path

import pytest

from evaluation.judges import llama_cpp, trtllm_table


def trtllm(tmp_path: Path, options: str, *words: str) -> dict[str, object]:
    path = tmp_path / "o.yaml"
    path.write_text(options, encoding="utf-8")
    command = ("trtllm-serve", "m", "--tp_size", "4", *words, "--extra_llm_api_options", str(path))
    return trtllm_table.judged({"id": "x", "words": command})


def test_tensorrt_llm_reads_words_and_options(tmp_path: Path) -> None:
    options = """kv_cache_config: {dtype: fp8}
enable_attention_dp: true
enable_chunked_prefill: true
cuda_graph_config: {enable_padding: true, max_batch_size: 160}
speculative_config: {decoding_type: MTP, num_nextn_predict_layers: 2}
"""
    computed = trtllm(tmp_path, options, "--max_batch_size", "160")["computed"]
    assert isinstance(computed, dict)
    assert computed["tp"] == 4
    assert computed["sequences"] == 160
    assert computed["tokens"] == 8192
    assert computed["cache"] == "fp8"
    assert computed["graph_sizes"][-2:] == [128, 160]
    assert computed["memory_fraction"] == 0.9


@pytest.mark.parametrize(
    ("options", "words", "error"),
    [
        ("cuda_graphs: true\n", (), "cuda_graphs: Extra inputs are not permitted"),
        ("kv_cache_config: {type: fp8}\n", (), "kv_cache_config.type: Extra inputs"),
        ("max_batch_size: many\n", (), "'many' is no valid int"),
        ("enable_attention_dp: 1\n", (), "1 is no valid bool"),
        ("max_batch_size: true\n", (), "True is no valid int"),
        ("speculative_config: {decoding_type: EAGLE}\n", (), "decoding_type 'EAGLE'"),
        ("speculative_config: {decoding_type: Eagle3, max_draft_len: 2}\n", (), "must be given"),
        ("moe_config: {backend: FAST}\n", (), "'FAST' is none of"),
        ("kv_cache_config: null\n", (), "null is no valid"),
        ("[]\n", (), "no mapping"),
        ("{}\n", ("--tp", "4"), "No such option: --tp"),
        ("{}\n", ("--pp_size", "two"), "'two' is not a valid int"),
    ],
)
def test_tensorrt_llm_refuses(
    tmp_path: Path, options: str, words: tuple[str, ...], error: str
) -> None:
    assert error in str(trtllm(tmp_path, options, *words)["error"])


def test_graph_sizes_of_tensorrt_llm() -> None:
    assert trtllm_table.graph_sizes({})[-3:] == [32, 64, 128]
    assert trtllm_table.graph_sizes({"enable_padding": True, "max_batch_size": 600})[-3:] == [
        256,
        512,
        600,
    ]
    assert trtllm_table.graph_sizes({"batch_sizes": [8, 4]}) == [4, 8]


def test_llama_cpp_is_given_no_model_and_read_by_where_it_ends() -> None:
    words = ("env", "X=1", "llama-server", "-hf", "a/b", "--ctx-size", "1", "-md", "D.gguf")
    assert llama_cpp.without_model(words) == [
        "-m", llama_cpp.NOWHERE, "--ctx-size", "1", "-md", llama_cpp.NOWHERE,
    ]  # fmt: skip
    taken = llama_cpp.verdict("1", "load\nerror loading model: failed to open GGUF file")
    assert "error" not in taken
    refused = llama_cpp.verdict("1", "hello\nerror: invalid argument: --spec\n")
    assert refused["error"] == "error: invalid argument: --spec"
