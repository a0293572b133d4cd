"""The element catalogue against the published tables of each format."""

import subprocess
import sys

import pytest

from planner.base.errors import UnknownNameError
from planner.formats.elements import ELEMENTS, element
from planner.models.storage import STORED_TYPES

# id, bits, bias, max finite, min normal, min subnormal: OFP8, MX v1.0 and IEEE 754; FNUZ and the
# two after it: ml_dtypes 0.6, whose finfo the tests of casts read.
PUBLISHED = [
    ("fp32", 32, 127, 3.4028234663852886e38, 2**-126, 2**-149),
    ("tf32", 32, 127, (2 - 2**-10) * 2.0**127, 2**-126, 2**-136),
    ("bf16", 16, 127, (2 - 2**-7) * 2.0**127, 2**-126, 2**-133),
    ("fp16", 16, 15, 65504, 2**-14, 2**-24),
    ("e4m3fn", 8, 7, 448, 2**-6, 2**-9),
    ("e5m2", 8, 15, 57344, 2**-14, 2**-16),
    ("e3m2", 6, 3, 28, 0.25, 2**-4),
    ("e2m3", 6, 1, 7.5, 1, 2**-3),
    ("e2m1", 4, 1, 6, 1, 0.5),
    ("e8m0", 8, 127, 2.0**127, 2**-127, 2**-127),
    ("ue4m3", 8, 7, 448, 2**-6, 2**-9),
    ("int8", 8, 0, 127, 1, 1),
    ("int4", 4, 0, 7, 1, 1),
    ("e4m3fnuz", 8, 8, 240, 2**-7, 2**-10),
    ("e5m2fnuz", 8, 16, 57344, 2**-15, 2**-17),
    ("e4m3b11fnuz", 8, 11, 30, 2**-10, 2**-13),
    ("e4m3", 8, 7, 240, 2**-6, 2**-9),
    ("e3m4", 8, 3, 15.5, 2**-2, 2**-6),
    ("mxint8", 8, 0, 127 / 64, 2**-6, 2**-6),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda r: r[0])
def test_published_limits(row):
    e = element(row[0])
    limits = (e.id, e.bits, e.bias, e.max_finite, e.min_normal, e.min_subnormal)
    assert limits == row


def test_the_published_formats_are_there_in_their_order():
    published = [row[0] for row in PUBLISHED]
    assert [id for id in ELEMENTS if id in published] == published


def test_infinities_and_nan_rules():
    assert {e.id for e in ELEMENTS.values() if e.has_inf} == {
        "fp32",
        "tf32",
        "bf16",
        "fp16",
        "e5m2",
        "e4m3",
        "e3m4",
    }
    assert {e.id for e in ELEMENTS.values() if e.nan == "none"} == {
        "e3m2",
        "e2m3",
        "e2m1",
        "int8",
        "int4",
        "mxint8",
    }
    assert {e.id for e in ELEMENTS.values() if e.nan == "negative-zero"} == {
        "e4m3fnuz",
        "e5m2fnuz",
        "e4m3b11fnuz",
    }
    assert ELEMENTS["e8m0"].nan == "ff"


def test_spellings_and_unknown_names():
    assert element("E4M3FN") is ELEMENTS["e4m3fn"]
    with pytest.raises(UnknownNameError) as caught:
        element("e4m3fnx")
    assert "e4m3fn" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("float8_e4m3fn", "e4m3fn"),
        ("torch.float8_e5m2fnuz", "e5m2fnuz"),
        ("F8_E4M3", "e4m3fn"),
        ("float8_e4m3", "e4m3"),
        ("f8E4M3FNUZ", "e4m3fnuz"),
        ("float8_e8m0fnu", "e8m0"),
        ("float4_e2m1fn", "e2m1"),
        ("float6_e3m2fn", "e3m2"),
        ("torch.bfloat16", "bf16"),
        ("half", "fp16"),
        ("jnp.float32", "fp32"),
        (" E4M3 ", "e4m3"),
        ("F4", "e2m1"),
        ("I8", "int8"),
    ],
)
def test_names_of_libraries_and_checkpoints(name, id):
    assert element(name).id == id


def test_a_name_of_none_is_no_format():
    for name in ("", "torch.", "float8", "f8", "int2x", "e4m3fn_x2"):
        with pytest.raises(UnknownNameError):
            element(name)


def test_checkpoints_store_an_element_under_its_name():
    named = {
        e.checkpoint_name: (e.id, e.bits)
        for e in ELEMENTS.values()
        if e.checkpoint_name and e.id != "ue4m3"
    }  # stored under the name of e4m3fn
    assert len(named) > 8
    assert named == {name: (STORED_TYPES[name].format, STORED_TYPES[name].bits) for name in named}


def test_formats_do_not_import_numpy():
    code = (
        "import planner.formats.elements, planner.formats.schemes, planner.formats.sizes,"
        " planner.formats.kv, sys; sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
