"""Which measured kernel of experts prices a scheme on a stack, a layout and a device."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import estimate
from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout
from planner.placement.modules import modules
from planner.throughput.calibration import PRIOR
from planner.throughput.collectives import fabric
from planner.throughput.engine_kernels import LAYOUTS
from planner.throughput.expert_load import expected_load
from planner.throughput.experts import expert_parts
from planner.throughput.linear import ENGINE_LAYOUTS, Machine, kernel_arrays
from planner.throughput.moe import MoeModel, moe_models, popularity_spread
from planner.throughput.moe_choice import ExpertServer, layout_codes, measured_kernels_of
from planner.throughput.points import Points, decode_phase, points

NEW = "0.33.0"


def model(
    device: str, scheme: str, layout: str = "tp", version: str = NEW, static_scales: bool = False
) -> MoeModel:
    """vLLM's."""
    server = ExpertServer(("vllm",), "vllm", version, static_scales)
    found = moe_models(resolve_device(device), scheme, server, [layout])[0]
    assert found is not None
    return found


def trtllm(scheme: str, device: str = "b200-sxm") -> MoeModel:
    server = ExpertServer(("trtllm",), "tensorrt-llm", "")
    found = moe_models(resolve_device(device), scheme, server, ["tp"])[0]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("device", "scheme", "layout", "variant"),
    [
        ("h200-sxm", "fp8-block", "tp", "triton:fp8-block"),
        ("h100-sxm", "bf16", "ep", "triton:bf16"),
        ("h100-sxm", "mxfp4-w4a16", "tp", "oai-triton:mxfp4-w4a16"),
        ("l40s", "mxfp4-w4a16", "tp", "marlin:mxfp4-w4a16"),
        ("rtx-pro-6000", "mxfp4-w4a16", "tp", "marlin:mxfp4-w4a16"),
        ("rtx-pro-6000", "bf16", "tp", "flashinfer-cutlass:bf16"),
        ("b200-sxm", "bf16", "tp", "flashinfer-trtllm:bf16"),
        ("b200-sxm", "mxfp4-w4a16", "tp", "flashinfer-trtllm:mxfp4-w4a16"),
        ("b200-sxm", "nvfp4", "tp", "flashinfer-trtllm:nvfp4"),
        ("b200-sxm", "nvfp4", "dp-ep", "flashinfer-trtllm-modular:nvfp4"),
        ("b300-sxm", "fp8-block", "dp-ep", "flashinfer-trtllm:fp8-block"),
        ("b300-sxm", "fp8-block", "tp-dp-ep", "flashinfer-trtllm-modular:fp8-block"),
    ],
)
def test_a_stack_takes_its_own_kernel_of_the_layout(
    device: str, scheme: str, layout: str, variant: str
) -> None:
    found = model(device, scheme, layout)
    assert (found.stack, found.variant, found.basis) == ("vllm", variant, "fitted")
    assert found.factor == 1.0


def test_static_scales_pick_another_kernel_than_dynamic_ones() -> None:
    assert model("h200-sxm", "fp8-tensor").variant == "triton:fp8-tensor"
    assert (
        model("h200-sxm", "fp8-tensor", static_scales=True).variant
        == "flashinfer-cutlass:fp8-tensor"
    )


@pytest.mark.parametrize(
    ("container", "variant"),
    [
        ("", "triton:fp8-tensor"),
        ("fp8", "triton:fp8-tensor"),
        ("gguf", "triton:fp8-tensor"),
        ("modelopt-mixed", "flashinfer-trtllm:fp8-tensor"),
    ],
)
def test_the_checkpoint_format_picks_the_kernel(container: str, variant: str) -> None:
    server = ExpertServer(("vllm",), "vllm", NEW, container=container)
    found = moe_models(resolve_device("b200-sxm"), "fp8-tensor", server, ["tp"])[0]
    assert found is not None
    assert (found.variant, found.basis) == (variant, "fitted")


def test_a_plan_is_priced_by_the_kernel_of_the_checkpoint_format_that_it_names() -> None:
    plan = estimate(
        "qwen3-30b-a3b",
        "b200-sxm",
        scheme="fp8-tensor",
        engine="vllm",
        context=4096,
        batch=64,
        devices=1,
    )
    told = {a.key: f"{a.value} {a.reason}" for a in plan.assumptions}
    assert "modelopt-mixed" in told["servable by vllm"]
    assert "flashinfer-trtllm:fp8-tensor" in told["time basis"]


def test_a_kernel_without_a_table_is_named_and_stood_for_by_the_stack_s_own() -> None:
    tensor, whole = model("h200-sxm", "fp8-block"), model("h200-sxm", "fp8-block", "ep")
    assert (whole.stack, whole.variant) == ("vllm", "triton:fp8-block")
    assert whole.basis == "transferred"
    assert whole.origin.endswith("for FLASHINFER_CUTLASS:FlashInferExperts")
    assert whole.sigma > 2 * tensor.sigma


def test_a_kernel_of_a_later_version_is_a_loan_of_the_one_before() -> None:
    old, new = (model("h100-sxm", "int4-w4a16", version=v) for v in ("0.24.0", NEW))
    assert old.variant == new.variant == "marlin:int4-w4a16"
    assert (old.basis, new.basis) == ("fitted", "transferred")
    assert "HUMMING" in new.origin
    assert new.sigma > old.sigma


def test_what_no_engine_was_measured_in_carries_the_error_of_a_prior() -> None:
    for scheme in ("int8-w8a8", "int8-block", "nvfp4-w4a16", "fp8-w8a16"):
        found = model("h100-sxm", scheme)
        assert found.basis == PRIOR.basis
        assert found.sigma >= PRIOR.sigma
    plan = estimate(
        "qwen3-30b-a3b",
        "h100-sxm",
        scheme="int8-w8a8",
        devices=1,
        tp=1,
        batch=8,
        context=2048,
        engine="any",
    )
    assert plan.performance.tpot_seconds.basis == "prior"


def test_a_device_without_the_stack_s_kernel_borrows_on_the_device_itself() -> None:
    found = model("a100-sxm", "int4-w4a16")
    assert found.stack == "sglang"
    assert "on a100-sxm" in found.origin
    assert found.basis == "transferred"
    assert found.sigma > 0.12


def test_no_wide_error_where_a_relative_runs_the_kernel() -> None:
    own, relative = model("b200-sxm", "nvfp4"), model("gb200", "nvfp4")
    assert relative.variant == own.variant
    assert relative.basis == "transferred"
    assert own.sigma < relative.sigma < 0.3


def test_layouts_have_the_codes_of_their_names() -> None:
    shapes = {
        "tp": (8, 1, 1),
        "ep": (8, 1, 8),
        "dp": (1, 8, 1),
        "dp-ep": (1, 8, 8),
        "tp-dp-ep": (2, 4, 8),
    }
    for name, (tp, dp, ep) in shapes.items():
        assert LAYOUTS[int(layout_codes(tp, dp, ep))] == name
    columns = np.array(list(shapes.values()), dtype=np.float64).T
    assert [LAYOUTS[c] for c in layout_codes(*columns).tolist()] == list(shapes)


def test_layouts_that_share_kernels_are_one_group() -> None:
    device = resolve_device("b200-sxm")
    kernels = kernel_arrays(
        device, ["nvfp4", "bf16"], experts=True, stacks=("vllm",), engine="vllm", version=NEW
    )
    every = np.arange(len(ENGINE_LAYOUTS))
    groups = kernels.fused_on(every)
    assert [rows.tolist() for rows, _ in groups if not isinstance(rows, slice)] == [
        [0, 1, 2],
        [3, 4],
    ]
    assert [rows for rows, _ in kernels.fused_on(np.array([0, 2, 0]))] == [slice(None)]
    assert kernels.sure(0, 0).origin != kernels.sure(0, 3).origin


@pytest.mark.parametrize(
    ("layout", "kernel"),
    [
        ({"tp": 8, "ep": 1}, "triton:fp8-block on h200-sxm"),
        ({"tp": 8, "ep": 8}, "for FLASHINFER_CUTLASS"),
    ],
)
def test_an_answer_rests_on_the_kernel_of_its_layout(layout: dict[str, int], kernel: str) -> None:
    plan = estimate(
        "deepseek-v3",
        "h200-sxm",
        engine="vllm",
        devices=8,
        batch=32,
        context=4096,
        pp=1,
        dp=1,
        **layout,
    )
    basis = next(a for a in plan.assumptions if a.key == "time basis")
    assert kernel in basis.reason


def test_every_kernel_that_a_stack_lends_is_measured_somewhere() -> None:
    known = {
        (stack, variant)
        for name in (
            "h100-sxm",
            "h200-sxm",
            "b200-sxm",
            "b300-sxm",
            "a100-sxm",
            "l40s",
            "rtx-pro-6000",
        )
        for (operator, stack, variant) in resolve_device(name).fitted
        if operator == "moe"
    }
    for stack in ("trtllm", "vllm", "sglang"):
        for scheme in (
            "bf16",
            "fp8-tensor",
            "fp8-block",
            "nvfp4",
            "int4-w4a16",
            "mxfp4-w4a16",
            "mxfp4-w4a8",
        ):
            for kernel in measured_kernels_of(stack, scheme):
                assert (stack, f"{kernel}:{scheme}") in known


def seconds(
    found: MoeModel,
    tokens: list[float],
    count: int = 256,
    ranks: float = 8.0,
) -> np.ndarray:
    t = np.array(tokens)
    load = expected_load(count, 8, 1.24, t, np.asarray(ranks))
    return found.parts(
        load,
        tokens=t,
        hidden=np.asarray(7168.0),
        width=np.asarray(2048.0),
        local=np.asarray(count / ranks),
        weight_bytes=np.asarray(0.5625),
        count=float(count),
        ranks=ranks,
    ).total()


def test_few_tokens_of_nvfp4_run_on_the_kernel_of_low_latency() -> None:
    found = trtllm("nvfp4")
    assert found.few is not None
    assert " up to 128 tokens, 256 experts and one host on " in found.origin
    plain = MoeModel(
        found.scheme,
        found.chip,
        found.variant,
        found.parameters,
        found.stack,
        found.basis,
        found.sigma,
        found.origin,
    )
    for tokens, faster in ((64.0, True), (128.0, True), (129.0, False)):
        mine, theirs = float(seconds(found, [tokens])[0]), float(seconds(plain, [tokens])[0])
        assert (mine < theirs) is faster
    assert seconds(found, [64.0], count=384, ranks=8.0) == seconds(plain, [64.0], count=384)
    assert seconds(found, [64.0], ranks=16.0) == seconds(plain, [64.0], ranks=16.0)
    assert trtllm("fp8-block").few is None
    assert trtllm("nvfp4", "rtx-pro-6000").few is None


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 4000), st.floats(1, 3))
def test_more_tokens_never_take_less_across_the_change_of_kernels(
    tokens: float, factor: float
) -> None:
    few, many = seconds(trtllm("nvfp4"), [tokens, tokens * factor])
    assert few <= many * (1 + 1e-9)


def test_layouts_priced_together_take_what_each_takes_alone() -> None:
    spec = resolve_model("deepseek-v3")
    assert spec.experts is not None
    device = resolve_device("b200-sxm")
    schemes = ["nvfp4", "fp8-block"]
    grouped = kernel_arrays(
        device, schemes, experts=True, stacks=("vllm",), engine="vllm", version=NEW
    )
    machine = Machine(
        device.bandwidth_bytes_per_s.value, dense=grouped, grouped=grouped, net=fabric(device)
    )
    module = next(m for m in modules(spec) if m.kind == "experts-gate-up")
    layouts = [Layout(8, 1, 1, 1), Layout(8, 1, 1, 8), Layout(1, 8, 1, 8), Layout(2, 4, 1, 8)]
    pairs = [(i, slot) for i in range(4) for slot in (1, 64)]
    together = points(layouts, pairs)
    held = spec.experts.count * 2 * 7168 * 2048 / 8 * np.array([[0.5625, 1.0]])

    def seconds(pts: Points) -> np.ndarray:
        return expert_parts(
            module,
            spec.experts,
            machine,
            pts,
            decode_phase(pts, 1024.0),
            np.repeat(held, len(pts), axis=0),
        ).total()

    alone = np.concatenate([seconds(together.take(np.array([i]))) for i in range(len(pairs))])
    assert seconds(together) == pytest.approx(alone, rel=1e-12)
    assert alone[2, 0] != alone[4, 0]


def test_routers_that_training_corrected_spread_tokens_more_evenly() -> None:
    corrected = popularity_spread(resolve_model("deepseek-v3"))
    assert corrected == popularity_spread(resolve_model("minimax-m2.5"))
    # gpt-oss adds a bias to the logits, which corrects nothing; Qwen3 has none.
    assert corrected < popularity_spread(resolve_model("gpt-oss-120b"))
    assert popularity_spread(resolve_model("qwen3-235b-a22b")) == popularity_spread()
