"""Which engines serve DeepSeek-V4, in which checkpoints and caches, and what they say else."""

from dataclasses import replace
from typing import Any

import pytest

from planner.base.errors import UnsupportedError
from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.placement.cache_entries import cache_units
from planner.planning.answer.servability import verdicts
from planner.planning.engines.rules import OF_V4, cache_group, formats_of, support_cell
from tests.support.theory import estimate, plan

FLASH = load_model("deepseek-v4-flash")
LAYOUT: dict[str, Any] = {"devices": 8, "tp": 4, "dp": 1, "pp": 1, "ep": 1, "batch": 16}


def test_its_checkpoints_are_all_that_an_engine_builds_it_from() -> None:
    for name in ("vllm@0.25", "sglang@0.5.15", "tensorrt-llm@1.3"):
        assert formats_of(parse_engine(name), FLASH) == (OF_V4,)
        assert OF_V4 not in formats_of(parse_engine(name), load_model("deepseek-v3"))
    assert formats_of(parse_engine("llama.cpp"), FLASH) == ("gguf",)
    assert {cache_group(unit) for unit in cache_units(FLASH)} == {"compressed"}


@pytest.mark.parametrize(
    ("engine", "device", "words"),
    [
        ("vllm@0.19", "b200-sxm", "DeepseekV4ForCausalLM; 0.20.0 is the first that does"),
        ("vllm@0.25", "l40s", "SM 9.0, 10.x"),
        ("sglang@0.5.11", "h200-sxm", "DeepseekV4ForCausalLM; 0.5.12 is the first that does"),
        ("tensorrt-llm", "b200-sxm", "no source says that it serves DeepseekV4ForCausalLM"),
        ("tensorrt-llm@1.3", "h200-sxm", "SM 10.0 and above"),
        ("llama.cpp", "b200-sxm", "GGUF files of DeepSeek-V4"),
    ],
)
def test_what_does_not_serve_it_says_why(engine: str, device: str, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        plan("deepseek-v4-flash", device, engine=engine, devices=8)


def test_experts_that_a_version_does_not_load_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"nvfp4: vllm 0\.21: .*came with 0\.22"):
        estimate("deepseek-v4-flash-nvfp4", "b200-sxm", engine="vllm@0.21", **LAYOUT)


@pytest.mark.parametrize(
    ("device", "experts"), [("b300-sxm", "mxfp4-w4a8"), ("h200-sxm", "mxfp4-w4a16")]
)
@pytest.mark.parametrize("named", ["int4-w4a16", "fp8-block-ue8m0"])
def test_schemes_that_are_not_those_of_its_checkpoints_are_told_what_is(
    device: str, experts: str, named: str
) -> None:
    """And the hint works: its schemes are served."""
    both = ["fp8-block-ue8m0", experts]
    with pytest.raises(
        UnsupportedError,
        match=f"dense in fp8-block-ue8m0, experts in {experts}; not with {named} alone",
    ) as caught:
        plan("deepseek-v4-flash", device, engine="vllm", schemes=[named], devices=8)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"--schemes {','.join(both)}, ")
    found = plan(
        "deepseek-v4-flash", device, engine="vllm", schemes=both, max_loss="0.05", **LAYOUT
    )
    assert {u.scheme for u in found.units if u.kind.startswith("experts")} == {experts}


@pytest.mark.parametrize(
    ("model", "engine", "device", "experts"),
    [
        ("deepseek-v4-flash", "vllm", "b200-sxm", "mxfp4-w4a8"),
        ("deepseek-v4-flash-fp8", "vllm", "h200-sxm", "fp8-block-ue8m0"),
        ("deepseek-v4-flash-nvfp4", "vllm@0.25", "b200-sxm", "nvfp4"),
    ],
)
def test_a_release_is_served_as_it_is(model: str, engine: str, device: str, experts: str) -> None:
    found = estimate(model, device, engine=engine, **LAYOUT)
    schemes = {(u.kind, u.scheme) for u in found.units if u.kv_layout is None}
    assert {s for kind, s in schemes if kind.startswith("experts")} == {experts}
    assert {
        s for kind, s in schemes if kind in ("mla-q", "mla-kv", "attention-out", "indexer")
    } == {"fp8-block-ue8m0"}
    assert {u.kv_layout for u in found.units if u.kv_layout is not None} == {"fp8-ds-mla"}
    verdict = verdicts(load_model(model), load_device(device), found.units, found.layout, [engine])[
        0
    ]
    assert (verdict.status, verdict.container) == ("yes", OF_V4)


def test_hopper_widens_its_experts() -> None:
    device = load_device("h200-sxm")
    for name in ("vllm", "sglang@0.5.15"):
        engine = parse_engine(name)
        assert (
            support_cell(engine, device, "scheme", "mxfp4-w4a8", "experts", OF_V4).status
            == "emulated"
        )
        assert (
            support_cell(engine, device, "scheme", "mxfp4-w4a16", "experts", OF_V4).status
            == "supported"
        )


def test_experts_are_of_one_format() -> None:
    """A format by group is no format by module: half of the experts in another is not served."""
    device, engine = load_device("b200-sxm"), parse_engine("vllm@0.25")
    assert support_cell(engine, device, "mixed", "*", "experts", OF_V4).status == "unknown"
    assert support_cell(engine, device, "mixed", "groups", "experts", OF_V4).status == "supported"
    found = estimate("deepseek-v4-flash", "b200-sxm", engine="vllm@0.25", **LAYOUT)

    mixed = tuple(
        replace(u, scheme="nvfp4") if u.kind == "experts-down" else u for u in found.units
    )
    assert verdicts(FLASH, device, mixed, found.layout, ["vllm@0.25"])[0].status == "no"
