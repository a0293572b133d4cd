"""Memory of whole plans: units add up, capacity is exact, a sequence more does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.base.errors import InfeasibleError
from planner.planning.plan.record import Plan
from tests.support.theory import estimate

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "one": ("llama-3.1-8b", "h100-sxm", {"devices": 1, "batch": 4}),
    "stages": ("llama-3.1-8b", "h100-sxm", {"devices": 2, "pp": 2, "batch": 32}),
    "uneven": ("llama-3.1-70b", "h100-sxm", {"tp": 2, "pp": 3, "devices": 6, "batch": 6}),
    "copied-heads": ("qwen3-30b-a3b", "l40s", {"tp": 8, "devices": 8, "ep": 8, "batch": 8}),
    "wide": ("deepseek-v3", "h100-sxm", {"dp": 8, "ep": 8, "pp": 2, "devices": 16, "batch": 16}),
    "sparse": ("deepseek-v3.2", "h200-sxm", {"tp": 8, "ep": 8, "pp": 2, "devices": 16, "batch": 8}),
    "unified": ("deepseek-v2-lite", "jetson-agx-orin-64gb", {"batch": 2}),
    "recurrent": (
        "qwen3-next-80b-a3b",
        "b200-sxm",
        {"devices": 1, "batch": 64, "context": 4096, "scheme": "fp8-block"},
    ),
    "short": ("llama-3.1-8b", "h100-sxm", {"devices": 1, "batch": 1, "isl": 96, "osl": 32}),
}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> tuple[str, str, dict[str, Any], Plan]:
    model, device, fixed = CASES[request.param]
    return model, device, fixed, estimate(model, device, **fixed)


Case = tuple[str, str, dict[str, Any], Plan]


def test_units_add_up_to_the_fullest_device(case: Case) -> None:
    plan = case[-1]
    memory = plan.memory_per_device
    assert sum(u.weight_bytes_per_device for u in plan.units) == memory.weights_bytes
    assert sum(m.weight_bytes_per_device for m in plan.modules) == memory.weights_bytes
    assert sum(m.weight_bytes for m in plan.modules) == sum(u.weight_bytes for u in plan.units)
    parts = (
        memory.weights_bytes
        + memory.kv_cache_bytes
        + memory.activation_bytes
        + memory.runtime_bytes
    )
    assert parts == memory.total_bytes <= memory.usable_bytes < memory.capacity_bytes


def test_the_cache_is_slots_times_tokens(case: Case) -> None:
    model, _, _, plan = case
    page = 64 if "deepseek" in model else 16
    slot = -(-plan.workload.context_tokens // page) * page
    a_rank = plan.workload.batch // plan.layout.dp
    states = a_rank * sum(row.fixed_bytes for row in plan.kv_cache.layers if row.kind == "state")
    held = plan.memory_per_device.kv_cache_bytes - states
    if plan.layout.pp == 1:
        assert held == a_rank * slot * plan.kv_cache.bytes_per_token_per_device
    assert held <= a_rank * slot * plan.kv_cache.bytes_per_token_per_device
    assert plan.kv_cache.bytes_per_token == sum(row.bytes_per_token for row in plan.kv_cache.layers)


def again(case: Case, **changed: Any) -> Plan:
    model, device, fixed, plan = case
    la = plan.layout
    layout = {"devices": plan.device.count, "tp": la.tp, "dp": la.dp, "pp": la.pp, "ep": la.ep}
    work = {
        "context": plan.workload.context_tokens,
        "isl": plan.workload.isl,
        "osl": plan.workload.osl,
        "batch": plan.workload.batch,
    }
    return estimate(model, device, **{**fixed, **layout, **work, **changed})


def test_that_many_sequences_fit_and_a_round_more_does_not(case: Case) -> None:
    plan = case[-1]
    step = plan.layout.dp * plan.layout.pp
    most = plan.capacity.max_concurrency_at_requests
    full = again(case, batch=most // step * step)
    assert full.memory_per_device.total_bytes <= plan.memory_per_device.usable_bytes
    with pytest.raises(InfeasibleError, match="memory"):
        again(case, batch=(most // step + 1) * step)


def test_that_context_fits_and_a_page_more_does_not(case: Case) -> None:
    """The prompt grows with the context: its pass needs room too."""
    plan = case[-1]
    most, osl = plan.capacity.max_context_at_batch, plan.workload.osl

    def at(context: int) -> Plan:
        return again(case, context=context, isl=context - osl)

    assert at(most).memory_per_device.total_bytes <= plan.memory_per_device.usable_bytes
    limit = 163840 if "deepseek" in case[0] else 131072
    if "qwen3" in case[0]:
        limit = 262144 if "next" in case[0] else 40960
    if most + 64 <= limit:
        with pytest.raises(InfeasibleError, match="memory"):
            at(most + 64)


def test_tied_embeddings_are_counted_once_and_copied_for_a_last_stage(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "intermediate_size": 1024,
        "vocab_size": 64000,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "rms_norm_eps": 1e-5,
    }
    tied, loose = tmp_path / "tied", tmp_path / "loose"
    for folder, value in ((tied, True), (loose, False)):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": value}))
    table = 64000 * 512 * 2
    for pp in (1, 2):
        fixed: dict[str, Any] = {"devices": pp, "pp": pp, "batch": pp, "scheme": "bf16"}
        one = estimate(str(tied), "h100-sxm", **fixed)
        two = estimate(str(loose), "h100-sxm", **fixed)
        for plan in (one, two):
            assert (
                sum(u.weight_bytes_per_device for u in plan.units)
                == plan.memory_per_device.weights_bytes
            )
        assert (
            sum(u.weight_bytes for u in two.units) - sum(u.weight_bytes for u in one.units) == table
        )
        saved = two.memory_per_device.weights_bytes - one.memory_per_device.weights_bytes
        assert saved == (table if pp == 1 else 0)
        assert one.performance.tpot_seconds.value == pytest.approx(
            two.performance.tpot_seconds.value
        )
