"""What benchmarks and releases say of rows that record no cache, lengths, budgets or recipe."""

from __future__ import annotations

import pytest

from planner.lab.validation import e2e_silicon
from planner.lab.validation.records import EXCLUDED
from planner.lab.validation.serving_rules import (
    balance_steps,
    cache_layout,
    chunk_tokens,
    formats,
    hold,
    run_of,
)
from planner.models.catalog import resolve_model
from planner.placement.modules import EXPERT_KINDS, modules

ROW = {
    "device": "h200_sxm",
    "mode": "agg",
    "software": "vllm ?",
    "model": "meta-llama/Llama-3.1-70B",
    "precision": "fp8",
    "gemm_dtype": "fp8",
    "moe_dtype": "fp8",
    "parallelism": "agg:TP4/PP1/ADP-/mTP1/mEP1",
    "concurrency": "16.0",
    "batch_size": "16",
    "isl": "1024",
    "osl": "1024",
    "ttft_ms": "120.0",
    "tpot_ms": "11.0",
    "exclude": "",
}


def test_an_nvfp4_row_takes_the_recipe_of_the_release() -> None:
    """Module by module as the bundled hf_quant_config.json of the release has it."""
    found = formats("deepseek-v3", "nvfp4", blackwell=True)
    assert found is not None
    recipe = found.recipe("fp8", experts=True)
    for module in modules(resolve_model("deepseek-v3.1-nvfp4")):
        if module.kind.startswith(("mla", "attention", "mlp", "shared", "experts")):
            assert recipe.of(module.kind) == module.released_as, module.kind
    assert recipe.kv == "fp8"
    assert all(recipe.of(kind) == "nvfp4" for kind in EXPERT_KINDS)


@pytest.mark.parametrize(
    ("model", "kind", "scheme"),
    [
        ("kimi-k2-instruct", "attention-out", "bf16"),
        ("minimax-m2.5", "attention-qkv", "bf16"),
        ("glm-5", "attention-out", "bf16"),
        ("glm-5", "shared-down", "nvfp4"),
        ("qwen3-235b-a22b", "attention-qkv", "nvfp4"),
        ("llama-3.1-70b", "mlp-down", "nvfp4"),
    ],
)
def test_releases_leave_their_own_modules_in_bf16(model: str, kind: str, scheme: str) -> None:
    found = formats(model, "nvfp4", blackwell=True)
    assert found is not None
    assert found.recipe("fp8", experts=True).of(kind) == scheme


@pytest.mark.parametrize(
    ("engine", "model", "label", "device", "kv"),
    [
        ("sglang", "deepseek-v3", "fp8", "h200-sxm", "bf16"),
        ("sglang", "deepseek-v3", "fp8", "b200-sxm", "fp8"),
        ("sglang", "deepseek-v3", "nvfp4", "b200-sxm", "fp8"),
        ("tensorrt-llm", "deepseek-v3", "fp8", "h200-sxm", "fp8"),
        ("tensorrt-llm", "gpt-oss-120b", "nvfp4", "h200-sxm", "bf16"),
        ("tensorrt-llm", "gpt-oss-120b", "nvfp4", "b200-sxm", "fp8"),
        ("vllm", "gpt-oss-120b", "nvfp4", "b200-sxm", "fp8"),
        ("vllm", "gpt-oss-120b", "nvfp4", "h200-sxm", "bf16"),
        ("vllm", "qwen3-32b", "bf16", "h100-sxm", "bf16"),
        ("sglang", "glm-5", "fp8", "b200-sxm", "fp8-ds-mla"),
        ("sglang", "deepseek-v3.2", "nvfp4", "gb200", "fp8-ds-mla"),
        ("sglang", "glm-5", "fp8", "h200-sxm", "bf16"),
    ],
)
def test_caches_follow_the_script_the_release_or_the_engine(
    engine: str, model: str, label: str, device: str, kv: str
) -> None:
    assert cache_layout(engine, model, label, device) == kv


def test_lengths_and_budgets_are_those_of_the_benchmark() -> None:
    drawn, fixed = run_of("llama-3.1-70b", 8192, 1024), run_of("qwen3-32b", 4096, 512)
    assert (drawn.mean(8192), drawn.range_ratio, drawn.requests) == (7373, 0.8, 10)
    assert (fixed.mean(4096), fixed.range_ratio) == (4096, 1.0)
    assert chunk_tokens("tensorrt-llm", "gpt-oss-120b", "nvfp4") == 20000
    assert chunk_tokens("vllm", "llama-3.1-70b", "fp8") == 8192
    assert balance_steps("tensorrt-llm", "deepseek-v3") == 60
    assert balance_steps("vllm", "deepseek-v3") == 0


@pytest.mark.parametrize(("tp", "isl", "steps"), [(4, 1024, 20), (8, 1024, 0), (4, 8192, 0)])
def test_prompts_are_held_where_the_script_holds_them(tp: int, isl: int, steps: int) -> None:
    assert (
        hold(
            "tensorrt-llm",
            "llama-3.1-70b",
            "fp8",
            "h200-sxm",
            isl=isl,
            osl=1024,
            tp=tp,
            concurrency=16,
        )[0]
        == steps
    )
    assert (
        hold("vllm", "llama-3.1-70b", "fp8", "h200-sxm", isl=1024, osl=1024, tp=4, concurrency=16)[
            0
        ]
        == 0
    )


@pytest.mark.parametrize(("concurrency", "supplied"), [("8.0", True), ("16.0", False)])
def test_rows_that_supplied_the_prompt_floor_stay_out_of_headline_ttft(
    concurrency: str, *, supplied: bool
) -> None:
    found = {
        o.metric: o.regime
        for o in e2e_silicon.predict_rows("e2e_silicon_x", [ROW | {"concurrency": concurrency}])
        if "host" not in o.regime
    }
    assert found["tpot"] == "aggregated"
    assert (found["ttft"] == EXCLUDED + "supplied the prompt floor") == supplied


def test_disaggregated_rows_have_both_times_and_follow_the_prefill_pool() -> None:
    row = ROW | {
        "model": "deepseek-ai/DeepSeek-V3",
        "software": "trtllm 0.8.1",
        "mode": "disagg",
        "concurrency": "256.0",
        "isl": "8192",
    }
    many, few = (
        {
            o.metric: o
            for o in e2e_silicon.predict_rows(
                "e2e_silicon_x",
                [
                    row
                    | {"parallelism": f"P{n}x[TP8/PP1/ADP1/mTP1/mEP8]+D2x[TP1/PP1/ADP8/mTP1/mEP8]"}
                ],
            )
            if o.regime == "disaggregated"
        }
        for n in (8, 1)
    )
    assert many["ttft"].predicted < few["ttft"].predicted  # type: ignore[operator]
    assert many["tpot"].predicted > few["tpot"].predicted  # type: ignore[operator]
