"""A list of schemes: what the device cannot multiply is left out and said; of nothing, refused."""

import pytest

import planner
from planner.base.errors import UnsupportedError
from planner.planning.question.scheme_choices import schemes_for


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


def test_a_list_of_two_engines_formats_gives_each_engine_its_own() -> None:
    """llama.cpp's mixture beside a 4-bit scheme of servers was refused: no engine has both."""
    own = schemes_for("llama.cpp", ["int4", "Q4_K_M", "bf16", "q6_k"])
    assert own == ("Q4_K_M", "bf16", "q6_k")
    assert schemes_for("vllm", ["int4", "Q4_K_M", "bf16", "q6_k"]) == ("int4", "bf16")
    for alone in (["int4", "fp8", "bf16"], ["Q4_K_M", "q6_k", "bf16"], ["bf16"], []):
        for engine in ("vllm", "llama.cpp"):
            assert schemes_for(engine, alone) == alone
    found = planner.compare("qwen3-8b", "rtx-4090", schemes=["int4", "Q4_K_M"], context=4096)
    rows = {row.name: row for row in found.rows if row.kind == "uniform"}
    assert rows["Q4_K_M"].engine.startswith("llama.cpp")
    assert rows["int4-w4a16"].engine.partition(" ")[0] in ("vllm", "sglang", "tensorrt-llm")
    asked = [rows["Q4_K_M"], rows["int4-w4a16"]]
    assert all("named" in row.roles and row.why_not for row in asked)


def test_an_engine_that_is_named_still_must_serve_the_whole_list() -> None:
    with pytest.raises(UnsupportedError, match=r"llama\.cpp"):
        planner.plan("qwen3-8b", "rtx-4090", engine="vllm", schemes=["int4", "Q4_K_M"])
