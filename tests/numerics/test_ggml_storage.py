"""Blocks of every type, as any file may hold them: read as ggml itself reads them."""

import hashlib

import numpy as np
import pytest

from planner.formats.ggml_types import GGML_WEIGHTS
from planner.formats.schemes import SCHEMES
from planner.numerics import ggml_decode
from planner.numerics.ggml import inspect
from planner.numerics.ggml_blocks import BlockParts, part_values
from planner.numerics.ggml_grids import GRIDS, grid, packed_points
from planner.numerics.ggml_registry import GGML_TYPES, ggml_type

F = np.float32
ROWS, COLUMNS = 64, 1024


def anything(name: str) -> np.ndarray:
    """Bytes of 64 rows of 1,024 elements, the same everywhere: any scale, any code."""
    width = COLUMNS // GGML_WEIGHTS[name].elements * GGML_WEIGHTS[name].bytes
    raw = np.random.PCG64(13).random_raw(ROWS * width // 8 + 1).view(np.uint8)
    return raw[: ROWS * width].reshape(ROWS, width)


def decoded(name: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        return ggml_decode(anything(name), name)


# sha256 of what llama.cpp 0c1e570 (ggml_get_type_traits, to_float) makes of the bytes above, NaN
# as 0.
LIBRARY = {
    "q8_0": "7e30376d5627dd585c4e2c62c3686f33",
    "q4_0": "d9a098b65602e27350171eb1c09f9b26",
    "q4_k": "7c6adfdec3b12382a5092bc8ad538fbb",
    "q6_k": "be9b75ab2c9d3d4c9e225221fb3b72e2",
    "q5_1": "e3fa736ceb465682120e82502f52bfea",
    "q5_k": "48b19cad6ddb972cab2b21c7a6d31f06",
    "q5_0": "e4d3865cb844ed7b3709732cabedde25",
    "q4_1": "3c5cd8d9ba28be154030a0c4109ed2b1",
    "iq4_nl": "37d9dbac06dee6310eca56fd4ef32aa1",
    "nvfp4": "3bd2cfdeaa18c30d09e3917ae4895755",
    "mxfp4": "3aae139b8e5ced63948c8ec37b6f4d6c",
    "iq4_xs": "11ad352fcaa0082b9bfdf435c276128f",
    "q3_k": "06929eafd233237f179c9ef6da1f7960",
    "iq3_s": "f94f86423434aa02e912ac3848ec8b19",
    "iq3_xxs": "5a3ded6ddb06b2ab14508236ced98c4b",
    "q2_k": "c91f6a1ebe763f47ca83dd53635481e5",
    "iq2_s": "a47ad531d0143a3aeed6048baee40508",
    "iq2_xs": "19a6133951839d5d1a425ca667db4e59",
    "q2_0": "71f582bc53e66300c71f36017f9da58b",
    "iq2_xxs": "3bacd35d4b75a66f4db5803051ea18a1",
    "tq2_0": "dd7f70e5cf2943c6e72fc143083f3f8c",
    "iq1_m": "24ec18d0a73cb602d38ef22d0b17dff4",
    "tq1_0": "d9b9f3c4e21c0973ec80bd90d11f0dfd",
    "iq1_s": "f3fef9290220e4c1ee0085859a556a2d",
    "q1_0": "e468fd32b37c8643e0448f2d18854d4d",
}


@pytest.mark.parametrize("name", GGML_WEIGHTS)
def test_values_equal_those_of_the_library(name):
    values = decoded(name)
    finite = np.where(np.isnan(values), F(0), values)
    assert hashlib.sha256(finite.tobytes()).hexdigest()[:32] == LIBRARY[name]


@pytest.mark.parametrize("name", sorted(set(GGML_WEIGHTS) - {"q1_0", "q2_0"}))
def test_values_equal_the_gguf_package(name):
    """It decodes all but the two types of whole signs and crumbs."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed (a test tool)")
    kind = getattr(gguf.GGMLQuantizationType, name.upper(), None)
    if kind is None:
        pytest.skip(f"this gguf package does not know {name}")
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(decoded(name), gguf.quants.dequantize(anything(name), kind))


def test_numbers_and_blocks_are_those_of_the_gguf_package():
    gguf = pytest.importorskip("gguf", reason="gguf is not installed (a test tool)")
    for name, one in GGML_WEIGHTS.items():
        kind = getattr(gguf.GGMLQuantizationType, name.upper(), None)
        if kind is not None:
            assert int(kind) == one.number
            assert gguf.GGML_QUANT_SIZES[kind] == (one.elements, one.bytes)


@pytest.mark.parametrize("name", GGML_WEIGHTS)
def test_a_view_makes_the_values(name):
    fmt, stored = SCHEMES[f"ggml-{name}"].weight, anything(name)
    with np.errstate(all="ignore"):
        view = inspect(stored, fmt)
        parts = BlockParts(view.codes, view.scales, view.minima, nibbles=name == "q4_0")
        np.testing.assert_array_equal(part_values(parts), decoded(name))


def test_grids_hold_distinct_points_of_their_levels():
    sizes = dict(zip(GRIDS, (256, 512, 1024, 256, 512, 2048), strict=True))
    for name, size in sizes.items():
        points = grid(name)
        assert points.shape == (size, 4 if name.startswith("iq3") else 8)
        assert len(np.unique(points, axis=0)) == len(np.unique(packed_points(name))) == size
        assert (np.diff(packed_points(name).astype(int)) > 0).all()
    assert set(np.unique(grid("iq1_s"))) == {-1, 0, 1}
    assert set(np.unique(grid("iq2_s"))) == {8, 25, 43}


def test_every_type_of_weights_is_registered_as_it_is_stored():
    for name, one in GGML_WEIGHTS.items():
        kind = GGML_TYPES[name]
        assert (kind.elements, kind.block_bytes) == (one.elements, one.bytes)
        assert ggml_type(f"GGML-{name}".upper()) is kind
