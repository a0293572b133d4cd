"""The shipped errors of ggml types are what the emulators give, in the order of their bits."""

import json
import statistics

import pytest

from planner.numerics.ggml_registry import GGML_TYPES
from planner.quality.error_tables import PATH as SCHEMES_PATH
from planner.quality.error_tables import SEED, to_json
from planner.quality.ggml_error import ggml_weight_error
from planner.quality.ggml_tables import KINDS, PATH, build_tables


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
    for part in ("weight_error", "activation_error"):
        assert fresh[part] == {
            name: {kind: row[kind] for kind in kinds} for name, row in table[part].items()}
    for part in ("seed", "version", "method", "input_blocks"):
        assert fresh[part] == table[part]


def test_the_reader_gives_the_table(table):
    read = ggml_weight_error()
    assert {name: dict(row) for name, row in read.items()} == table["weight_error"]
    assert set(read) == set(GGML_TYPES)
    for row in read.values():
        assert set(row) == set(KINDS)
        assert all(0 < e < 1 for e in row.values())
    with pytest.raises(TypeError):
        read["q4_k"]["head"] = 0.0


def test_types_that_are_schemes_agree_with_the_table_of_schemes(table):
    theirs = json.loads(SCHEMES_PATH.read_text(encoding="utf-8"))
    for name in ("q8_0", "q6_k", "q4_k", "q4_0"):
        blocks = table["input_blocks"][name]
        for kind in KINDS:
            assert table["weight_error"][name][kind] \
                == theirs["weight_error"]["bf16"][kind][f"ggml-{name}"]
            assert table["activation_error"][blocks][kind] \
                == theirs["activation_error"]["bf16"][kind][f"ggml-{name}"]


def test_a_bit_more_divides_the_error_by_three_to_five(table):
    """Each bit halves the step; a quarter of the power, less what outliers and scales cost."""
    for kind in KINDS:
        e = {name: row[kind] for name, row in table["weight_error"].items()}
        for more, fewer in (("q6_0", "q5_0"), ("q5_0", "q4_0"), ("q5_1", "q4_1"), ("q5_k", "q4_k"),
                            ("q3_k", "q2_k")):
            assert 3 < e[fewer] / e[more] < 5, (kind, more, fewer)
        assert e["q8_0"] < e["q6_k"] < e["q6_0"] < e["q5_k"] < e["q5_1"] < e["q5_0"] < e["q4_k"]
        assert e["q4_k"] < e["iq4_nl"] < e["q4_0"] < e["q3_k"] < e["q2_k"]
        assert e["q4_k"] < e["q4_1"] < e["q4_0"]


def test_kinds_differ_little(table):
    """Weights have one distribution in all kinds; what differs is which inputs meet which."""
    for row in table["weight_error"].values():
        middle = statistics.median(row.values())
        assert all(middle / 1.25 < e < middle * 1.25 for e in row.values())
