"""Folders that engines load: from a GGUF file, and with a plan's schemes."""

import hashlib
import json
import struct
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import as_bf16, llama_config, llama_tensors, values_of, write_llama

from planner.base.errors import DataError, InputError, UnsupportedError
from planner.export import compressed_tensors
from planner.export.stored_weights import stored_weight
from planner.lab.probe.loader import load_probe_model
from planner.lab.probe.model import as_is, exact
from planner.lab.verifying import safetensors_file
from planner.lab.verifying.hf_checkpoint import folder_of_gguf
from planner.lab.verifying.python_engines import uniform
from planner.lab.verifying.quantised_checkpoint import write_quantised
from planner.lab.verifying.safetensors_file import HeaderEntry, TensorGroup, write_safetensors
from planner.lookup import load_model
from planner.models.headers import read_extents

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_PAIRS = {
    "block_count": 2,
    "context_length": 2048,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "vocab_size": 128,
}


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor of support.checkpoints."""
    top = {
        "model.embed_tokens.weight": "token_embd.weight",
        "lm_head.weight": "output.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in top:
        return top[name]
    _, _, layer, *inside = name.removesuffix(".weight").split(".")
    return f"blk.{layer}.{_NAMES['.'.join(inside)]}.weight"


def interleaved(values: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter makes of the rows of queries and keys: the two halves of a head in
    turns."""
    rows = values.shape[0] // heads
    order = [
        head * rows + half * rows // 2 + pair
        for head in range(heads)
        for pair in range(rows // 2)
        for half in range(2)
    ]
    return values[order]


def write_gguf(path: Path, **more: float) -> None:
    """The model of support.checkpoints as llama.cpp's converter would write it, in F32."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    tensors = {}
    for name, values in llama_tensors(llama_config()).items():
        heads = {"attn_q": 4, "attn_k": 2}.get(gguf_name(name).split(".")[-2])
        tensors[gguf_name(name)] = values if heads is None else interleaved(values, heads)
    pairs = b"".join(text(f"llama.{k}") + struct.pack("<II", 4, v) for k, v in _PAIRS.items())
    floats = {"attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 1e4, **more}
    pairs += b"".join(text(f"llama.{k}") + struct.pack("<If", 6, v) for k, v in floats.items())
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(_PAIRS) + len(floats) + 1)
    out += text("general.architecture") + struct.pack("<I", 8) + text("llama") + pairs
    at, data = 0, b""
    for name, values in tensors.items():
        out += text(name) + struct.pack("<I", values.ndim)
        out += b"".join(struct.pack("<Q", n) for n in values.shape[::-1])
        out += struct.pack("<IQ", 0, at)
        data += values.astype("<f4").tobytes() + b"\0" * (-values.nbytes % 32)
        at = len(data)
    path.write_bytes(out + b"\0" * (-len(out) % 32) + data)


def stored(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of a folder, as bytes."""
    file = folder / "model.safetensors"
    raw = file.read_bytes()
    return {
        e.tensor.name: np.frombuffer(raw[e.begin : e.end], np.uint8) for e in read_extents(file)[0]
    }


def test_a_gguf_file_becomes_the_folder_that_it_was_converted_from(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    folder_of_gguf(tmp_path / "m.gguf", tmp_path / "m")
    found = stored(tmp_path / "m")
    for name, values in llama_tensors(llama_config()).items():
        bits = values.reshape(-1).view(np.uint32).astype(np.uint64)
        even = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        assert (found[name].view("<u2") == even.astype(np.uint16)).all(), name
    spec = load_model(str(tmp_path / "m"))
    assert (spec.layers, spec.hidden_size, spec.quantization) == (2, 64, "bf16")


def test_the_folder_computes_what_the_file_computes(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    folder_of_gguf(tmp_path / "m.gguf", tmp_path / "m")
    pytest.importorskip("gguf", reason="the probe reads GGUF files by the gguf package")
    tokens = np.arange(12)[None] * 7 % 128
    out = []
    for path in (tmp_path / "m.gguf", tmp_path / "m"):
        model = load_probe_model(path)
        h, plain = model.embed(tokens), exact(model)
        for layer in range(model.layers):
            h = model.layer(layer, h, plain, as_is)
        out.append(np.asarray(h))
    assert np.abs(out[0] - out[1]).max() < 0.02 * np.abs(out[0]).max()


def test_what_is_no_plain_model_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    raw = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "short.gguf").write_bytes(raw[:-4096])
    with pytest.raises(DataError, match=r"truncated|ends|beyond|damaged|after"):
        folder_of_gguf(tmp_path / "short.gguf", tmp_path / "s")
    write_gguf(tmp_path / "experts.gguf", expert_count=8.0)
    with pytest.raises(UnsupportedError, match="is not written as a folder"):
        folder_of_gguf(tmp_path / "experts.gguf", tmp_path / "s")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["experts.gguf", "m.gguf", "short.gguf"]


def quantised(tmp_path: Path, scheme: str) -> tuple[Path, Path]:
    source = tmp_path / "m"
    if not source.exists():
        write_llama(source)
        (source / "tokenizer.json").write_text("{}", encoding="utf-8")
    assignment = uniform(load_model(str(source)), scheme, (scheme,))
    config = json.loads(compressed_tensors.export(assignment).files["quantization_config.json"])
    write_quantised(assignment, config, source, tmp_path / scheme)
    return source, tmp_path / scheme


@pytest.mark.parametrize("scheme", ["int8-w8a8", "int4-w4a16-g32", "fp8-channel"])
def test_planned_matrices_are_quantised_and_the_rest_is_copied(tmp_path: Path, scheme: str) -> None:
    source, folder = quantised(tmp_path, scheme)
    before, after = stored(source), stored(folder)
    for name, raw in before.items():
        module = name.removesuffix(".weight")
        if "_proj" not in name:
            assert (after.pop(name) == raw).all()
            continue
        shape = load_shape(source, name)
        for part, array in stored_weight(scheme, values_of(raw.view("<u2")).reshape(shape)).items():
            assert after.pop(f"{module}.{part}").tobytes() == array.tobytes(), (name, part)
    assert not after
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["quantization_config"]["quant_method"] == "compressed-tensors"
    assert (folder / "tokenizer.json").is_file()


def load_shape(folder: Path, name: str) -> tuple[int, ...]:
    return next(
        e.tensor.shape
        for e in read_extents(folder / "model.safetensors")[0]
        if e.tensor.name == name
    )


def test_a_written_checkpoint_reads_back_as_the_scheme(tmp_path: Path) -> None:
    _, folder = quantised(tmp_path, "int8-w8a8")
    spec = load_model(str(folder))
    assert spec.quantization == "int8-w8a8"


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors_file.os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        quantised(tmp_path, "fp8-channel")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_another_model_and_a_quantised_one_are_refused(tmp_path: Path) -> None:
    source, folder = quantised(tmp_path, "int8-w8a8")
    assignment = uniform(load_model(str(source)), "int8-w8a8", ("int8-w8a8",))
    with pytest.raises(UnsupportedError, match="quantised already"):
        write_quantised(assignment, {}, folder, tmp_path / "again")
    other = write_llama(tmp_path / "other", num_hidden_layers=1)
    with pytest.raises(DataError, match=r"model.layers.1.*is missing \(7 in all\)"):
        write_quantised(assignment, {}, other, tmp_path / "again")
    with pytest.raises(InputError, match="exists"):
        write_quantised(assignment, {}, source, folder)
    assert not (tmp_path / "again").exists()


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["BF16", "I8", "I32", "F8_E4M3", "I64"]),
            st.lists(st.integers(0, 5), max_size=3),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_written_is_what_the_header_says(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[str, list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("files") / "a.safetensors"
    entries = [HeaderEntry(f"t{n}", dtype, tuple(shape)) for n, (dtype, shape) in enumerate(kinds)]
    data = [np.arange(e.bytes, dtype=np.uint8) for e in entries]
    total = write_safetensors(
        path, [TensorGroup((e,), lambda d=d: [d]) for e, d in zip(entries, data, strict=True)]
    )
    raw = path.read_bytes()
    extents = {e.tensor.name: e for e in read_extents(path)[0]}
    assert total == sum(
        prod(e.shape) * {"BF16": 2, "I32": 4, "I64": 8}.get(e.dtype, 1) for e in entries
    )
    for entry, array in zip(entries, data, strict=True):
        found = extents[entry.name]
        assert raw[found.begin : found.end] == array.tobytes()
        assert (found.tensor.dtype, found.tensor.shape) == (entry.dtype, entry.shape)


def test_a_part_that_is_not_as_long_as_it_says_is_refused(tmp_path: Path) -> None:
    short = TensorGroup((HeaderEntry("a", "I8", (4,)),), lambda: [np.zeros(3, np.int8)])
    with pytest.raises(DataError, match="has 3 bytes, not 4"):
        write_safetensors(tmp_path / "a.safetensors", [short])
    twice = TensorGroup((HeaderEntry("a", "I8", (1,)),), lambda: [as_bf16(np.zeros(1, np.float32))])
    with pytest.raises(DataError, match="two tensors"):
        write_safetensors(tmp_path / "b.safetensors", [twice, twice])


# SHA-256 over the quantised tensors that llm-compressor 0.14.0.1 (compressed-tensors 0.19, torch
# 2.13) wrote of the model below by each scheme's exported recipe.
LLM_COMPRESSOR = {
    "int8-w8a8": "4435bb7329d5080db02ff555dbd2f77dca8220cc5430570273b5ef7f69280609",
    "fp8-channel": "e46c7456fe66aa74f3e2d74d96fa21cc12cf770a70047e6c98fe5b68c19d0d6c",
    "int4-w4a16-g32": "f7b1e6aa0cc1160afdf21ccb209a420d4eca493389d1a98427fdbbe51676fd05",
    "fp8-tensor": "a3e2f37282677ba929029f31de984e4db783b2be3268203a4e8ca00b3d90e555",
    "int8-w8a16": "63454dab4f69768629e59b9a1362ba2cd40f3e9ea288f1db90ba2431726da2c1",
    "fp8-block": "c7de3401eefeb0dd4eb28f3fb1e34a0f95400d295ed4b1051b4e955924acfac1",
    "int4-w4a16": "869917fb74d2eb6966656987309901c598b0a609596a2fb4a6fbb13259e5df8c",
    "fp8-w8a16": "c7de3401eefeb0dd4eb28f3fb1e34a0f95400d295ed4b1051b4e955924acfac1",
}


@pytest.mark.parametrize("scheme", LLM_COMPRESSOR)
def test_it_is_what_llm_compressor_writes(tmp_path: Path, scheme: str) -> None:
    write_llama(
        tmp_path / "m", hidden_size=128, head_dim=32, intermediate_size=256, num_hidden_layers=1
    )
    _, folder = quantised(tmp_path, scheme)
    digest, raw = hashlib.sha256(), (folder / "model.safetensors").read_bytes()
    extents = sorted(read_extents(folder / "model.safetensors")[0], key=lambda e: e.tensor.name)
    for e in extents:
        if "_proj" in e.tensor.name:
            head = f"{e.tensor.name} {e.tensor.dtype} {list(e.tensor.shape)}\n"
            digest.update(head.encode() + raw[e.begin : e.end])
    assert digest.hexdigest() == LLM_COMPRESSOR[scheme]
