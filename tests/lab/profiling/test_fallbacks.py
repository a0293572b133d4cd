"""Types that do not fill some rows: the run goes on; what is written there stands in."""

from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import write_llama

from planner.formats.ggml_types import GGML_WEIGHTS, written_type
from planner.lab.profiling.profile import profile
from planner.quality.profile import Profile

ASKED = ["ggml-q4_k", "ggml-q6_k", "ggml-q8_0"]
NARROW, WIDE = ("attention-qkv", 0), ("mlp-down", 0)
"""Rows of 64, and of 256."""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny", intermediate_size=256)


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "ids.npy"
    np.save(path, np.random.default_rng(8).integers(0, 128, (2, 24)))
    return path


def check(found: Profile) -> None:
    probe = {"int4-w4a16-g32"} if found.tier == "T2" else set()
    assert set(found.schemes) == {*ASKED, "ggml-q5_0", "fp8-block"} | probe
    assert "ggml-q4_k" not in found.by_unit[NARROW].loss
    assert 0 < found.by_unit[WIDE].loss["ggml-q6_k"] < found.by_unit[WIDE].loss["ggml-q4_k"]
    narrow = found.by_unit[NARROW].loss
    assert 0 < narrow["ggml-q8_0"] < narrow["ggml-q5_0"]
    [k4, k6] = [note for note in found.notes if "not whole blocks" in note]
    assert k4 == (
        "ggml-q4_k: not measured on 12 matrices with rows of 64, which are not whole "
        "blocks; llama-quantize writes ggml-q5_0 there"
    )
    assert k6.endswith("llama-quantize writes ggml-q8_0 there")


@pytest.mark.parametrize("tier", ["T2", "T3"])
def test_a_probe_goes_on_where_a_type_does_not_fit(checkpoint: Path, ids: Path, tier: str) -> None:
    lines: list[str] = []
    check(profile(checkpoint, tier=tier, text=ids, schemes=ASKED, workers=1, notify=lines.append))
    assert (
        "ggml-q4_k does not fill the rows of every matrix: ggml-q5_0 is measured too, which "
        "llama-quantize writes there" in lines
    )


def test_backward_passes_go_on_as_well(checkpoint: Path) -> None:
    check(profile(checkpoint, tier="T1", schemes=ASKED, workers=1, tokens=96))


def test_a_probe_scheme_that_does_not_fit_leaves_the_unit_out(checkpoint: Path, ids: Path) -> None:
    found = profile(checkpoint, tier="T2", text=ids, schemes=ASKED, workers=1, probe="ggml-q4_k")
    assert NARROW not in found.by_unit
    assert found.by_unit[WIDE].loss["ggml-q4_k"] > 0


@pytest.mark.parametrize(
    ("name", "columns", "written"),
    [
        ("q4_k", 512, "q4_k"),
        ("q4_k", 576, "q5_0"),
        ("q5_k", 576, "q5_1"),
        ("q6_k", 576, "q8_0"),
        ("q3_k", 576, "q4_0"),
        ("tq1_0", 576, "q4_0"),
        ("iq4_xs", 576, "iq4_nl"),
        ("iq1_s", 64, "iq4_nl"),
        ("q2_0", 96, "q4_0"),
        ("q4_k", 100, "f16"),
        ("q8_0", 100, "f16"),
        ("mxfp4", 40, "f16"),
        ("q1_0", 576, ""),
        ("nvfp4", 96, ""),
    ],
)
def test_what_is_written_in_rows_that_are_no_whole_blocks(
    name: str, columns: int, written: str
) -> None:
    """tensor_type_fallback in src/llama-quant.cpp, its cases and its end."""
    assert written_type(name, columns) == written


def test_every_fallback_has_smaller_blocks_and_none_of_its_own() -> None:
    for one in GGML_WEIGHTS.values():
        if one.fallback:
            other = GGML_WEIGHTS[one.fallback]
            assert (other.elements, other.fallback, other.imatrix) == (32, "", "")
        else:
            assert one.elements in (32, 64, 128)
