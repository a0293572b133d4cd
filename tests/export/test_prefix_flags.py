"""Flags of servers for prefixes beyond the device."""

from dataclasses import replace

import pytest

import planner
from planner.export.launch import command
from planner.export.readme import flags
from planner.export.trtllm import options_text
from planner.memory.engines.catalog import parse_engine
from planner.planning.plan.prefix_cache import OffloadedPrefixes, PrefixCache, ReuseInfo
from planner.planning.plan.record import Plan

GIB = 1 << 30


@pytest.fixture(scope="module")
def bare() -> Plan:
    return planner.estimate("llama-3.1-8b", "h100-sxm", devices=2, tp=2, batch=8, context=4096)


def kept(plan: Plan, tier: str, *, loads: bool = True) -> Plan:
    beyond = OffloadedPrefixes(
        tier, 64 * GIB, 1, False, 0.1, 1, 0.1, 0.2, "pcie", 1e9, 0.1, loads, "", ""
    )
    return replace(
        plan,
        prefix_cache=PrefixCache(
            ReuseInfo("chat", "", 0.5), 1, 1.0, 1.0, 0.1, 0.2, tier, 0.1, (), beyond
        ),
    )


@pytest.mark.parametrize(
    ("engine", "tier", "words"),
    [
        ("vllm", "host", "--kv-offloading-backend native --kv-offloading-size 128"),
        ("sglang", "host", "--enable-hierarchical-cache --hicache-size 68"),
        ("sglang", "nvme", "--enable-hierarchical-cache --hicache-storage-backend file"),
        ("llama.cpp", "host", "--cache-ram 131072"),
        (
            "vllm",
            "nvme",
            '--kv-transfer-config {"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}',
        ),
    ],
)
def test_commands_keep_prefixes(bare: Plan, engine: str, tier: str, words: str) -> None:
    server = parse_engine(engine)
    plain, _ = command(server, "", bare, None)
    with_tier, unsaid = command(server, "", kept(bare, tier), None)
    text = " ".join(with_tier)
    assert words in text
    assert words not in " ".join(plain)
    used = [word for word in with_tier if word.startswith("-") and word not in plain]
    assert used
    assert all(word in flags(engine) for word in used)
    if tier == "nvme":
        assert with_tier[0] == "env"
        assert any("/NVME" in note for note in unsaid)


def test_a_drive_of_lmcache_has_its_size_in_the_environment(bare: Plan) -> None:
    words, _ = command(parse_engine("vllm"), "", kept(bare, "nvme"), None)
    assert "LMCACHE_MAX_LOCAL_DISK_SIZE=68" in words[: words.index("vllm")]
    assert "LMCACHE_LOCAL_DISK=file:///NVME" in words[: words.index("vllm")]


def test_tensorrt_llm_has_it_among_its_options(bare: Plan) -> None:
    engine = parse_engine("tensorrt-llm")
    assert f"kv_cache_config:\n  dtype: auto\n  host_cache_size: {64 * GIB}\n" in options_text(
        kept(bare, "host"), engine, None
    )
    assert "host_cache_size" not in options_text(bare, engine, None)


def test_what_is_not_worth_loading_has_no_flags(bare: Plan) -> None:
    for engine in map(parse_engine, ("vllm", "sglang")):
        assert command(engine, "", kept(bare, "host", loads=False), None) == command(
            engine, "", bare, None
        )
