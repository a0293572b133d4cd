"""The catalogue of block formats and its bytes."""

import pytest

from planner.base.errors import UnknownNameError
from planner.formats.blocks import BLOCK_FORMATS, block_format
from planner.formats.elements import ELEMENTS
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element, tensor_bytes


def test_schemes_and_block_formats_agree():
    for id in ("mxfp4", "nvfp4"):
        assert block_format(id) == SCHEMES[id].weight
    assert block_format("mxfp8-e4m3") == SCHEMES["mxfp8"].weight
    assert block_format("mxfp6-e2m3") == SCHEMES["mxfp6"].weight
    assert all(f.element in ELEMENTS for f in BLOCK_FORMATS.values())


@pytest.mark.parametrize(
    ("id", "bits"),
    [
        ("mxfp8-e4m3", 8.25),
        ("mxfp8-e5m2", 8.25),
        ("mxfp6-e2m3", 6.25),
        ("mxfp6-e3m2", 6.25),
        ("mxfp4", 4.25),
        ("mxint8", 8.25),
        ("nvfp4", 4.5),
        ("int8-asymmetric", 8),
        ("int4-asymmetric-g128", 4 + 20 / 128),
        ("int4-asymmetric-g32", 4 + 20 / 32),
    ],
)
def test_bits(id, bits):
    assert bits_per_element(block_format(id)) == bits


def test_zero_points_are_counted():
    assert tensor_bytes(block_format("int8-asymmetric"), 10, 64) == 640 + 40 + 10
    assert tensor_bytes(block_format("int4-asymmetric-g32"), 2, 64) == 64 + 4 * 2 + 2


def test_names():
    assert block_format("MXFP8_E5M2").element == "e5m2"
    assert block_format("mxint8").element_exponent == -6
    with pytest.raises(UnknownNameError, match="mxfp5"):
        block_format("mxfp5")
