"""ggml by ctypes where it is installed: what is timed computes what it should.

PLAN_LLAMA_CPP, llama-bench on the PATH or the Python package llama_cpp name the installation.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from planner.lab.measuring.find_ggml import NOWHERE, find_ggml
from planner.lab.measuring.ggml_attention import causal_mask
from planner.lab.measuring.ggml_gemm import NOT_STORED, copies_of, weight_types
from planner.lab.measuring.ggml_library import F16, F32, TYPES, GgmlLibrary, load, repeated_rows

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def library() -> Iterator[GgmlLibrary]:
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    files = find_ggml()
    if files is None:
        pytest.skip(NOWHERE)
    return load(files.base, files.cpu, 1)


def values_of(library: GgmlLibrary, node: int, count: int) -> Array:
    """What a node holds."""
    get = library.base.ggml_backend_tensor_get
    get.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
    out = np.empty(count, dtype=np.float32)
    get(node, out.ctypes.data, 0, out.nbytes)
    return out


def test_numbers_of_types_are_those_of_the_headers() -> None:
    assert (TYPES[0], TYPES[8], TYPES[14], TYPES[30], TYPES[39]) == (
        "f32",
        "q8_0",
        "q6_k",
        "bf16",
        "mxfp4",
    )


def test_a_build_names_its_types_and_itself(library: GgmlLibrary) -> None:
    assert {"f32", "q8_0", "q4_k", "bf16"} <= set(library.number)
    assert library.version
    assert library.row_bytes("q8_0", 64) == 68
    types = weight_types(library, quick=False)
    assert not set(types) & set(NOT_STORED)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("f32", 1e-5), ("bf16", 0.01), ("q8_0", 0.02), ("q4_0", 0.15), ("q4_k", 0.15), ("q6_k", 0.05)],
)
@pytest.mark.parametrize("tokens", [1, 5])
def test_products_are_those_of_the_matrix(
    library: GgmlLibrary, kind: str, error: float, tokens: int
) -> None:
    random = np.random.default_rng(3)
    weight = random.standard_normal((32, 512), dtype=np.float32)
    rows = random.standard_normal((tokens, 512), dtype=np.float32)
    with library.graph() as graph:
        data = weight.tobytes() if kind == F32 else library.quantised(kind, weight)
        node = graph.product(
            graph.weight(kind, 32, 512, data), graph.tensor(F32, 512, tokens, data=rows.tobytes())
        )
        graph.run()
        found = values_of(library, node, tokens * 32).reshape(tokens, 32)
    exact = rows @ weight.T
    assert np.linalg.norm(found - exact) < error * np.linalg.norm(exact)


def test_attention_is_causal(library: GgmlLibrary) -> None:
    tokens, heads, width, padded = 70, 2, 64, 128
    random = np.random.default_rng(4)
    query, keys, values = (
        random.standard_normal((heads, tokens, width), dtype=np.float32) for _ in range(3)
    )
    wide = np.zeros((2, heads, padded, width), dtype=np.float16)
    wide[0, :, :tokens], wide[1, :, :tokens] = keys, values
    mask = np.full((padded, padded), -np.inf, dtype=np.float16)
    mask[:tokens] = causal_mask(tokens, tokens, padded)
    with library.graph() as graph:
        tensors = [graph.tensor(F16, width, padded, heads, 1, data=one.tobytes()) for one in wide]
        node = graph.attention(
            graph.tensor(F32, width, tokens, heads, 1, data=query.tobytes()),
            *tensors,
            graph.tensor(F16, padded, padded, data=mask.tobytes()),
            width**-0.5,
        )
        graph.run()
        found = values_of(library, node, tokens * heads * width).reshape(tokens, heads, width)
    scores = np.einsum("hqd,hkd->hqk", query, keys) * width**-0.5
    scores[:, np.triu(np.ones((tokens, tokens), dtype=bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    exact = np.einsum("hqk,hkd->qhd", weights, values)
    assert np.abs(found - exact).max() < 0.01


def test_rows_repeat_a_few(library: GgmlLibrary) -> None:
    row = library.row_bytes("q8_0", 64)
    data = repeated_rows(library, "q8_0", 20, 64)
    assert len(data) == 20 * row
    assert data[:row] == data[8 * row : 9 * row] != data[row : 2 * row]


def test_the_mask_of_a_step_hides_what_is_not_there() -> None:
    one = causal_mask(1, 5, 8)
    assert one.shape == (1, 8)
    assert (one[0, :5] == 0).all()
    assert np.isneginf(one[0, 5:]).all()


def test_more_weights_than_a_cache_holds_are_read_in_turn() -> None:
    assert copies_of(4 << 20, 32 << 20) == 17
    assert copies_of(1 << 30, 32 << 20) == 2
    assert copies_of(1, 1 << 40) == 64
