"""``memory``: parts add up, plans and schemes are priced, files on disk are compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.base.errors import DataError, InputError
from planner.base.units import GIB
from planner.memory.workspace import (
    PassShape,
    attention_bytes,
    collective_bytes,
    dispatch_bytes,
    logits_bytes,
    peak_lines,
    split_attention_bytes,
    working_lines,
)
from planner.models.catalog import resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory, expand
from planner.placement.layout import Layout
from planner.planning.inspect.memory import memory
from tests.support.theory import estimate

TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "hidden_act": "silu",
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize(
    ("model", "payload"), [("gpt-oss-20b", 13_761_264_768), ("gpt-oss-120b", 65_248_815_744)]
)
def test_published_checkpoints(model: str, payload: int) -> None:
    assert memory(model).parts.stages[0].weights_bytes == payload


def test_v4_pro_holds_a_million_tokens_in_9_62_gib() -> None:
    """Its entries, as published; beside them 31 layers keep 128 tokens and 30 keep 8 in FP32,
    until a group is full."""
    got = memory("deepseek-v4-pro", context=2**20)
    partial = 31 * 128 * 2 * 512 * 4 + 30 * 8 * 4 * (512 + 128) * 4
    assert (got.parts.request_bytes - partial) / GIB == pytest.approx(9.6246, abs=5e-5)


def test_v3_as_stored_is_main_model_and_prediction_layers() -> None:
    """688,574,839,360 B stored, of which 2 × 1.85 GB copy embedding and head."""
    got = memory("deepseek-v3", with_mtp=True, context=128)
    copies = 2 * 129280 * 7168 * 2
    assert got.parts.stages[0].weights_bytes + copies == 688_574_839_360
    assert got.parts.not_loaded == ()
    assert [line.name for line in memory("deepseek-v3", context=128).parts.not_loaded] == ["mtp"]


def test_prediction_layers_bring_their_cache() -> None:
    """One more latent layer of 1,152 B a token on the last stage, and in an engine's blocks."""
    plain, loaded = (
        memory("deepseek-v3", "h200-sxm", tp=8, pp=2, context=640, with_mtp=mtp, engine="vllm")
        for mtp in (False, True)
    )
    caches = [[stage.cache_bytes for stage in got.parts.stages] for got in (plain, loaded)]
    assert caches[1] == [caches[0][0], caches[0][1] + 640 * 1152]
    assert plain.engine is not None
    assert loaded.engine is not None
    last = [got.engine.ranks[-1].caches for got in (plain, loaded) if got.engine is not None]
    assert len(last[1][0].layers) == len(last[0][0].layers) + 1


def test_experts_of_prediction_layers_are_spread_over_ep() -> None:
    """DeepSeek-V3 at dp 8, ep 8: an eighth of the 256 experts of its one layer."""
    lines = {
        line.name: line.bytes
        for line in memory("deepseek-v3", dp=8, ep=8, context=128, batch=8, with_mtp=True)
        .parts.stages[0]
        .weights
    }
    experts = 32 * 3 * 7168 * 2048
    assert experts < lines["mtp"] < experts + 1.1 * 2**29


def test_bytes_a_token_are_those_of_the_device_that_holds_most() -> None:
    got = memory("llama-3.1-8b", pp=3, context=1024)
    assert got.parts.token_bytes == 11 * 4096
    assert got.parts.request_bytes == 1024 * 11 * 4096


def test_windows_have_their_own_line() -> None:
    names = [line.name for line in memory("mimo-v2-flash", context=1024).parts.stages[0].caches]
    assert names == ["cache-kv", "cache-kv-window-128"]


def test_the_parts_add_up() -> None:
    got = memory("deepseek-v2-lite", "h100-sxm", tp=2, pp=3, ep=2, context=4096, batch=8)
    data = got.to_dict()
    for stage in data["devices"]:
        assert stage["weights_bytes"] == sum(line["bytes"] for line in stage["weights"])
        assert stage["kv_cache_bytes"] == sum(line["bytes"] for line in stage["caches"])
        peaks = [sum(line["bytes"] for line in stage[kind]) for kind in ("prefill", "decode")]
        assert stage["activation_bytes"] == max(peaks)
        parts = ("weights_bytes", "kv_cache_bytes", "activation_bytes", "runtime_bytes")
        assert stage["total_bytes"] == sum(stage[part] for part in parts)
        assert all(isinstance(stage[part], int) and stage[part] > 0 for part in parts)
    assert sum(stage["count"] for stage in data["devices"]) == 6
    json.dumps(data, allow_nan=False)


def test_sequences_that_fit_are_the_most_that_fit() -> None:
    got = memory("llama-3.1-8b", "h100-sxm", context=8192, batch=1)
    n = got.sequences
    stage = got.parts.stages[0]
    slot = stage.cache_bytes
    rest = stage.total_bytes - slot
    assert rest + n * slot <= got.usable_bytes < rest + (n + 1) * slot


def test_a_scheme_and_its_plan_take_the_same_bytes() -> None:
    scheme = "fp8-block"
    plan = estimate("qwen3-8b", "h100-sxm", scheme=scheme, devices=1, context=4096, batch=4)
    of_plan = memory("qwen3-8b", plan=plan, context=4096)
    of_scheme = memory("qwen3-8b", scheme=scheme, context=4096)
    assert of_plan.parts.stages[0].weights_bytes == of_scheme.parts.stages[0].weights_bytes
    assert of_plan.parts.stages[0].weights_bytes == plan.memory_per_device.weights_bytes
    assert (
        of_scheme.parts.stages[0].weights_bytes
        < memory("qwen3-8b", context=4096).parts.stages[0].weights_bytes
    )


def test_a_scheme_covers_what_a_mixed_release_left_out() -> None:
    """The NVFP4 release of DeepSeek-V3.1 keeps attention in other formats."""
    released = memory("deepseek-v3.1-nvfp4", context=128)
    uniform = memory("deepseek-v3.1-nvfp4", context=128, scheme="nvfp4")
    sizes = [
        {line.name: line.bytes for line in got.parts.stages[0].weights}
        for got in (released, uniform)
    ]
    assert sizes[1]["experts-down"] == sizes[0]["experts-down"]
    assert sizes[1]["mla-q"] < sizes[0]["mla-q"]
    assert (released.scheme, uniform.scheme) == ("nvfp4 as released", "nvfp4")
    assert memory("qwen3-8b", context=128, scheme="bf16").scheme == "bf16 as released"


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("model", "layout"),
    [
        ("qwen3-8b", {}),
        ("deepseek-v3.2", {"tp": 2, "dp": 4, "ep": 8}),
        ("gpt-oss-20b", {"tp": 2}),
        ("qwen3-next-80b-a3b", {"tp": 2, "pp": 3}),
        ("gemma-3-4b-text", {}),
        ("deepseek-v4-flash", {"tp": 4, "ep": 4}),
        ("llama-4-scout", {"tp": 8}),
    ],
)
@settings(max_examples=examples(4), deadline=None)
@given(
    context=st.integers(2, 16_000),
    longer=st.integers(0, 4_000),
    batch=st.integers(1, 200),
    more=st.integers(0, 50),
)
def test_monotone_in_context_and_batch(
    model: str, layout: dict[str, int], context: int, longer: int, batch: int, more: int
) -> None:
    def held(context: int, batch: int) -> list[int]:
        got = memory(model, "h200-sxm", context=context, batch=batch, **layout)  # type: ignore[arg-type]
        return [stage.total_bytes for stage in got.parts.stages]

    base = held(context, batch)
    assert all(a <= b for a, b in zip(base, held(context + longer, batch), strict=True))
    assert all(a <= b for a, b in zip(base, held(context, batch + more), strict=True))


def test_refusals() -> None:
    plan = estimate("qwen3-8b", "h100-sxm", scheme="bf16", devices=1, context=4096, batch=1)
    for arguments, word in [
        ({"plan": plan, "scheme": "bf16"}, "exclude"),
        ({"plan": plan, "kv": "fp8"}, "exclude"),
        ({"tp": 3}, "does not divide"),
        ({"tp": 0}, "out of range"),
        ({"engine": "vllm"}, "needs the memory"),
        ({"block_size": 16}, "belongs to an engine"),
        ({"colour": 1}, "no flag"),
        ({"context": 10**9}, "positions"),
        ({"engine": "llama.cpp", "kv": "fp8", "memory_bytes": 10**11}, "no cache type fp8"),
        ({"engine": "sglang", "gpu_memory_utilization": 0.9, "memory_bytes": 10**11}, "vllm"),
    ]:
        with pytest.raises(InputError, match=word) as caught:
            memory("qwen3-8b", **arguments)  # type: ignore[arg-type]
        assert caught.value.hint
    with pytest.raises(InputError, match="is for qwen3-8b"):
        memory("llama-3.1-8b", plan=plan)


def checkpoint(folder: Path, **changes: Any) -> Path:
    """A safetensors file with the tensors of TINY, data left as a hole; None drops a tensor."""
    spec = spec_from_bytes(
        json.dumps(TINY).encode(),
        "tiny",
        model_id="tiny",
        public_name="",
        source="",
        source_kind="",
    )
    header: dict[str, Any] = {}
    at = 0
    for tensor in expand(spec):
        dtype, shape = changes.get(tensor.name, (tensor.dtype, tensor.shape)) or (None, ())
        if dtype is None:
            continue
        size = {"BF16": 2, "F32": 4}[dtype]
        for extent in shape:
            size *= extent
        header[tensor.name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
    config = folder / "config.json"
    config.write_text(json.dumps(TINY), encoding="utf-8")
    return config


def test_a_checkpoint_that_agrees(tmp_path: Path) -> None:
    config = checkpoint(tmp_path)
    found = memory(str(config), checkpoint=tmp_path).on_disk
    assert found is not None
    assert found.agrees
    assert found.predicted_bytes == found.stored_bytes
    spec = resolve_model(str(config))
    assert found.stored_bytes == Inventory(spec).payload_bytes
    assert found.file_bytes > found.stored_bytes


def test_a_checkpoint_that_differs(tmp_path: Path) -> None:
    config = checkpoint(tmp_path, **{"model.norm.weight": ("F32", (64,)), "lm_head.weight": None})
    found = memory(str(config), checkpoint=tmp_path).on_disk
    assert found is not None
    assert found.different == ("model.norm.weight",)
    assert found.missing == ("lm_head.weight",)
    assert found.unexpected == ()
    assert found.predicted_bytes - found.stored_bytes == 256 * 64 * 2 - 64 * 2


def test_a_model_of_more_tensors_than_files_hold_is_not_compared(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    config = {
        "model_type": "qwen3_moe",
        "hidden_size": 8,
        "num_hidden_layers": 1000,
        "vocab_size": 16,
        "max_position_embeddings": 128,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "intermediate_size": 8,
        "moe_intermediate_size": 8,
        "num_experts": 65536,
        "num_experts_per_tok": 1,
        "torch_dtype": "bfloat16",
    }
    spec = spec_from_bytes(
        json.dumps(config).encode(),
        "huge",
        model_id="huge",
        public_name="",
        source="",
        source_kind="",
    )
    with pytest.raises(DataError, match="more than the 1,000,000"):
        memory(spec, checkpoint=tmp_path)


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError):
            memory("llama-3.1-8b", checkpoint=place)


RUN = PassShape(tokens=8192, sequences=1024, context=8192, sampler=12, gathered=True)


def test_temporary_tensors_by_hand() -> None:
    llama, moe = resolve_model("llama-3.1-8b"), resolve_model("qwen3-30b-a3b")
    assert attention_bytes(llama.attention[0], Layout(2), RUN) == 8192 * (2 * 16 + 2 * 4) * 128 * 2
    assert dispatch_bytes(llama, Layout(), RUN) == 0
    assert dispatch_bytes(moe, Layout(), RUN) == 8192 * 8 * (3 * 768 + 2048) * 2
    assert dispatch_bytes(moe, Layout(4, 1, 1, 4), RUN) == 8192 * 2 * (3 * 768 + 2048) * 2
    assert logits_bytes(llama, Layout(2), RUN) == 1024 * 128256 * 14
    own = PassShape(tokens=8192, sequences=1024, context=8192)
    assert logits_bytes(llama, Layout(2), own) == 1024 * 64128 * (2 + 4)
    assert split_attention_bytes(llama, Layout(), RUN) == 132 * 32 * 130 * 4
    assert collective_bytes(llama, Layout(), RUN) == 0
    assert collective_bytes(llama, Layout(2), RUN) == 2 * 8192 * 4096 * 2
    experts = resolve_model("qwen3-30b-a3b")  # 8 of 128 experts a token: 8 picks over 8 ranks
    assert collective_bytes(experts, Layout(8, ep=8), RUN) == (2 + 2) * 8192 * 2048 * 2


def test_a_peak_is_the_larger_of_layers_and_sampling() -> None:
    llama = resolve_model("llama-3.1-8b")
    assert [x.name for x in peak_lines(llama, Layout(), RUN)] == ["residual-stream", "logits"]
    assert [x.name for x in peak_lines(llama, Layout(), RUN, samples=False)] == [
        "residual-stream",
        "layer",
    ]
    assert {x.name for x in working_lines(llama, Layout(2), RUN)} == {
        "residual-stream",
        "logits",
        "attention-workspace",
        "message-buffers",
    }
