"""The shipped errors of ggml types are what the emulators give, in the order of their bits."""

import json
import statistics

import pytest

from planner.formats.ggml_types import GGML_WEIGHTS
from planner.lab.tables.errors import PATH as SCHEMES_PATH
from planner.lab.tables.errors import SEED, to_json
from planner.lab.tables.ggml import KINDS, PATH, TYPES, build_tables
from planner.lab.tables.measured_losses import ggml_weight_error


@pytest.fixture(scope="module")
def table():
    return json.loads(PATH.read_text(encoding="utf-8"))


@pytest.mark.exhaustive
def test_shipped_table_is_reproduced_exactly():
    assert to_json(build_tables(SEED)) == PATH.read_text(encoding="utf-8")


def test_shipped_figures_of_two_kinds_are_reproduced_exactly(table):
    """One product and one that is looked up; the long version above covers all."""
    kinds = ("experts-down", "embedding")
    fresh = build_tables(SEED, kinds)
    assert fresh["weight_error"] == {
        name: {kind: row[kind] for kind in kinds} for name, row in table["weight_error"].items()
    }
    for part in ("seed", "version", "method"):
        assert fresh[part] == table[part]


def test_the_reader_joins_both_tables(table):
    read = ggml_weight_error()
    schemes = json.loads(SCHEMES_PATH.read_text(encoding="utf-8"))["weight_error"]["bf16"]
    assert {name: dict(read[name]) for name in TYPES} == table["weight_error"]
    assert set(read) == {name for name in GGML_WEIGHTS if not GGML_WEIGHTS[name].imatrix} | {*TYPES}
    for name, row in read.items():
        assert set(row) == set(KINDS)
        assert all(0 < e < 1 for e in row.values())
        if name not in TYPES:
            assert row["mlp-down"] == schemes["mlp-down"][f"ggml-{name}"]
    with pytest.raises(TypeError):
        read["q4_k"]["head"] = 0.0


@pytest.fixture(scope="module")
def errors():
    """By kind and type, of types that round each value to a near one."""
    coarse = ("tq1_0", "tq2_0", "q1_0", "q2_0")
    return {
        kind: {name: row[kind] for name, row in ggml_weight_error().items() if name not in coarse}
        for kind in KINDS
    }


def test_a_bit_more_divides_the_error_by_three_to_five(errors):
    """Each bit halves the step; a quarter of the power, less what outliers and scales cost."""
    for kind, e in errors.items():
        for more, fewer in (
            ("q6_0", "q5_0"),
            ("q5_0", "q4_0"),
            ("q5_1", "q4_1"),
            ("q5_k", "q4_k"),
            ("q3_k", "q2_k"),
        ):
            assert 3 < e[fewer] / e[more] < 5, (kind, more, fewer)
        assert e["q8_0"] < e["q6_k"] < e["q6_0"] < e["q5_k"] < e["q5_1"] < e["q5_0"] < e["q4_k"]
        assert e["q4_k"] < e["iq4_nl"] < e["q4_0"] < e["q3_k"] < e["q2_k"]
        assert e["q4_k"] < e["q4_1"] < e["q4_0"]
        assert e["iq4_nl"] < e["nvfp4"] < e["mxfp4"] < e["q3_k"]


def test_kinds_differ_little():
    """Weights have one distribution in all kinds; what differs is which inputs meet which."""
    for row in ggml_weight_error().values():
        middle = statistics.median(row.values())
        assert all(middle / 1.25 < e < middle * 1.25 for e in row.values())
