"""Every instruction that MMA-Sim models: its recorded outputs, and where it is installed itself.

Outputs are recorded as digests (tests/golden/mmasim.json, written by support/mmasim_runs.py), so
that a changed bit is seen without torch.
"""

import json

import numpy as np
import pytest
from support.mmasim_instructions import INSTRUCTIONS, KINDS, digest, drops_nan, inputs, ours
from support.mmasim_runs import DIGESTS, modelled, theirs

from planner.numerics import matmul

RECORDED = json.loads(DIGESTS.read_text("utf-8"))


@pytest.fixture(scope="module")
def simulator():
    pytest.importorskip("torch", reason="torch is not installed (the [oracle] extra)")
    pytest.importorskip("mmasim", reason="mmasim is not installed (the [oracle] extra)")
    try:
        from mmasim.amd import sim  # noqa: F401
    except Exception as error:  # the package compiles C++ on import
        pytest.skip(f"mmasim could not be loaded: {error}")


def test_the_record_holds_every_instruction():
    assert RECORDED.keys() == INSTRUCTIONS.keys()
    assert len(RECORDED) > 300
    units = {one.unit for one in INSTRUCTIONS.values()}
    assert {
        "cdna1",
        "cdna2",
        "cdna2-bf16",
        "cdna3",
        "turing",
        "blackwell-geforce",
        "blackwell-mxf8f6f4",
    } <= units


@pytest.mark.sample(80)
@pytest.mark.parametrize("id", INSTRUCTIONS)
def test_outputs_are_those_recorded(id):
    one = INSTRUCTIONS[id]
    assert [digest(ours(one, inputs(one, kind))) for kind in KINDS] == RECORDED[id]


@pytest.mark.oracle
def test_mmasim_models_no_other(simulator):
    assert modelled() == INSTRUCTIONS.keys()


@pytest.mark.oracle
@pytest.mark.sample(25)
@pytest.mark.parametrize("id", INSTRUCTIONS)
def test_outputs_are_those_of_mmasim(simulator, id):
    one = INSTRUCTIONS[id]
    for kind in KINDS:
        given = inputs(one, kind)
        got, want = ours(one, given), theirs(one, given)
        assert digest(got) == digest(want), kind


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_accumulator_that_is_no_number_is_kept_where_mmasim_drops_it(bad):
    one = next(i for i in INSTRUCTIONS.values() if drops_nan(i) and i.a == "e5m2fnuz")
    given = inputs(one, "close")
    got = matmul(
        given.a,
        given.b,
        a_format=one.a,
        b_format=one.b,
        unit=one.unit,
        c=np.full(given.c.shape, bad),
    )
    np.testing.assert_array_equal(got, np.full(got.shape, bad, np.float32))
