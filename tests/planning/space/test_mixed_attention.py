"""Models whose layers attend differently: units, times, bytes and names by group."""

import pytest

from planner.lookup import load_model
from planner.planning.plan.record import Plan, UnitPlan
from tests.support.theory import estimate, plan

MIXED = (
    "gemma-3-1b",
    "gemma-3-27b-text",
    "gemma-4-26b-a4b",
    "mistral-7b-v0.1",
    "phi-3-mini-4k",
    "llama-4-scout",
    "llama-4-maverick",
    "mimo-v2-flash",
    "qwen3-next-80b-a3b",
    "qwen3.5-27b",
    "qwen3.5-35b-a3b",
    "qwen3.5-397b-a17b",
    "deepseek-v4-flash",
    "deepseek-v4-pro",
)


def cache_units(found: Plan, kind: str) -> list[UnitPlan]:
    return [u for u in found.units if u.kind == kind]


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", MIXED)
def test_every_layer_has_its_own_attention(name: str) -> None:
    spec = load_model(name)
    found = estimate(name, "b200-sxm", context=min(16384, spec.max_context))
    names = [u.unit for u in found.units]
    assert len(names) == len(set(names))
    for kind in ("kv-k", "kv-v"):
        layers = [n for u in cache_units(found, kind) for n in u.layers]
        assert sorted(layers) == sorted(
            n for a in spec.attention if a.kind == "gqa" for n in a.layers
        )
    memory = found.memory_per_device
    assert memory.total_bytes <= memory.usable_bytes
    assert estimate(name, "b200-sxm", plan=found).performance.tpot_seconds.value == pytest.approx(
        found.performance.tpot_seconds.value
    )


def test_a_window_layer_reads_its_window() -> None:
    """Gemma 3 27B: 10 full layers grow with the context, 52 windowed ones (1024) do not."""
    short, long = (
        estimate("gemma-3-27b-text", "h100-sxm", devices=8, tp=8, pp=1, batch=8, context=n)
        for n in (16384, 65536)
    )
    for kind in ("kv-k", "kv-v"):
        a, b = ({u.unit: u.decode_seconds for u in cache_units(p, kind)} for p in (short, long))
        assert set(a) == set(b)
        windows = [n for n in a if ".window." in n]
        assert windows
        for name in a:
            growth = b[name] / a[name]
            if name in windows:  # the measured kernel starts a few parts outside of the window
                assert 1 <= growth < 1.5
            else:
                assert growth > 2
    assert short.kv_cache.bytes_per_token == 10 * 2 * 16 * 128 * 2
    fixed = sum(c.fixed_bytes for c in short.kv_cache.layers)
    assert fixed == 52 * 1024 * 2 * 16 * 128 * 2


def test_below_the_window_it_is_full_attention() -> None:
    found = estimate("mistral-7b-v0.1", "h100-sxm", devices=1, batch=4, context=4096)
    assert found.kv_cache.bytes_per_token == 32 * 2 * 8 * 128 * 2
    assert not any(c.fixed_bytes for c in found.kv_cache.layers)
    beyond = estimate("mistral-7b-v0.1", "h100-sxm", devices=1, batch=4, context=32768)
    assert beyond.kv_cache.bytes_per_token == 0
    assert beyond.memory_per_device.kv_cache_bytes == found.memory_per_device.kv_cache_bytes
    assert beyond.capacity.max_context_at_batch == 32768


@pytest.mark.exhaustive
def test_a_search_mixes_cache_layouts_by_group() -> None:
    found = plan("gemma-3-27b-text", "h100-sxm", devices=2, context=65536)
    assert found.solver.proved
    limit = next(a for a in found.assumptions if a.key == "capacity tokens")
    assert "context" in limit.value


def test_compressed_attention_says_what_stands_for_it() -> None:
    found = plan("deepseek-v4-flash", "h200-sxm", devices=8, tp=8, batch=16)
    told = next(a for a in found.assumptions if a.key == "approximated attention")
    assert told.value.startswith("csa, hca, swa")
    assert "1.8" in told.reason
    assert found.performance.tpot_seconds.evidence.level == "none"
    kept = {u.scheme for u in found.units if u.kind == "compressor"}
    assert kept == {"bf16"}


@pytest.mark.parametrize(("model", "told"), [("gemma-3-27b-text", True), ("llama-3.1-8b", False)])
def test_a_capacity_in_tokens_is_explained_where_layers_do_not_grow_alike(
    model: str, told: bool
) -> None:
    found = estimate(model, "h100-sxm", devices=2, batch=4, context=8192)
    assert any(a.key == "capacity tokens" for a in found.assumptions) == told


@pytest.mark.parametrize(
    ("model", "grows", "stays"),
    [("deepseek-v3.2", "indexer", ""), ("qwen3-next-80b-a3b", "", "state")],
)
def test_keys_of_an_indexer_grow_and_states_do_not(model: str, grows: str, stays: str) -> None:
    found = estimate(model, "h200-sxm", devices=8, batch=4, context=8192)
    rows = {
        kind: [row for row in found.kv_cache.layers if row.kind == kind]
        for kind in filter(None, (grows, stays))
    }
    assert all(rows.values())
    assert all(row.bytes_per_token > 0 == row.fixed_bytes for row in rows.get(grows, []))
    assert all(row.bytes_per_token == 0 < row.fixed_bytes for row in rows.get(stays, []))
