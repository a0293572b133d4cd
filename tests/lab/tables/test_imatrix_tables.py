"""The shipped table of errors with an importance matrix, and what a plan makes of it."""

import json

import pytest

from planner.formats.ggml_types import GGML_WEIGHTS, PREFIX
from planner.lab.tables.imatrix import ALIKE, PATH, build_tables
from planner.quality.prior import load_prior, module_error
from planner.quality.synthetic import LINEAR_KINDS

TABLE = json.loads(PATH.read_text(encoding="utf-8"))


def test_every_type_that_takes_importance_is_in_the_table():
    names = {PREFIX + name for name in GGML_WEIGHTS if name not in ALIKE}
    assert TABLE["with"].keys() == TABLE["without"].keys() == LINEAR_KINDS.keys()
    assert all(row.keys() == names for row in TABLE["with"].values())


def test_the_table_is_what_the_program_computes():
    again = build_tables(TABLE["seed"], ("experts-down",), ("q4_0", "q5_k"))
    for side in ("with", "without"):
        for scheme, error in again[side]["experts-down"].items():
            assert error == pytest.approx(TABLE[side]["experts-down"][scheme], rel=1e-5)


def test_a_matrix_lowers_the_error_where_inputs_have_outliers():
    for kind in ("attention-qkv", "mlp-down", "shared-down"):
        for scheme, error in TABLE["without"][kind].items():
            assert TABLE["with"][kind][scheme] < error


def test_a_plan_scales_the_error_of_weights_and_leaves_that_of_inputs():
    prior, kind = load_prior(), "mlp-down"
    inputs = prior.activation_error["bf16"][kind]["ggml-q4_k"]
    plain = module_error(prior, "bf16", kind, "ggml-q4_k")
    weighed = module_error(prior, "bf16", kind, "ggml-q4_k", weighed=True)
    ratio = TABLE["with"][kind]["ggml-q4_k"] / TABLE["without"][kind]["ggml-q4_k"]
    assert weighed - inputs == pytest.approx((plain - inputs) * ratio)
    assert module_error(prior, "bf16", kind, "ggml-iq2_xs") is None
    assert module_error(prior, "bf16", kind, "ggml-iq2_xs", weighed=True) > weighed
    assert module_error(prior, "bf16", kind, "ggml-q8_0", weighed=True) == module_error(
        prior, "bf16", kind, "ggml-q8_0"
    )
    assert module_error(prior, "ggml-q4_k", kind, "ggml-q4_k", weighed=True) == module_error(
        prior, "ggml-q4_k", kind, "ggml-q4_k"
    )
