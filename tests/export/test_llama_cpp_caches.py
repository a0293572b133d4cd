"""llama.cpp's cache types: what back ends read, and what its command says of them."""

from __future__ import annotations

import pytest

import planner
from planner.base.errors import PlannerError
from planner.export.serve_line import serving_command
from planner.planning.plan.record import Plan

FLASH = "--flash-attn"


def served(device: str, kv: str) -> Plan:
    return planner.estimate(
        "qwen3-8b",
        device,
        engine="llama.cpp",
        scheme="Q4_K_M",
        kv=kv,
        batch=1,
        context=4096,
        tpot_seconds="none",
    )


def after(words: tuple[str, ...], flag: str) -> str | None:
    return words[words.index(flag) + 1] if flag in words else None


@pytest.mark.parametrize(
    ("kv", "types", "flash"),
    [
        ("fp16", ("f16", "f16"), None),
        ("q8_0/q4_0", ("q8_0", "q4_0"), "on"),
        ("q8_0/fp16", ("q8_0", "f16"), None),
        ("q5_1", ("q5_1", "q5_1"), "on"),
    ],
)
def test_the_command_names_types_and_what_values_need(
    kv: str, types: tuple[str, str], flash: str | None
) -> None:
    words = serving_command(served("rtx-4090", kv)).words
    assert (after(words, "--cache-type-k"), after(words, "--cache-type-v")) == types
    assert after(words, FLASH) == flash


@pytest.mark.parametrize(
    ("device", "kv"),
    [("rtx-4090", "iq4_nl"), ("apple-m4-max", "iq4_nl"), ("apple-m4-max", "q8_0/q4_0")],
)
def test_types_without_an_attention_kernel_are_refused(device: str, kv: str) -> None:
    with pytest.raises(PlannerError) as found:
        served(device, kv)
    assert found.value.hint


@pytest.mark.parametrize(
    ("device", "kv"),
    [("epyc-9575f", "iq4_nl"), ("rx-7900-xtx", "iq4_nl"), ("apple-m4-max", "q8_0")],
)
def test_types_with_one_are_served(device: str, kv: str) -> None:
    plan = served(device, kv)
    assert {u.scheme for u in plan.units if u.kv_layout} == {kv}
