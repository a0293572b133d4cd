"""Devices' names find the unit that multiplies their floats; FP4 by both of its instructions."""

import numpy as np
import pytest

from planner.base.errors import UnknownNameError
from planner.hardware.catalog import device_ids
from planner.numerics import encode, matmul, unit, unit_ids
from planner.numerics.dot_reference import dot_reference
from planner.numerics.unit_catalog import device_unit

UNITLESS = (
    "rubin-r200",
    "graviton4",
    "gaudi-3",
    "ascend-910b",
    "ascend-910c",
    "tpu-v5e",
    "tpu-v6e",
    "tpu-v7",
    "trainium2",
    "trainium3",
    "apple-m3-ultra",
    "apple-m4-max",
    "strix-halo",
)
"""Devices of whose sums no description is public that reaches their bits."""


@pytest.mark.parametrize("id", device_ids())
def test_every_device_of_the_catalogue_has_a_unit_or_is_named_here(id):
    assert (device_unit(id) is None) == (id in UNITLESS or id == "host"), id


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("H100", "hopper-wgmma"),
        ("NVIDIA H100 80GB HBM3", "hopper-wgmma"),
        ("GH200", "hopper-wgmma"),
        ("h20", "hopper-wgmma"),
        ("B200", "blackwell-tcgen05"),
        ("jetson_agx_thor", "blackwell-tcgen05"),
        ("A100-SXM4-80GB", "ampere"),
        ("RTX 3090", "ampere"),
        ("drive-orin-x", "ampere"),
        ("L40S", "ada"),
        ("GeForce RTX 4080 Super", "ada"),
        ("RTX 5090", "blackwell-geforce"),
        ("dgx-spark", "blackwell-geforce"),
        ("sm_120", "blackwell-geforce"),
        ("Tesla T4", "turing"),
        ("V100-SXM2-32GB", "volta"),
        ("AMD Instinct MI300X", "cdna3"),
        ("gfx90a", "cdna2"),
        ("MI100", "cdna1"),
        ("mi355x", "cdna4"),
        ("Intel Xeon Platinum 8490H", "amx-bf16"),
        ("epyc-9575f", "avx512-bf16"),
        ("M4 Max", None),
        ("", None),
        ("h1000", None),
    ],
)
def test_names(name, id):
    assert device_unit(name) == id


def test_a_unit_that_is_not_emulated_says_which():
    for name in ("T4", "MI300X", "RTX 5090", "mi355x"):
        id = device_unit(name)
        if id in unit_ids():
            assert unit(name).id == id
            continue
        with pytest.raises(UnknownNameError, match=f"its unit, {id}, is not emulated"):
            unit(name)


@pytest.mark.parametrize("unit_id", ["blackwell-mxf8f6f4", "blackwell-block-scaled"])
def test_fp4_by_both_instructions(unit_id):
    """kind::mxf8f6f4 adds 32 terms with 25 fraction bits, kind::mxf4 64 with 35."""
    rule = unit(unit_id).rule("e2m1", "e2m1", "fp32")
    assert (rule.terms, rule.fraction_bits) == ((32, 25) if "f8" in unit_id else (64, 35))
    rng = np.random.default_rng(0)
    a, b = (
        rng.integers(0, 16, (5, 128)).astype(np.uint8),
        rng.integers(0, 16, (128, 3)).astype(np.uint8),
    )
    sa = rng.integers(120, 135, (5, 4)).astype(np.uint8)
    sb = rng.integers(120, 135, (4, 3)).astype(np.uint8)
    got = matmul(a, b, a_format="e2m1", b_format="e2m1", unit=unit_id, a_scales=sa, b_scales=sb)
    for i in range(5):
        for j in range(3):
            want = dot_reference(
                a[i].tolist(),
                b[:, j].tolist(),
                0,
                rule,
                "e2m1",
                "e2m1",
                sa[i].tolist(),
                sb[:, j].tolist(),
                "e8m0",
                32,
            )
            assert got.view(np.uint32)[i, j] == want


def test_the_two_instructions_differ():
    """Two large products that cancel, and an accumulator of 1: cut by one, kept by the other."""
    a, b = np.zeros((1, 64), np.uint8), np.zeros((64, 1), np.uint8)
    a[0, :2], b[:2, 0] = encode([6.0, -6.0], "e2m1"), encode([6.0, 6.0], "e2m1")
    scales = np.array([[154, 127]], np.uint8), np.array([[127], [127]], np.uint8)
    found = [
        matmul(
            a,
            b,
            a_format="e2m1",
            b_format="e2m1",
            unit=u,
            c=[[1.0]],
            a_scales=scales[0],
            b_scales=scales[1],
        )[0, 0]
        for u in ("blackwell-mxf8f6f4", "blackwell-block-scaled")
    ]
    assert found == [0, 1]
