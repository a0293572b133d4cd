"""The host that a device is taken to have, and what passes with prompts cost by engine."""

from __future__ import annotations

import pytest

from planner.throughput.engine_policy import engine_policy, host_class, prompt_host
from planner.throughput.engine_policy import with_prompt_host as on_layers


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("rtx-5090", "desktop"),
        ("rtx-3090", "desktop"),
        ("rtx-pro-6000", "server"),
        ("h100-sxm", "server"),
        ("", "server"),
    ],
)
def test_cards_of_desktops_are_driven_by_a_desktop(device: str, name: str) -> None:
    assert host_class(device).name == name


def test_a_class_scales_every_time_of_the_host_and_is_told() -> None:
    server, desktop = (engine_policy("vllm", "0.12.0", d) for d in ("h100-sxm", "rtx-5090"))
    factor = host_class("rtx-5090").factor
    assert desktop.policy.host_seconds == factor * server.policy.host_seconds > 0
    assert desktop.policy.host_seconds_per_sequence == pytest.approx(
        factor * server.policy.host_seconds_per_sequence
    )
    assert "desktop" in desktop.source
    assert "server" in server.source
    one, other = (prompt_host("vllm", "0.12.0", d, experts=True) for d in ("", "rtx-5090"))
    assert other.layer_seconds == pytest.approx(factor * one.layer_seconds)
    assert other.handling_seconds == pytest.approx(factor * one.handling_seconds)


def test_one_floor_does_not_stand_for_all_versions() -> None:
    """What DeepSeek-R1 shows in 1.1.0rc2 and 1.2.0rc6 is carried over to neither."""
    floors = {
        version: prompt_host("tensorrt-llm", version, experts=True).layer_seconds
        for version in ("1.0.0rc3", "1.1.0rc2.post2", "1.2.0rc6.post2", "1.2.1")
    }
    assert floors["1.0.0rc3"] == floors["1.2.1"] == pytest.approx(500e-6)
    assert floors["1.1.0rc2.post2"] > floors["1.2.0rc6.post2"] > floors["1.2.1"]


def test_prompts_by_engine_and_version() -> None:
    assert prompt_host("tensorrt-llm", "1.2.1", experts=False).factor == 1.0
    assert prompt_host("vllm", "", experts=False).captured_tokens == 512
    assert not engine_policy("sglang", "0.5.23").policy.cohorts
    assert engine_policy("sglang", "0.5.1.post1").policy.cohorts
    policy = on_layers(
        engine_policy("sglang", "0.5.9").policy, prompt_host("sglang", "0.5.9", experts=True), 61
    )
    assert policy.prompt_floor_seconds == pytest.approx(61 * 1500e-6)
    assert policy.reading_factor > 1
