"""Baselines of every plan: always the same list, priced or with the reason why not."""

import csv

import pytest

from planner.formats.kv import kv_layout_ids
from planner.formats.schemes import scheme_ids
from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import engine_names
from planner.planning.answer.baselines import ALWAYS, RECIPE
from planner.planning.engines.defaults import OF_THE_MODEL, RELEASED, engine_default
from planner.planning.engines.mixes import engine_mixes, mixes_of
from planner.planning.engines.rules import DATA, sources
from planner.planning.plan.record import Baseline, Plan
from tests.support.theory import estimate, plan

SMALL = ("qwen2.5-0.5b", "jetson-orin-nano-8gb")


def rows(found: Plan) -> dict[str, Baseline]:
    return {b.name: b for b in found.baselines}


def test_the_whole_list_is_in_every_plan() -> None:
    found = rows(plan(*SMALL))
    assert {"published checkpoint", RECIPE, *ALWAYS} <= set(found)
    assert any(name.endswith(" default") for name in found)
    for line in found.values():
        assert line.feasible or line.reason
        assert line.feasible == (line.output_tokens_per_second > 0)
    assert "no FP8" in found["fp8-block"].reason


@pytest.mark.exhaustive
def test_schemes_that_were_not_asked_for_are_baselines_still() -> None:
    """Priced in a space of their own, with the figures that they have where all are asked for."""
    free, few = rows(plan(*SMALL, devices=1)), rows(plan(*SMALL, devices=1, schemes=["bf16"]))
    assert few["int8-w8a8"].feasible
    assert few["int8-w8a8"].batch == free["int8-w8a8"].batch
    assert few["int8-w8a8"].loss == pytest.approx(free["int8-w8a8"].loss)
    assert few["int8-w8a8"].tpot_seconds == pytest.approx(free["int8-w8a8"].tpot_seconds)


def test_the_default_of_an_engine_is_the_release_with_the_models_cache() -> None:
    found = rows(plan("llama-3.1-8b", "l40s", devices=1, engine="vllm", kv="fp8"))
    default = found["vllm default"]
    alone = estimate("llama-3.1-8b", "l40s", scheme="bf16", kv="bf16", devices=1, engine="vllm")
    assert default.feasible
    assert default.batch == pytest.approx(alone.workload.batch, abs=2)
    assert default.loss == 0
    assert "published checkpoint, KV fp8" in found


@pytest.mark.exhaustive
def test_an_engine_that_nothing_is_known_of_says_so() -> None:
    found = rows(plan("llama-3.1-8b", "h100-sxm", devices=1, engine="llama.cpp"))
    assert found["llama.cpp default"].feasible
    assert "refused" in found["int8-w8a8"].reason


def default(engine: str, device: str, model: str, released: str) -> tuple[str, str] | None:
    found = engine_default(engine, load_device(device), load_model(model), [released])
    return None if found is None else (found.scheme, found.kv)


@pytest.mark.parametrize(
    ("engine", "device", "model", "released", "expected"),
    [
        ("vllm", "h100-sxm", "deepseek-v3", "fp8-block", (RELEASED, "bf16")),
        ("vllm", "a100-sxm", "deepseek-v3", "fp8-block", ("fp8-w8a16", "bf16")),
        ("vllm", "h100-sxm", "deepseek-v3.2", "fp8-block-ue8m0", (RELEASED, "bf16")),
        ("vllm", "rtx-pro-6000", "deepseek-v3.2", "fp8-block-ue8m0", (RELEASED, "fp8-ds-mla")),
        ("sglang", "h100-sxm", "deepseek-v3.2", "fp8-block-ue8m0", (RELEASED, "bf16")),
        ("sglang", "b200-sxm", "deepseek-v3.2", "fp8-block-ue8m0", (RELEASED, "fp8-ds-mla")),
        ("tensorrt-llm", "b200-sxm", "deepseek-v3.1-nvfp4", "nvfp4", None),
        ("llama.cpp", "xeon-6980p", "llama-3.1-8b", "bf16", ("Q4_K_M", "fp16")),
        ("pytorch", "h100-sxm", "deepseek-v3", "fp8-block", None),
    ],
)
def test_what_engines_do_unasked(
    engine: str, device: str, model: str, released: str, expected: tuple[str, str] | None
) -> None:
    assert default(engine, device, model, released) == expected


def test_every_default_names_known_things_and_its_source() -> None:
    with (DATA / "engine_defaults.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) > 8
    for row in found:
        assert None not in row
        assert row["engine"] in engine_names()
        assert row["source"] in sources()
        assert row["note"]
        assert row["scheme"] in (RELEASED, *scheme_ids(), *engine_mixes())
        assert row["kv"] == OF_THE_MODEL or row["kv"] in kv_layout_ids()
        assert row["released"] == "*" or set(row["released"].split()) <= set(scheme_ids())


@pytest.mark.exhaustive
def test_llama_cpps_own_mixtures_are_baselines_with_times() -> None:
    """Q4_K_M lies between Q4_0 and Q6_K in bytes, loss and, with one user, time."""
    found = plan(
        "llama-3.1-8b",
        "l40s",
        devices=1,
        batch=1,
        context=4096,
        engine="llama.cpp",
        objective="latency",
        kv="bf16",
    )
    lines = rows(found)
    lean, mixed, wide = (lines[name] for name in ("Q4_0", "Q4_K_M", "Q6_K"))
    assert lean.tpot_seconds < mixed.tpot_seconds < wide.tpot_seconds
    assert lean.total_bytes_per_device < mixed.total_bytes_per_device < wide.total_bytes_per_device
    assert lean.loss > mixed.loss > wide.loss
    assert lines["Q8_0"].feasible
    said = {a.key: a for a in found.assumptions}
    assert "common/arg.cpp" in said["baseline Q4_K_M"].reason
    assert "Q4_K_M" not in rows(plan(*SMALL))


def test_a_mixture_of_llama_cpp_is_its_file_to_the_byte() -> None:
    """Q4_K_M of Llama-3.1-8B: half the layers' values and down projections in Q6_K, and the
    head; the table of tokens is in the memory of the host."""
    assert mixes_of("vllm") == []
    spec = load_model("llama-3.1-8b")
    found = rows(
        plan(
            spec,
            "l40s",
            devices=1,
            batch=1,
            context=4096,
            engine="llama.cpp",
            objective="memory",
            kv="bf16",
        )
    )
    elements = {
        row.name: row.elements * row.copies
        for row in spec.rows
        if row.is_matrix and row.kind != "embedding"
    }
    wide = sum(size for name, size in elements.items() if "v_proj" in name or "down" in name) // 2
    wide += elements["lm_head.weight"]
    size = (wide * 210 + (sum(elements.values()) - wide) * 144) // 256
    all_q8 = sum(elements.values()) // 32 * 34
    mixed, lean = (found[name].total_bytes_per_device for name in ("Q8_0", "Q4_K_M"))
    assert mixed - lean == all_q8 - size


def test_rows_that_blocks_do_not_fill_take_other_types_in_a_mixture() -> None:
    """The experts of DeepSeek-V2-Lite are 1,408 wide."""
    found = plan("deepseek-v2-lite", "l40s", devices=1, batch=1, context=4096, engine="llama.cpp")
    said = {a.key: a.reason for a in found.assumptions}
    assert "ggml-q5_0 for ggml-q4_k" in said["baseline Q4_K_M"]
    assert rows(found)["Q6_K, KV fp16"].feasible
    assert "ggml-q8_0 for ggml-q6_k" in said["baseline Q6_K"]
