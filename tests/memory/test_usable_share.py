"""Which share of a device's memory may be used, and who says so."""

import pytest

from planner.lookup import load_device, resolve_model
from planner.memory.engines.catalog import parse_engine
from planner.memory.sglang_share import prompt_graphs, sglang_share
from planner.memory.usable import usable_memory
from planner.placement.layout import Layout

CHUNK = 8192


def test_a_server_that_takes_a_share_of_the_whole_device_has_its_default() -> None:
    engine = parse_engine("vllm")
    usable = usable_memory(load_device("h100-sxm"), engine)
    assert usable.share == engine.constants["utilisation"].value
    assert 0.85 <= usable.share < 1
    assert usable.source.startswith(f"vLLM {engine.version_text}: ")
    assert usable.reserved_bytes(Layout(8)) == 0


def test_sglang_has_what_it_does_not_reserve() -> None:
    """An H100 of 79.2 GiB: 512 MiB, 1.5 a token of 8,192 and 2 a sequence of 256 are 13 GiB, 8 for
    each of 58 sizes of prompts, and 128 more for each rank."""
    device, engine = load_device("h100-sxm"), parse_engine("sglang")
    usable = usable_memory(device, engine, chunk_tokens=CHUNK)
    memory = usable.capacity_bytes / 2**20
    assert usable.share == round(1 - (512 + 1.5 * CHUNK + 2 * 256 + 8 * 58 + 128) / memory, 3)
    assert usable.source.startswith(f"SGLang {engine.version_text}: ")
    assert usable.bytes == int(usable.capacity_bytes * usable.share)


@pytest.mark.parametrize("layout", [Layout(8), Layout(2, 1, 4), Layout(1, 8), Layout(2, 4)])
def test_more_ranks_leave_less_to_sglang_and_attention_data_parallelism_still_less(
    layout: Layout,
) -> None:
    device, engine = load_device("b200-sxm"), parse_engine("sglang")
    usable = usable_memory(device, engine, chunk_tokens=2 * CHUNK)
    own = sglang_share(engine, usable.capacity_bytes, layout, 2 * CHUNK)
    assert usable.bytes - usable.reserved_bytes(layout) == int(usable.capacity_bytes * own)
    alike = Layout(tp=layout.ranks)
    more = usable.reserved_bytes(layout) - usable.reserved_bytes(alike)
    assert (more > 0) is (layout.dp > 1)
    assert 0.5 < own < usable.share


@pytest.mark.parametrize(
    ("model", "pp", "mib"),
    [
        ("qwen3-8b", 1, 8 * 58),
        ("qwen3-8b", 2, 0),
        ("deepseek-v3", 1, 1536),
        ("deepseek-v3", 2, 0),
        ("deepseek-v4-flash", 1, 0),
    ],
)
def test_captured_prompts_are_reserved_for_where_they_are_captured(
    model: str, pp: int, mib: int
) -> None:
    """SGLang 0.5.23: a list of sizes, MLA's own reserve, nothing over pipeline stages and for
    DeepSeek-V4; 0.5.8 captured none."""
    graphs = prompt_graphs(resolve_model(model))
    memory, rest = 80 * 1024, 512 + 1.5 * CHUNK + 2 * 256 + 128 * pp
    for version, more in (("0.5.8", 0), ("0.5.23", mib)):
        engine = parse_engine(f"sglang@{version}")
        share = sglang_share(engine, memory << 20, Layout(pp=pp), CHUNK, graphs=graphs)
        assert share == round((memory - rest - more) / memory, 3)


@pytest.mark.parametrize("device", ["rtx-3060-12gb", "rx-7900-xtx", "h100-sxm"])
def test_llama_cpp_leaves_a_margin_and_takes_no_share(device: str) -> None:
    usable = usable_memory(load_device(device), parse_engine("llama.cpp"))
    assert usable.capacity_bytes - usable.bytes == pytest.approx(1024 << 20, abs=1)
    assert "--fit-target" in usable.source


@pytest.mark.parametrize("device", ["apple-m4-pro-24gb", "raspberry-pi-5-8gb", "strix-halo"])
def test_memory_shared_with_the_system_has_the_profiles_share(device: str) -> None:
    profile = load_device(device)
    usable = usable_memory(profile, parse_engine("llama.cpp"))
    assert (usable.share, usable.source) == (profile.usable_fraction.value, "")


@pytest.mark.parametrize("name", ["tensorrt-llm", "pytorch", None])
def test_others_have_the_profiles(name: str | None) -> None:
    device = load_device("h100-sxm")
    engine = None if name is None else parse_engine(name)
    usable = usable_memory(device, engine)
    assert (usable.share, usable.source) == (device.usable_fraction.value, "")


@pytest.mark.parametrize("device", ["jetson-agx-thor-t5000", "xeon-6980p"])
@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_memory_that_is_shared_with_the_system_has_the_profiles(device: str, name: str) -> None:
    profile = load_device(device)
    usable = usable_memory(profile, parse_engine(name), chunk_tokens=CHUNK)
    assert (usable.share, usable.source) == (profile.usable_fraction.value, "")
    assert usable.reserved_bytes(Layout(8)) == 0


@pytest.mark.parametrize("name", ["vllm", "sglang", None])
def test_the_scenario_goes_first(name: str | None) -> None:
    engine = None if name is None else parse_engine(name)
    usable = usable_memory(load_device("h100-sxm"), engine, chunk_tokens=CHUNK, share=0.5)
    assert (usable.share, usable.source) == (0.5, "set by the scenario")
    assert usable.reserved_bytes(Layout(8)) == 0
