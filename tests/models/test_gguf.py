"""GGUF headers: against the gguf package, against lies, and as models with their own types."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.released import released_plan

from planner.base.errors import DataError, PlannerError, UnsupportedError
from planner.models.catalog import resolve_model
from planner.models.gguf_header import MAX_HEADER_BYTES, read_gguf
from planner.models.inventory import Inventory
from planner.models.storage import GGML_BLOCKS, stored_bytes
from planner.planning.inspect.memory import memory
from tests.support.theory import estimate

CODES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14, "BF16": 30}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        items = b"".join(map(text, value))
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + items
    return text(key) + struct.pack("<II", 4, value)


def header(pairs, tensors, *, version=3, counts=None):
    """Bytes of a header: {key: value}, [(name, type, dimensions as stored, offset)]."""
    data = b"GGUF" + struct.pack("<I", version)
    data += struct.pack("<QQ", *(counts or (len(tensors), len(pairs))))
    data += b"".join(pair(key, value) for key, value in pairs.items())
    for name, kind, dims, offset in tensors:
        code = kind if isinstance(kind, int) else CODES[kind]
        data += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, code, offset)
    return data


def write(path, pairs, tensors):
    """A file with holes for data; ``tensors`` are (name, type, shape, fastest axis last)."""
    placed, offset = [], 0
    for name, kind, shape in tensors:
        placed.append((name, kind, shape[::-1], offset))
        elements = 1
        for size in shape:
            elements *= size
        offset += -(-stored_bytes(kind, elements) // 32) * 32
    data = header(pairs, placed)
    with path.open("wb") as file:
        file.write(data)
        file.truncate(-(-len(data) // 32) * 32 + offset)


def llama(**changes):
    values = {
        "general.architecture": "llama", "llama.embedding_length": 256, "llama.block_count": 2,
        "llama.context_length": 2048, "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2, "llama.feed_forward_length": 512,
        "tokenizer.ggml.tokens": ["a", "b"],
    } | changes  # fmt: skip
    return {key: value for key, value in values.items() if value is not ...}


def llama_tensors(layers=2, down=("Q6_K", "Q4_K")):
    found = [("token_embd.weight", "Q8_0", (64, 256)), ("output_norm.weight", "F32", (256,))]
    for layer in range(layers):
        name = f"blk.{layer}."
        found += [
            (name + "attn_q.weight", "Q4_K", (256, 256)),
            (name + "attn_k.weight", "Q4_K", (128, 256)),
            (name + "attn_v.weight", "Q6_K", (128, 256)),
            (name + "attn_output.weight", "Q4_K", (256, 256)),
            (name + "attn_norm.weight", "F32", (256,)), (name + "ffn_norm.weight", "F32", (256,)),
            (name + "ffn_gate.weight", "Q4_K", (512, 256)),
            (name + "ffn_up.weight", "Q4_K", (512, 256)),
            (name + "ffn_down.weight", down[layer], (256, 512)),
        ]  # fmt: skip
    return found


@pytest.mark.parametrize("device", ["l40s", "xeon-6980p"])
def test_a_file_is_priced_as_it_is_stored(tmp_path, device):
    """Its blocks run in ggml's kernels; nothing is lost in what it stores but inputs' rounding."""
    path = tmp_path / "tiny-q4_k_m.gguf"
    write(path, llama(), llama_tensors())
    plan = estimate(str(path), device, engine="llama.cpp", devices=1, context=256, batch=1)
    schemes = {u.kind: u.scheme for u in plan.units}
    assert schemes["attention-out"] == "ggml-q4_k"
    assert {u.scheme for u in plan.units if u.kind == "mlp-down"} == {"ggml-q4_k", "ggml-q6_k"}
    assert plan.model.checkpoint_format == "ggml-q4_k"


def test_a_file_has_the_types_of_its_tensors(tmp_path):
    path = tmp_path / "Tiny-Q4_K_M.gguf"
    write(path, llama(), llama_tensors())
    spec = resolve_model(str(path))
    assert (spec.id, spec.layers, spec.tied_embeddings) == ("tiny-q4-k-m", 2, True)
    assert spec.quantization == "ggml-q4_k"
    assert released_plan(spec) == (
        ("embedding", (), "ggml-q8_0"), ("attention-qkv", (0, 1), "ggml-q4_k"),
        ("attention-qkv", (0, 1), "ggml-q6_k"), ("attention-out", (0, 1), "ggml-q4_k"),
        ("mlp-gate-up", (0, 1), "ggml-q4_k"), ("mlp-down", (0,), "ggml-q6_k"),
        ("mlp-down", (1,), "ggml-q4_k"),
    )  # fmt: skip
    inventory = Inventory(spec)
    assert inventory.payload_bytes == sum(t.bytes for t in read_gguf(path).tensors)
    assert inventory.parameters_total == 64 * 256 + 256 + 2 * (
        2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256 + 2 * 256)  # fmt: skip
    assert inventory.tensor_count == 20


def test_engines_do_not_cache_in_the_type_of_the_norms(tmp_path):
    write(tmp_path / "m.gguf", llama(), llama_tensors())
    got = memory(str(tmp_path / "m.gguf"), memory_bytes=10**11, context=256, engine="vllm")
    assert got.engine is not None
    assert dict(got.engine.settings)["kv-cache-dtype"] == "fp16"


def test_experts_of_a_layer_are_one_tensor(tmp_path):
    pairs = llama(**{"llama.expert_count": 4, "llama.expert_used_count": 2})
    tensors = [item for item in llama_tensors() if "ffn_norm" in item[0] or "ffn" not in item[0]]
    for layer in range(2):
        tensors += [
            (f"blk.{layer}.ffn_gate_inp.weight", "F32", (4, 256)),
            (f"blk.{layer}.ffn_gate_exps.weight", "Q4_K", (4, 512, 256)),
            (f"blk.{layer}.ffn_up_exps.weight", "Q4_K", (4, 512, 256)),
            (f"blk.{layer}.ffn_down_exps.weight", "Q6_K", (4, 256, 512)),
        ]  # fmt: skip
    write(tmp_path / "moe.gguf", pairs, tensors)
    spec = resolve_model(str(tmp_path / "moe.gguf"))
    assert spec.model_type == "mixtral"
    assert spec.experts is not None
    assert (spec.experts.count, spec.experts.per_token) == (4, 2)
    size = sum(t.bytes for t in read_gguf(tmp_path / "moe.gguf").tensors)
    assert Inventory(spec).payload_bytes == size


def test_a_split_file_is_read_whole(tmp_path):
    tensors = llama_tensors()
    write(tmp_path / "m-00001-of-00002.gguf", llama(**{"split.count": 2}), tensors[:9])
    write(tmp_path / "m-00002-of-00002.gguf", {"split.count": 2}, tensors[9:])
    for number in (1, 2):
        spec = resolve_model(str(tmp_path / f"m-0000{number}-of-00002.gguf"))
        assert Inventory(spec).tensor_count == 20
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(DataError, match="not a regular file"):
        resolve_model(str(tmp_path / "m-00001-of-00002.gguf"))
    write(tmp_path / "one.gguf", llama(**{"split.count": 2}), tensors[:9])
    with pytest.raises(DataError, match="one of 2 parts"):
        resolve_model(str(tmp_path / "one.gguf"))


def test_tables_of_rotary_frequencies_are_data(tmp_path):
    write(tmp_path / "m.gguf", llama(), [*llama_tensors(), ("rope_freqs.weight", "F32", (32,))])
    write(tmp_path / "n.gguf", llama(), llama_tensors())
    one, two = (Inventory(resolve_model(str(tmp_path / name))) for name in ("m.gguf", "n.gguf"))
    assert one.parameters_total == two.parameters_total
    assert one.payload_bytes == two.payload_bytes + 128


@pytest.mark.parametrize(
    ("pairs", "tensors", "reason"),
    [
        (llama(**{"general.architecture": "mamba"}), llama_tensors(), "'mamba' is not mapped"),
        (llama(**{"general.architecture": ...}), llama_tensors(), "architecture None"),
        (llama(), llama_tensors()[1:], "token_embd.weight is missing"),
        (llama(), llama_tensors()[:-1], "blk.1.ffn_down.weight is missing"),
        (llama(), [*llama_tensors(), ("blk.0.extra.weight", "F32", (4,))], "1 tensors that llama"),
        (llama(**{"llama.block_count": 3}), llama_tensors(), "blk.2.attn_q.weight is missing"),
        (llama(**{"llama.block_count": 10**6}), llama_tensors(), "the range is 1 to 1000"),
        (llama(**{"llama.feed_forward_length": 256}), llama_tensors(), "is 512x256, not 256x256"),
        (llama(**{"llama.embedding_length": ...}), llama_tensors(), "hidden_size is missing"),
    ],
)  # fmt: skip
def test_files_that_are_not_the_model_they_say(tmp_path, pairs, tensors, reason):
    write(tmp_path / "m.gguf", pairs, tensors)
    with pytest.raises((DataError, UnsupportedError)) as caught:
        resolve_model(str(tmp_path / "m.gguf"))
    assert reason in caught.value.message
    assert len(caught.value.message) < 400


ONE = [("a", "F32", (4,), 0)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a GGUF file"),
        (b"GGML" + bytes(40), "not a GGUF file"),
        (header({}, [], version=1), "GGUF version 1"),
        (header({}, [], version=3 << 24), "little-endian"),
        (header({}, [], counts=(2**60, 0)), "tensors do not fit"),
        (header({}, [], counts=(0, 2**60)), "pairs do not fit"),
        (header({}, []) + bytes(9), None),
        (header({}, ONE), "ends at byte 16 of"),
        (header({}, [("a", "F32", (4,), 7)]) + bytes(99), "is not aligned"),
        (header({}, [*ONE, ("b", "F32", (4,), 0)]) + bytes(99), "overlaps"),
        (header({}, [*ONE, ("a", "F32", (4,), 32)]) + bytes(99), "given twice"),
        (header({}, [("a", 99, (4,), 0)]) + bytes(99), "unknown ggml type 99"),
        (header({}, [("a", "Q4_K", (32,), 0)]) + bytes(999), "whole blocks of 256"),
        (header({}, [("a", "F32", (2**40, 2**40), 0)]) + bytes(99), "too large"),
        (header({}, [("a", "F32", (4, 0), 0)]) + bytes(99), "is empty"),
        (header({}, [("a", "F32", (1,) * 5, 0)]) + bytes(99), "5 dimensions"),
        (header({"general.alignment": 3}, ONE) + bytes(99), "general.alignment is 3"),
        (header({"x": 1}, [], counts=(0, 2)) + pair("x", 2), "'x' is given twice"),
        (header({}, [], counts=(0, 1)) + struct.pack("<Q", 2**50) + bytes(99), "a text of"),
        (header({}, [], counts=(0, 1)) + text("k") + struct.pack("<I", 77) + bytes(9), "type 77"),
        (header({}, [], counts=(0, 1)) + text("k") + struct.pack("<IIQ", 9, 4, 2**50), "elements"),
        (header({}, [], counts=(0, 1)) + text("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(9),
         "unknown type 9 of array"),
        (header({}, [], counts=(0, 1)) + struct.pack("<Q", 1) + b"\xff" + bytes(20), "not UTF-8"),
    ],
)  # fmt: skip
def test_headers_that_lie(tmp_path, data, reason):
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    if reason is None:
        assert read_gguf(path).tensors == ()
        return
    with pytest.raises(DataError) as caught:
        read_gguf(path)
    assert reason in caught.value.message
    assert len(caught.value.message) < 300


def test_a_hostile_header_allocates_little(tmp_path):
    path = tmp_path / "m.gguf"
    with path.open("wb") as file:
        file.write(header({}, [], counts=(0, 1)) + text("k") + struct.pack("<IIQ", 9, 4, 2**36))
        file.truncate(2**40)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="do not fit"):
            read_gguf(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    assert MAX_HEADER_BYTES == 64 * 2**20


@pytest.mark.parametrize("counts", [(200_001, 0), (0, 200_001)])
def test_more_items_than_a_model_has_are_refused(tmp_path, counts):
    path = tmp_path / "m.gguf"
    with path.open("wb") as file:
        file.write(header({}, [], counts=counts))
        file.truncate(2**26)
    with pytest.raises(DataError, match="the limit is 200000"):
        read_gguf(path)


def test_a_part_that_links_out_of_the_directory(tmp_path):
    tensors, folder = llama_tensors(), tmp_path / "folder"
    folder.mkdir()
    write(folder / "m-00001-of-00002.gguf", llama(**{"split.count": 2}), tensors[:9])
    write(tmp_path / "elsewhere.gguf", {"split.count": 2}, tensors[9:])
    (folder / "m-00002-of-00002.gguf").symlink_to(tmp_path / "elsewhere.gguf")
    with pytest.raises(DataError, match="link out of the directory"):
        resolve_model(str(folder / "m-00001-of-00002.gguf"))


@given(st.binary(max_size=300), st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_damaged_headers_give_a_planner_error(tmp_path_factory, noise, at):
    whole = header(llama(), [(n, k, s[::-1], 0) for n, k, s in llama_tensors()[:3]])
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    with pytest.raises(PlannerError):
        resolve_model(str(path))


@pytest.mark.oracle
def test_the_gguf_package_agrees(tmp_path):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed ([oracle] extra)")
    write(tmp_path / "m.gguf", llama(), llama_tensors())
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    found = read_gguf(tmp_path / "m.gguf")
    assert [(t.name, t.tensor_type.name, tuple(map(int, t.shape))[::-1], int(t.n_bytes))
            for t in reader.tensors] == [
        (t.name, t.type, t.shape, t.bytes) for t in found.tensors]  # fmt: skip
    for key, value in found.metadata.items():
        assert reader.fields[key].contents() == value


@pytest.mark.oracle
def test_block_sizes_are_those_of_the_gguf_package():
    gguf = pytest.importorskip("gguf", reason="gguf is not installed ([oracle] extra)")
    for kind, size in gguf.GGML_QUANT_SIZES.items():
        if kind.name in GGML_BLOCKS:
            assert GGML_BLOCKS[kind.name] == size, kind
    known = {kind.name for kind in gguf.GGML_QUANT_SIZES}
    assert set(GGML_BLOCKS) - known <= {"Q1_0", "Q2_0"}  # newer than some of its versions
