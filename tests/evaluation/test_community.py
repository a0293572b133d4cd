"""llmfit's rule as its source has it, and rows that both rules predict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluation.community.page import community_page
from evaluation.community.rows import APPLE, TABLE, BothRules, both_rules, kind_of_row, machine_of
from evaluation.community.rule import (
    CARD,
    CPU,
    OFFLOADED,
    MachineRow,
    active_billions,
    bandwidth_gb_per_s,
    llmfit_decode,
)
from planner.lookup import load_model

RX_6900_XT = MachineRow("RX 6900 XT", 16.0, "rocm", CARD)
ROW = {
    "preset": "RTX 3060 (12 GB)",
    "gpu": "RTX 3060",
    "gpu_count": "1",
    "vram_gb": "12.0",
    "cpu": "AMD Ryzen 7",
    "model": "Qwen/Qwen3-8B",
    "engine": "llama.cpp",
    "quantization": "Q4_K_M",
    "backend": "cuda",
    "prompt_tokens": "512",
    "output_tokens": "128",
    "batch": "1",
    "decode_tokens_per_s": "50",
    "prefill_tokens_per_s": "",
    "gpu_layers": "99.0",
    "spec_decoding": "False",
    "mtp": "False",
    "command": "llama-bench -m x.gguf",
}


@pytest.mark.parametrize(("quant", "stated"), [("Q2_K", 281), ("Q4_K_M", 257), ("Q8_0", 216)])
def test_experts_as_the_source_states_them(quant: str, stated: float) -> None:
    """What fit.rs says of OLMoE on an RX 6900 XT."""
    found = llmfit_decode(load_model("olmoe-1b-7b"), quant, RX_6900_XT)
    assert found == pytest.approx(stated, rel=0.01)


def test_dense_models_are_bandwidth_over_bytes() -> None:
    spec = load_model("qwen3-8b")
    card = MachineRow("RTX 4090", 24.0, "cuda", CARD)
    found = llmfit_decode(spec, "Q4_K_M", card)
    assert found == pytest.approx(1008 / (active_billions(spec) * 0.5) * 0.55)
    assert llmfit_decode(spec, "UD-Q8_K_XL", card) == pytest.approx(found / 2)
    assert llmfit_decode(spec, "Q4_K_M", replace(card, mode=OFFLOADED)) == pytest.approx(found / 2)


def test_processors_and_cards_without_a_bandwidth() -> None:
    spec = load_model("qwen3-8b")
    billions = active_billions(spec)
    cpu = llmfit_decode(spec, "Q8_0", MachineRow("", 0.0, "cpu", CPU))
    assert cpu == pytest.approx(70 / billions * 0.8 * 1.1 * 0.3)
    unknown = llmfit_decode(spec, "Q8_0", MachineRow("Voodoo 2", 0.0, "vulkan", CARD))
    assert unknown == pytest.approx(150 / billions * 0.8 * 1.1)


def test_experts_that_fill_a_card_are_slower_and_offloaded_ones_slowest() -> None:
    spec = load_model("qwen3-30b-a3b")
    wide = llmfit_decode(spec, "Q4_K_M", MachineRow("RTX 3090", 48.0, "cuda", CARD))
    full = llmfit_decode(spec, "Q4_K_M", MachineRow("RTX 3090", 24.0, "cuda", CARD))
    hosted = llmfit_decode(spec, "Q4_K_M", MachineRow("RTX 3090", 24.0, "cuda", OFFLOADED))
    assert wide > full > hosted
    read = active_billions(spec) * 0.5
    assert hosted == pytest.approx(0.8 / (read / 50 + read / (936 * 0.55)))


@pytest.mark.parametrize(
    ("name", "figure"), [("RTX 4070 Ti", 504.0), ("Apple M4 Pro", 273.0), ("Voodoo 2", None)]
)
def test_bandwidths_by_name(name: str, figure: float | None) -> None:
    assert bandwidth_gb_per_s(name) == figure


def test_kinds_of_rows() -> None:
    assert kind_of_row(ROW) == CARD
    assert kind_of_row({**ROW, "gpu": ""}) == CPU
    assert kind_of_row({**ROW, "preset": "Apple M1 Max (64 GB)"}) == APPLE
    assert kind_of_row({**ROW, "command": "llama-server --n-cpu-moe 20"}) == OFFLOADED
    assert kind_of_row({**ROW, "command": "llama-server --n-cpu-moe 0 -ngl 99"}) == CARD
    assert kind_of_row({**ROW, "gpu_layers": "0.0"}) == OFFLOADED
    assert machine_of({**ROW, "backend": ""}).backend == "cuda"


def test_both_rules_have_the_same_rows() -> None:
    other = {**ROW, "model": "nobody/nothing"}
    pairs, reasons = both_rules([ROW, other, {**ROW, "gpu_count": "2"}])
    assert [(p.kind, p.model, p.measured) for p in pairs] == [(CARD, "qwen3-8b", 50.0)]
    assert sum(reasons.values()) == 2
    (pair,) = pairs
    assert pair.low < pair.ours < pair.high
    spec = load_model("qwen3-8b")
    assert pair.llmfit == llmfit_decode(spec, "Q4_K_M", machine_of(ROW))


def test_the_page_has_the_median_of_each_kind() -> None:
    row = BothRules(CARD, "rtx-3060-12gb", "qwen3-8b", "Q4_K_M", 100.0, 90.0, 80.0, 120.0, 150.0)
    page = community_page([row, replace(row, kind=APPLE, ours=130.0, measured=130.0)], {})
    assert "| card | 1 | 10 % | 50 % | 100% |" in page
    assert "| Apple | 1 | 0 % | 15 % | 0% |" in page
    assert "| offloaded | 0 | - | - | - |" in page
    assert TABLE == "e2e_community"
