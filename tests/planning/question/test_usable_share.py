"""Which share of a device's memory may be used, and who says so."""

import pytest

from planner.lookup import load_device
from planner.memory.engines.catalog import parse_engine
from planner.planning.question.resolve import _usable_share
from planner.planning.question.scenarios import Host


def test_a_server_that_takes_a_share_of_the_whole_device_has_its_default() -> None:
    engine = parse_engine("vllm")
    share, why = _usable_share(load_device("h100-sxm"), Host(), engine)
    assert share == engine.constants["utilisation"].value
    assert 0.85 <= share < 1
    assert why.startswith(f"vLLM {engine.version_text}: ")


@pytest.mark.parametrize("name", ["sglang", "tensorrt-llm", "llama.cpp", "pytorch", None])
def test_others_have_the_profiles(name: str | None) -> None:
    device = load_device("h100-sxm")
    engine = None if name is None else parse_engine(name)
    assert _usable_share(device, Host(), engine) == (device.usable_fraction.value, "")


@pytest.mark.parametrize("device", ["jetson-agx-thor-t5000", "xeon-6980p"])
def test_memory_that_is_shared_with_the_system_has_the_profiles(device: str) -> None:
    profile = load_device(device)
    assert _usable_share(profile, Host(), parse_engine("vllm")) == (
        profile.usable_fraction.value,
        "",
    )


@pytest.mark.parametrize("name", ["vllm", "sglang", None])
def test_the_scenario_goes_first(name: str | None) -> None:
    engine = None if name is None else parse_engine(name)
    assert _usable_share(load_device("h100-sxm"), Host(usable_fraction=0.5), engine) == (
        0.5,
        "set by the scenario",
    )
