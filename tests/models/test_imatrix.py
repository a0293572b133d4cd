"""Importance matrices: both forms, damage, and matrices of other models."""

import struct

import numpy as np
import pytest

from planner.base.errors import DataError
from planner.models.catalog import resolve_model
from planner.models.imatrix import check_imatrix, load_imatrix

MODEL = "qwen3-30b-a3b"
Q, EXPERTS = "blk.3.attn_q.weight", "blk.3.ffn_down_exps.weight"


def legacy(entries, chunks=7):
    """The older form: means times calls, then the number of chunks."""
    out = struct.pack("<i", len(entries))
    for name, (values, calls) in entries.items():
        text = name.encode()
        data = np.asarray(values, "<f4") * np.float32(calls)
        out += struct.pack("<i", len(text)) + text + struct.pack("<ii", calls, data.size)
        out += data.tobytes()
    return out + struct.pack("<i", chunks)


def gguf(path, entries, *, metadata=True):
    """As llama-imatrix writes it: sums of squares and counts, expert by expert."""
    library = pytest.importorskip("gguf", reason="gguf is not installed (a test tool)")
    writer = library.GGUFWriter(path, "imatrix")
    if metadata:
        writer.add_array("imatrix.datasets", ["text"])
        writer.add_uint32("imatrix.chunk_count", 5)
        writer.add_uint32("imatrix.chunk_size", 512)
    for name, (sums, counts) in entries.items():
        writer.add_tensor(name + ".in_sum2", np.asarray(sums, "f4"))
        writer.add_tensor(name + ".counts", np.asarray(counts, "f4")[:, None])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def written(tmp_path, data, name="matrix.dat"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_the_older_form_divides_by_calls(tmp_path):
    found = load_imatrix(written(tmp_path, legacy({Q: (np.arange(2048), 3)})))
    assert found.chunks == 7
    np.testing.assert_array_equal(found.entries[Q], np.arange(2048, dtype="f4"))
    row = "model.layers.{layer}.self_attn.q_proj.weight"
    np.testing.assert_array_equal(found.of(row, 3, -1, 2048), found.entries[Q])
    assert found.of(row, 4, -1, 2048) is None


def test_gguf_divides_by_the_count_of_each_expert(tmp_path):
    sums, counts = np.full((128, 768), 6.0), np.arange(128)
    found = load_imatrix(gguf(tmp_path / "m.gguf", {EXPERTS: (sums, counts)}))
    assert found.chunks == 5
    row = "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight"
    assert (found.of(row, 3, 2, 768) == 3).all()
    assert (found.of(row, 3, 0, 768) == 1).all()  # no token reached it
    assert check_imatrix(found, resolve_model(MODEL)) > 100


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither a GGUF file"),
        (b"a text, and no matrix at all", "neither a GGUF file"),
        (legacy({Q: ([1, 2], 1)})[:30], "neither a GGUF file"),
        (legacy({Q: ([1, -2], 1)}), "negative or not finite"),
        (legacy({Q: ([1, np.inf], 1)}), "negative or not finite"),
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path, data, words):
    with pytest.raises(DataError, match=words) as error:
        load_imatrix(written(tmp_path, data))
    assert "llama-imatrix" in error.value.hint


def test_a_gguf_file_without_one_is_refused(tmp_path):
    with pytest.raises(DataError, match="without an importance matrix"):
        load_imatrix(gguf(tmp_path / "m.gguf", {}))
    with pytest.raises(DataError, match="chunk_count is missing"):
        load_imatrix(gguf(tmp_path / "n.gguf", {Q: (np.ones((1, 4)), [1])}, metadata=False))
    with pytest.raises(DataError, match="cannot be read"):
        load_imatrix(tmp_path / "nowhere.dat")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"blk.99.attn_q.weight": (np.ones(2048), 1)}, "of another model.*blk.99"),
        ({Q: (np.ones(512), 1)}, "has 512 numbers, the model 2048"),
        ({EXPERTS: (np.ones(768), 1)}, "has 768 numbers, the model 98304"),
    ],
)
def test_a_matrix_of_another_model_is_refused(tmp_path, entries, words):
    found = load_imatrix(written(tmp_path, legacy(entries)))
    with pytest.raises(DataError, match=words):
        check_imatrix(found, resolve_model(MODEL))
