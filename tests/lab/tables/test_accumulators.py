"""Accumulators: the shipped table, the path of a scheme on a device, and their part in a plan."""

import json

import numpy as np
import pytest

from planner.formats.schemes import SCHEMES
from planner.hardware.catalog import device_ids, resolve_device
from planner.lab.tables import accumulators
from planner.numerics import matmul
from planner.quality.accumulators import EXACT, UNKNOWN, load_accumulators, path_of
from planner.quality.synthetic import LINEAR_KINDS
from tests.support import theory


@pytest.fixture(scope="module")
def table():
    return json.loads(accumulators.PATH.read_text(encoding="utf-8"))


def test_the_shipped_table_is_what_the_code_computes(table) -> None:
    assert set(table["added"]) == set(accumulators.SAMPLED)
    assert all(set(kinds) == set(LINEAR_KINDS) for kinds in table["added"].values())
    for path in ("hopper-wgmma", "hopper-wgmma/128"):
        fresh = accumulators._added("attention-out", 512, path, table["seed"])
        assert fresh == pytest.approx(table["added"][path]["attention-out"][0], rel=1e-4)
    text = accumulators.PATH.read_text(encoding="utf-8")
    assert accumulators.to_json(table) == text


def test_promotion_and_wider_sums_add_less_and_long_sums_more() -> None:
    found = load_accumulators()
    for kind in LINEAR_KINDS:
        narrow, promoted, wide = (
            found.error(path, kind, 8192)
            for path in ("hopper-wgmma", "hopper-wgmma/128", "blackwell-tcgen05")
        )
        assert narrow > 2 * promoted > 20 * wide
        assert found.error("hopper-wgmma", kind, 32768) > found.error("hopper-wgmma", kind, 512)


def test_between_tabulated_inputs_the_error_lies_between_theirs() -> None:
    found = load_accumulators()
    row = found.added["hopper-wgmma"]["mlp-down"]
    assert found.error("hopper-wgmma", "mlp-down", 2048) == pytest.approx(row[1])
    middle = found.error("hopper-wgmma", "mlp-down", 4096)
    assert min(row[1:3]) <= middle <= max(row[1:3])
    assert found.error("hopper-wgmma", "mlp-down", 1 << 20) == pytest.approx(row[-1])


@pytest.mark.parametrize(
    ("capability", "scheme", "path"),
    [
        ("9.0", "fp8-tensor", "hopper-wgmma"),
        ("9.0", "fp8-channel", "hopper-wgmma"),
        ("9.0", "fp8-block", "hopper-wgmma/128"),
        ("9.0", "int8-w8a8", EXACT),
        ("9.0", "bf16", EXACT),
        ("9.0", "int4-w4a16", EXACT),
        ("9.0", "nvfp4", UNKNOWN),
        ("8.9", "fp8-tensor", "ada"),
        ("8.0", "fp8-tensor", UNKNOWN),
        ("10.0", "fp8-block", "blackwell-tcgen05"),
        ("10.0", "nvfp4", "blackwell-block-scaled"),
        ("12.0", "fp8-tensor", "blackwell-geforce"),
        ("12.1", "fp8-block", "blackwell-geforce"),
        ("12.1", "nvfp4", "blackwell-block-scaled"),
        ("8.6", "fp8-tensor", UNKNOWN),
        ("7.5", "fp8-tensor", UNKNOWN),
        ("7.5", "int8-w8a8", EXACT),
        ("10.7", "fp8-tensor", UNKNOWN),
        (None, "fp8-tensor", UNKNOWN),
        (None, "int8-w8a8", EXACT),
    ],
)
def test_the_path_of_a_scheme(capability: str | None, scheme: str, path: str) -> None:
    assert path_of(capability, SCHEMES[scheme]) == path


@pytest.mark.parametrize(
    ("target", "scheme", "path"),
    [
        ("gfx942", "fp8-channel", "cdna3"),
        ("gfx942", "fp8-block", "cdna3"),
        ("gfx950", "fp8-tensor", "cdna4"),
        ("gfx950", "mxfp4", UNKNOWN),
        ("gfx942", "bf16", EXACT),
        ("gfx1151", "fp8-tensor", UNKNOWN),
        ("v6e", "fp8-tensor", UNKNOWN),
    ],
)
def test_the_path_of_a_scheme_on_a_device_without_compute_capability(
    target: str, scheme: str, path: str
) -> None:
    assert path_of(None, SCHEMES[scheme], target) == path


def test_cdna3_sums_codes_as_fnuz_to_a_quarter() -> None:
    """What the table's row of cdna3 rests on: the codes are kept, and the scales double."""
    a, b = (
        np.random.default_rng(seed).integers(0, 120, (8, 512), dtype=np.uint8) for seed in (1, 2)
    )
    ours = matmul(a, b.T, a_format="e4m3fnuz", b_format="e4m3fnuz", unit="cdna3")
    theirs = matmul(a, b.T, a_format="e4m3fn", b_format="e4m3fn", unit="cdna4")
    assert np.array_equal(ours * np.float32(4), theirs)


WITHOUT_UNIT = {"gaudi-3", "rubin-r200", "tpu-v6e", "tpu-v7", "trainium2"}
"""Nobody has published how these add products of FP8."""


def test_every_device_that_multiplies_fp8_has_a_unit_or_is_known_to_have_none() -> None:
    without = {
        id
        for id in device_ids()
        if (device := resolve_device(id)).kind != "cpu"
        and device.rate("fp8") is not None
        and path_of(device.compute_capability, SCHEMES["fp8-channel"], device.target) == UNKNOWN
    }
    assert without == WITHOUT_UNIT


def test_a_plan_counts_them_and_says_so() -> None:
    def loss(device: str, scheme: str) -> float:
        return theory.estimate(
            "qwen2.5-0.5b", device, scheme=scheme, devices=1, context=1024, batch=1
        ).quality.loss

    assert loss("h100-sxm", "fp8-block") >= loss("b200-sxm", "fp8-block") > 0
    hopper, blackwell = loss("h100-sxm", "fp8-tensor"), loss("b200-sxm", "fp8-tensor")
    assert blackwell < hopper < 1.2 * blackwell
    assert loss("h100-sxm", "int8-w8a8") == pytest.approx(loss("a100-sxm", "int8-w8a8"), rel=1e-3)
    made = theory.estimate(
        "qwen2.5-0.5b", "h100-sxm", scheme="fp8-tensor", devices=1, context=1024, batch=1
    )
    [said] = [a.value for a in made.assumptions if a.key == "accumulators"]
    assert "fp8-tensor at most" in said
    assert "hopper-wgmma" in said
