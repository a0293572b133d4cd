"""Small kernels beside the products: rows in, norms, scores out."""

from dataclasses import replace

import pytest
from support.h100_operators import BYTES, DEVICE, LLAMA, MIXTRAL, machine, module, one

from planner.models.catalog import resolve_model
from planner.throughput.elementwise_kernels import layer_norms, small_kernels
from planner.throughput.fixed import (
    embedding_parts,
    top_k_parts,
)
from planner.throughput.points import decode_phase


def test_rows_in_and_scores_out() -> None:
    small, phase = DEVICE.achieved["elementwise"], decode_phase(one(), 100.0)
    reach = BYTES * small.bandwidth_fraction.value
    rows = embedding_parts(LLAMA, DEVICE, phase)
    assert float(rows.memory[0, 0]) == pytest.approx(4 * 4096 * 2 * 2 / reach)
    scores = top_k_parts(module(MIXTRAL, "router"), DEVICE, phase)
    assert float(scores.memory[0, 0]) == pytest.approx(4 * 8 * 4 / reach)


@pytest.mark.parametrize(
    ("name", "kernels", "gate", "sums"),
    [
        ("llama-3.1-8b", 2.0, 14336, 0.0),
        ("mixtral-8x7b", 1.0, 0, 0.0),
        ("deepseek-v3", 1 + 3 / 61 + 2 * 58 / 61, 18432 * 3 / 61 + 2048 * 58 / 61, 58 / 61),
        ("gemma-4-26b-a4b", 2.0, 2112, 0.0),
        ("nemotron-3-nano-30b-a3b", 29 / 52 + 2 * 23 / 52, 3712 * 23 / 52, 23 / 52),
        (
            "nemotron-super-49b",
            49 / 80 + 1,
            (28672 * 49 + 17920 + 14336 * 6 + 7168 * 10 + 5632 * 8 + 2816 * 6) / 80,
            0.0,
        ),
    ],
)
@pytest.mark.parametrize("tp", [1, 4])
def test_small_kernels_without_norms(
    name: str, kernels: float, gate: float, sums: float, tp: int
) -> None:
    """Rotary embedding; activation of a dense MLP; activation and sum of shared experts. Gemma 4
    has a dense MLP beside its experts, Nemotron's differ in width and 31 are without attention."""
    spec = resolve_model(name)
    bare = replace(
        spec,
        rows=tuple(
            row for row in spec.rows if row.kind != "norm" and not row.fused.startswith("hc-")
        ),
    )
    pts = one(tp=tp)
    found = small_kernels(bare, machine(), DEVICE, pts, decode_phase(pts, 100.0))
    small = DEVICE.achieved["elementwise"]
    assert float(found.launch[0, 0]) == pytest.approx(kernels * small.floor_seconds.value)
    moved = 4 * (gate / tp * 6 + sums * 6 * spec.hidden_size)
    assert float(found.memory[0, 0]) == pytest.approx(
        moved / (BYTES * small.bandwidth_fraction.value)
    )


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("llama-3.1-8b", (2 * 4096, 0, 0)),
        ("qwen3-32b", (2 * 5120, 64 * 128 + 8 * 128, 0)),
        ("minimax-m2.5", (2 * 3072, 0, 48 * 128 + 8 * 128)),
    ],
)
def test_norms_read_what_they_normalise(name: str, widths: tuple[float, ...]) -> None:
    norms = layer_norms(resolve_model(name))
    assert (norms.residual_width, norms.head_width, norms.wide_width) == pytest.approx(widths)


@pytest.mark.parametrize(
    ("name", "stack", "tp", "copies", "norms"),
    [
        ("llama-3.1-8b", "", 2, 2, 2),
        ("llama-3.1-8b", "vllm", 2, 2, 2),
        ("llama-3.1-8b", "trtllm", 1, 2, 2),
        ("llama-3.1-8b", "trtllm", 2, 2, 0),
        ("qwen3-32b", "vllm", 2, 2, 4),
        ("qwen3-32b", "trtllm", 1, 2, 2),
        ("qwen3-32b", "trtllm", 2, 2, 0),
        ("minimax-m2.5", "vllm", 2, 1, 4),
        ("minimax-m2.5", "trtllm", 2, 1, 2),
        ("deepseek-v3", "", 2, 1 + 3 / 61 + 2 * 58 / 61, 4),
        ("deepseek-v3", "trtllm", 1, 3 / 61 + 2 * 58 / 61, 2),
    ],
)
def test_norms_reduce_and_are_fused(
    name: str, stack: str, tp: int, copies: float, norms: int
) -> None:
    """A norm waits for two passes: 1.5 floors. TensorRT-LLM's all-reduce takes those of the
    residual, its rotary kernel those of heads; norms of latents and the rotary kernel are in the
    time of an attention that was measured with them."""
    spec, pts = resolve_model(name), one(tp=tp)
    found = small_kernels(
        spec,
        replace(machine(), stacks=(stack,) if stack else ()),
        DEVICE,
        pts,
        decode_phase(pts, 100.0),
    )
    small = DEVICE.achieved["elementwise"]
    assert float(found.launch[0, 0]) == pytest.approx(
        (copies + 1.5 * norms) * small.floor_seconds.value
    )
    widths, (gate, sums) = (
        layer_norms(spec),
        {
            "llama-3.1-8b": (14336, 0),
            "qwen3-32b": (25600, 0),
            "minimax-m2.5": (0, 0),
            "deepseek-v3": (18432 * 3 / 61 + 2048 * 58 / 61, 58 / 61),
        }[name],
    )
    latents = 1536 + 512 if name == "deepseek-v3" and not stack else 0
    moved = (
        8 * 2 * spec.hidden_size
        + 4 * (widths.head_width + widths.wide_width) / tp
        + 4 * latents
        + 6 * gate / tp
        + 6 * sums * spec.hidden_size
    )
    assert float(found.memory[0, 0]) == pytest.approx(
        4 * moved / (BYTES * small.bandwidth_fraction.value)
    )
