"""What an edge engineer asks: format, engine, tokens/s of one user, largest context."""

import pytest

import planner
from planner.planning.question.given_values import USERS_KEY
from planner.report.render.plan_text import plan_text


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("model", "device"),
    [
        ("llama-3.1-8b", "jetson-agx-orin-64gb"),
        ("qwen3-8b", "xeon-6980p"),
        ("llama-3.1-8b", "jetson-agx-thor-t5000"),
        ("qwen2.5-0.5b", "jetson-orin-nano-8gb"),
    ],
)
def test_a_board_or_cpu_serves_one_user(model: str, device: str) -> None:
    found = planner.plan(model, device)
    assert (found.device.count, found.workload.batch) == (1, 1)
    assert "llama.cpp" in found.engine.chosen_from
    assert found.engine.name != "any"
    assert any(a.key == USERS_KEY for a in found.assumptions)
    pace = found.performance.tpot_seconds.value
    first, osl = found.performance.ttft_seconds.value, found.workload.osl
    assert found.performance.output_tokens_per_second.value == pytest.approx(
        osl / (first + osl * pace)
    )
    assert found.capacity.max_context_at_batch >= found.workload.context_tokens
    told = plan_text(found)
    assert "1 concurrent request" in told.partition("Assumed")[2]
    assert f"{found.capacity.max_context_at_batch:,}" in told


@pytest.mark.exhaustive
def test_types_of_ggml_are_among_what_a_cpu_may_take() -> None:
    """On a socket llama.cpp's own types are its fastest within the loss of uniform INT8. (Of all
    engines vLLM wins: attention of llama.cpp runs on vector units, without AMX.)"""
    found = planner.plan("qwen3-8b", "xeon-6980p", exact=True, engine="llama.cpp")
    schemes = {u.scheme for u in found.units if u.kind.startswith("mlp")}
    assert all(name.startswith("ggml-") for name in schemes)


@pytest.mark.exhaustive
def test_a_model_too_large_for_a_small_board_has_a_way_out() -> None:
    with pytest.raises(planner.InfeasibleError) as caught:
        planner.plan("llama-3.1-8b", "jetson-orin-nano-8gb")
    assert caught.value.hint.endswith("--max-loss ggml-q4_k")
    found = planner.plan("llama-3.1-8b", "jetson-orin-nano-8gb", max_loss="ggml-q4_k")
    assert found.memory_per_device.total_bytes <= found.memory_per_device.usable_bytes
