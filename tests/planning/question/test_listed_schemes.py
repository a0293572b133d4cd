"""A list of schemes: what the device cannot multiply is left out and said; of nothing, refused."""

import pytest

import planner
from planner.base.errors import UnsupportedError


def test_what_a_device_cannot_multiply_is_left_out_of_a_list() -> None:
    """The whole list was refused, and with it the device's row of a table."""
    schemes = ("mxfp8", "int8-w8a8")
    found = planner.plan("llama-3.1-8b", "a100-sxm", devices=1, engine="vllm", schemes=schemes)
    told = {(a.key, a.value, a.reason) for a in found.assumptions if a.key == "schemes"}
    assert told == {("schemes", "mxfp8 is left out", "no FP8 matrix instruction on Ampere")}
    assert "mxfp8" not in {unit.scheme for unit in found.units}


@pytest.mark.parametrize("schemes", [("mxfp8",), ("mxfp8", "nvfp4")])
def test_a_list_of_nothing_that_it_multiplies_is_refused(schemes: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError, match="on a100-sxm"):
        planner.plan("llama-3.1-8b", "a100-sxm", devices=1, engine="tensorrt-llm", schemes=schemes)
