"""Checkpoint headers, sound and hostile: read without data, refused without allocating."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.models.headers import (
    INDEX_NAME,
    checkpoint_inventory,
    read_checkpoint,
    read_header,
)
from planner.models.storage import StoredTensor

SOUND = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}


def _write(path, header, *, data=12, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with path.open("wb") as file:
        file.write((len(text) if length is None else length).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + data)
    return path


def test_a_sound_header_is_read(tmp_path):
    second = {"dtype": "F32", "shape": [], "data_offsets": [12, 16]}
    path = _write(tmp_path / "a.safetensors",
                  {"__metadata__": {"format": "pt"}, "b": second, "a": SOUND}, data=16)  # fmt: skip
    assert read_header(path) == [
        StoredTensor("b", "F32", (), "a.safetensors"),
        StoredTensor("a", "BF16", (2, 3), "a.safetensors"),
    ]


def test_four_bit_elements_take_half_a_byte(tmp_path):
    entry = {"dtype": "F4", "shape": [3, 8], "data_offsets": [0, 12]}
    assert read_header(_write(tmp_path / "a", {"a": entry}))[0].shape == (3, 8)
    odd = {"dtype": "F4", "shape": [5, 5], "data_offsets": [0, 12]}
    with pytest.raises(DataError, match="12 bytes of data for shape 5x5 of F4"):
        read_header(_write(tmp_path / "a", {"a": odd}))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ([], "needs exactly"),
        (SOUND | {"extra": 1}, "needs exactly"),
        ({"dtype": "BF16", "shape": [6]}, "needs exactly"),
        (SOUND | {"dtype": "BF17"}, "unknown dtype 'BF17'"),
        (SOUND | {"dtype": ["BF16"]}, "unknown dtype a list"),
        (SOUND | {"shape": 6}, "shape is 6"),
        (SOUND | {"shape": [-2, -3]}, "shape holds -2"),
        (SOUND | {"shape": [2.0, 3]}, "shape holds 2.0"),
        (SOUND | {"shape": [True, 6]}, "shape holds True"),
        (SOUND | {"shape": [1] * 17}, "a list of 17"),
        (SOUND | {"shape": [2**62] * 16}, "12 bytes of data"),
        (SOUND | {"shape": [2**63]}, "the range is 0 to 2^62"),
        (SOUND | {"shape": [7]}, "12 bytes of data for shape 7 of BF16"),
        (SOUND | {"data_offsets": [0]}, "not a begin and an end"),
        (SOUND | {"data_offsets": [12, 0]}, "not a begin and an end"),
        (SOUND | {"data_offsets": [0, 13]}, "13 bytes of data"),
        (SOUND | {"data_offsets": [4, 16]}, "ends at byte 16"),
        (SOUND | {"data_offsets": [2**61, 2**61 + 12]}, "ends at byte"),
    ],
)
def test_an_entry_that_contradicts_itself_or_the_file(tmp_path, entry, reason):
    with pytest.raises(DataError) as caught:
        read_header(_write(tmp_path / "a.safetensors", {"weight": entry}))
    assert reason in caught.value.message
    assert "'weight'" in caught.value.message


@pytest.mark.parametrize(
    ("second", "data", "reason"),
    [
        ([0, 12], 12, "overlaps"),
        ([6, 18], 18, "overlaps"),
        ([14, 26], 26, "leaves a hole"),
        ([12, 24], 23, "the file is truncated"),
        ([12, 24], 30, "6 bytes of data belong to no tensor"),
    ],
)
def test_data_must_be_covered_once(tmp_path, second, data, reason):
    header = {"a": SOUND, "b": SOUND | {"data_offsets": second}}
    with pytest.raises(DataError, match=reason):
        read_header(_write(tmp_path / "a.safetensors", header, data=data))


@pytest.mark.parametrize(
    ("header", "length", "reason"),
    [
        (b"{}", 2**63, "claims 9223372036854775808 bytes"),
        (b"{}", 2**64 - 1, "truncated or not safetensors"),
        (b"{}", 15, "truncated or not safetensors"),
        (b"{}", 0, "not a JSON object"),
        (b"[]", None, "not a JSON object"),
        (b'{"a": "\xff"}', None, "not UTF-8"),
        (b'{"a": ', None, "not JSON"),
        (b'{"a":' * 100_000, None, "nested deeper"),
        (b'{"a": 1, "a": 2}', None, "given twice"),
        (b'{"__metadata__": [1]}', None, "not a map of strings"),
        (b'{"__metadata__": {"a": 1}}', None, "not a map of strings"),
        (b'{"a": 1}', None, "needs exactly"),
    ],
)
def test_a_header_that_is_no_header(tmp_path, header, length, reason):
    path = _write(tmp_path / "a.safetensors", header, length=length)
    with pytest.raises(DataError, match=reason):
        read_header(path)


@pytest.mark.parametrize("size", [0, 1, 7, 8])
def test_a_file_shorter_than_its_prefix(tmp_path, size):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"\0" * size)
    with pytest.raises(DataError):
        read_header(path)


def test_what_a_header_claims_is_not_allocated(tmp_path):
    path = tmp_path / "a.safetensors"
    for length in (90 * 10**6, 200 * 10**6):  # a hole of a file, then one over the limit
        with path.open("wb") as file:
            file.write(length.to_bytes(8, "little"))
            file.truncate(8 + length)
        tracemalloc.start()
        try:
            with pytest.raises(DataError):
                read_header(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2**20


def test_a_huge_tensor_costs_its_header_only(tmp_path):
    size = 2**40
    path = _write(tmp_path / "a.safetensors",
                  {"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}},
                  data=size)  # fmt: skip
    tracemalloc.start()
    try:
        assert read_header(path)[0].shape == (size,)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_directory_or_a_missing_file_is_no_header(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="not a regular file"):
            read_header(path)


@given(st.binary(max_size=300), st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_tensors_or_a_planner_error(tmp_path_factory, text, length):
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + text)
    try:
        found = read_header(path)
    except DataError:
        return
    assert found == []


def test_a_checkpoint_of_two_files(tmp_path, write_safetensors):
    write_safetensors(tmp_path / "b.safetensors", [("x", "BF16", (4, 4))])
    write_safetensors(tmp_path / "a.safetensors", [("y", "F32", (2,)), ("z", "BF16", (1,))])
    tensors = read_checkpoint(tmp_path)
    assert [(t.name, t.file) for t in tensors] == [
        ("y", "a.safetensors"), ("z", "a.safetensors"), ("x", "b.safetensors"),
    ]  # fmt: skip
    held = checkpoint_inventory(tmp_path)
    assert (held.files, held.tensor_count, held.payload_bytes) == (2, 3, 42)
    assert held.elements_by_dtype == {"BF16": 17, "F32": 2}


def test_a_tensor_stored_twice(tmp_path, write_safetensors):
    for name in ("a", "b"):
        write_safetensors(tmp_path / f"{name}.safetensors", [("x", "BF16", (4,))])
    with pytest.raises(DataError, match=r"'x' is stored twice, in a.safetensors and b"):
        read_checkpoint(tmp_path)


def test_the_index_must_agree_with_the_headers(tmp_path, write_safetensors):
    write_safetensors(tmp_path / "a.safetensors", [("x", "BF16", (4,)), ("y", "BF16", (4,))])
    write_safetensors(tmp_path / "unlisted.safetensors", [("x", "BF16", (4,))])
    index = tmp_path / INDEX_NAME

    def write(weights):
        index.write_text(json.dumps({"metadata": {}, "weight_map": weights}))

    write({"x": "a.safetensors", "y": "a.safetensors"})
    assert {tensor.name for tensor in read_checkpoint(tmp_path)} == {"x", "y"}
    for weights, reason in (
        ({"x": "a.safetensors"}, "disagree about 1 tensors, first 'y'"),
        ({"x": "a.safetensors", "y": "a.safetensors", "z": "a.safetensors"}, "first 'z'"),
        ({"x": "b.safetensors"}, "lists 'b.safetensors', which is not here"),
        ({"x": "../a.safetensors"}, "not a file name"),
        ({"x": ".."}, "not a file name"),
        ({"x": 3}, "not a file name"),
        ({"x": "\ud800.safetensors"}, "not a file name"),
        ({"x": "n" * 5000}, "which is not here"),
        ({}, "missing or empty"),
    ):
        write(weights)
        with pytest.raises(DataError, match=reason):
            read_checkpoint(tmp_path)
