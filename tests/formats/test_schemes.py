"""The scheme catalogue: ids, spellings, and what each scheme multiplies in."""

import pytest

from planner.base.errors import UnknownNameError
from planner.formats.elements import ELEMENTS
from planner.formats.schemes import SCHEMES, scheme, scheme_ids

CATALOGUE = [
    "fp32", "bf16", "fp16", "fp8-tensor", "fp8-channel", "fp8-block", "fp8-block-ue8m0",
    "fp8-w8a16", "int8-w8a8", "int8-block", "int8-w8a16", "int4-w4a16", "int4-w4a16-g32",
    "nvfp4", "nvfp4-w4a16", "mxfp4", "mxfp4-w4a8", "mxfp4-w4a16", "mxfp8", "mxfp6",
    "ggml-q8_0", "ggml-q4_0", "ggml-q4_k", "ggml-q6_k", "ggml-q5_1", "ggml-q5_k", "ggml-q5_0",
    "ggml-q4_1", "ggml-iq4_nl", "ggml-nvfp4", "ggml-mxfp4", "ggml-iq4_xs", "ggml-q3_k",
    "ggml-iq3_s", "ggml-iq3_xxs", "ggml-q2_k", "ggml-iq2_s", "ggml-iq2_xs", "ggml-q2_0",
    "ggml-iq2_xxs", "ggml-tq2_0", "ggml-iq1_m", "ggml-tq1_0", "ggml-iq1_s", "ggml-q1_0",
]  # fmt: skip


def test_the_schemes_so_far_keep_their_order():
    assert [id for id in scheme_ids() if id in CATALOGUE] == CATALOGUE


@pytest.mark.parametrize(("spelling", "id"), [
    ("bfloat16", "bf16"), ("fp8", "fp8-tensor"), ("fp8_block", "fp8-block"), ("nvfp4", "nvfp4"),
    ("int4_wo", "int4-w4a16"), ("w4a16_mxfp4", "mxfp4-w4a16"),
    ("w4a8_mxfp4_mxfp8", "mxfp4-w4a8"), ("FP8_BLOCK_UE8M0", "fp8-block-ue8m0"),
    ("GGML-Q4_K", "ggml-q4_k"), ("ggml_q8_0", "ggml-q8_0"),
])  # fmt: skip
def test_spellings(spelling, id):
    assert scheme(spelling).id == id


def test_unknown_scheme_names_the_nearest():
    with pytest.raises(UnknownNameError, match="fp8-blok") as caught:
        scheme("fp8-blok")
    assert "fp8-block" in caught.value.hint


def test_every_format_that_a_scheme_names_exists():
    for s in SCHEMES.values():
        for fmt in (s.weight, s.activation):
            assert fmt.element in ELEMENTS
            assert fmt.scale is None or fmt.scale.format in ELEMENTS


def test_compute_formats():
    compute = {s.id: s.compute for s in SCHEMES.values()}
    assert compute["fp8-tensor"] == compute["fp8-block-ue8m0"] == "fp8"
    assert compute["int8-w8a8"] == compute["int8-block"] == "int8"
    assert compute["mxfp4-w4a8"] == compute["mxfp8"] == "mxfp8"
    assert compute["nvfp4"] == "nvfp4"
    assert compute["mxfp4"] == "mxfp4"


def test_weight_only_schemes_multiply_in_bf16_with_bf16_activations():
    found = {s.id for s in SCHEMES.values() if s.path == "weight-only"}
    assert found >= {i for i in CATALOGUE if "a16" in i}
    for id in found:
        s = SCHEMES[id]
        assert (s.compute, s.activation.element) == ("bf16", "bf16")
        assert s.kernel == ("w8a16" if "w8" in id else "w4a16")


def test_storage_schemes_have_no_matrix_unit():
    stored = {s.id for s in SCHEMES.values() if s.path == "storage"}
    assert stored == {i for i in CATALOGUE if i.startswith("ggml") or i == "mxfp6"}
    assert {i: SCHEMES[i].kernel for i in stored} == {
        i: "" if i == "mxfp6" else "ggml" for i in stored
    }
    native = {s.kernel for s in SCHEMES.values() if s.path == "native"}
    assert native == {"fp32", "bf16", "fp16", "fp8-tensor", "fp8-block", "int8", "nvfp4",
                      "mxfp4", "mxfp8"}  # fmt: skip
