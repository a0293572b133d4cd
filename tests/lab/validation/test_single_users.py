"""Prompt and decode rates of one user, and rows whose arrivals are open."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from planner.lab.validation import e2e_published, e2e_single
from planner.lab.validation.records import REASONS, Outcome
from planner.lab.validation.serving_rules import Formats, runnable
from planner.lookup import load_device

BENCH = {
    "device": "Ryzen AI Max+ 395 (Strix Halo, 128 GB)",
    "engine": "llama.cpp llama-bench",
    "engine_build": "1a68ec937 (9193)",
    "backend": "rocm-7_2_3",
    "model": "gpt-oss-20b-mxfp4",
    "file_quant": "MXFP4",
    "batch_ubatch": "2048/2048",
    "test": "tg",
    "depth_tokens": "0",
    "prompt_tokens": "0",
    "generation_tokens": "128",
    "tokens_per_s": "70",
}
APPLE = {
    "device": "Apple M4 Max",
    "memory_gb": "128.0",
    "engine": "llama_cpp_metal",
    "engine_version": "",
    "model": "Llama-3.1-8B-Q8_0.gguf",
    "weights": "Llama-3.1-8B-Q8_0.gguf",
    "safetensor_bytes": "",
    "batch": "1.0",
    "prompt_tokens": "512",
    "generation_tokens": "128.0",
    "metric": "decode_tok_s",
    "median": "50",
}
COMMUNITY = {
    "gpu": "M4 Max",
    "cpu": "",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "engine": "llama.cpp",
    "quantization": "Q8_0",
    "prompt_tokens": "512",
    "output_tokens": "128",
    "batch": "1",
    "decode_tokens_per_s": "50",
    "prefill_tokens_per_s": "700",
    "gpu_layers": "99.0",
    "spec_decoding": "False",
    "mtp": "False",
}


def all_of(row: Mapping[str, str], **changes: str) -> list[Outcome]:
    found = e2e_single.predict_rows("t", [{**row, **changes}])
    for outcome in found:
        assert (outcome.predicted is None) == bool(outcome.reason)
        assert outcome.reason in {"", *REASONS}
    return found


def value(row: Mapping[str, str], **changes: str) -> float:
    (found,) = all_of(row, **changes)
    assert found.predicted is not None, found.reason
    return found.predicted


def test_deeper_contexts_are_slower() -> None:
    shallow, deep = value(BENCH), value(BENCH, depth_tokens="65536")
    assert deep < shallow < 1000
    prompt = {"test": "pp", "prompt_tokens": "2048", "generation_tokens": "0"}
    assert value(BENCH, **prompt, depth_tokens="32768") < value(BENCH, **prompt)


def test_each_row_of_the_leaderboard_has_both_rates() -> None:
    prompt, decode = all_of(COMMUNITY)
    assert (prompt.metric, decode.metric) == (e2e_single.PROMPT, e2e_single.DECODE)
    assert prompt.predicted is not None
    assert decode.predicted is not None
    assert decode.predicted < prompt.predicted
    assert value(APPLE) == pytest.approx(decode.predicted)


@pytest.mark.parametrize(
    ("row", "changes", "reason"),
    [
        (BENCH, {"file_quant": "Q4_K_XL"}, "gguf mixture"),
        (BENCH, {"file_quant": "EXL3"}, "unknown format"),
        (BENCH, {"model": "nobody"}, "unknown model"),
        (BENCH, {"device": "../../etc/passwd"}, "unknown device"),
        (BENCH, {"engine": ""}, "unknown engine"),
        (BENCH, {"test": "pp+tg"}, "quantity not predicted"),
        (BENCH, {"tokens_per_s": "inf"}, "malformed row"),
        (BENCH, {"generation_tokens": "-1"}, "malformed row"),
        (BENCH, {"depth_tokens": "1e30"}, "malformed row"),
        (BENCH, {"batch_ubatch": "2048/x"}, "malformed row"),
        (APPLE, {"engine": "mlx_lm"}, "unknown format"),
        (APPLE, {"device": "Apple M9 Max"}, "unknown device"),
        (APPLE, {"metric": "ttft_ms"}, "quantity not predicted"),
        (COMMUNITY, {"gpu": "RTX 2060"}, "unknown device"),
        (COMMUNITY, {"spec_decoding": "True"}, "setting not stated"),
        (COMMUNITY, {"gpu_layers": "24.0"}, "partial offload"),
        (COMMUNITY, {"gpu_layers": "32.0"}, "partial offload"),
        (COMMUNITY, {"command": "llama-server -ngl 20"}, "partial offload"),
        (COMMUNITY, {"command": "llama-server -ngl 99 --no-kv-offload"}, "partial offload"),
        (COMMUNITY, {"kv_cache": "turbo3"}, "unknown format"),
        (COMMUNITY, {"gpu": "RTX 3060", "command": "llama-server -c 131072"}, "not legal"),
        (
            COMMUNITY,
            {"engine": "mlx", "quantization": "int4", "model": "a/Qwen3-8B-UD-MLX-4bit"},
            "gguf mixture",
        ),
        (COMMUNITY, {"engine": "hipfire"}, "unknown engine"),
        (COMMUNITY, {"gpu": "RTX 3060", "model": "Qwen/Qwen3-32B"}, "not legal"),
        (BENCH, {"backend": "vulkan_radv", "file_quant": "BF16"}, "not measured"),
        (APPLE, {"median": "70"}, "faster than the machine"),
        (APPLE, {"metric": "prefill_tok_s", "median": "1400"}, "faster than the machine"),
    ],
)
def test_reasons(row: Mapping[str, str], changes: dict[str, str], reason: str) -> None:
    assert {o.reason for o in all_of(row, **changes)} == {reason}


EXPERTS = {**COMMUNITY, "gpu": "RTX 3090", "model": "openai/gpt-oss-20b", "quantization": "MXFP4"}


@pytest.mark.parametrize(
    "flags",
    ["--n-cpu-moe 12", "-ncmoe 1", "--cpu-moe", '-ot "blk.(3[3-9]).ffn_.*_exps=CPU"', "-ngl 24"],
)
def test_a_part_in_host_memory_has_a_reason(flags: str) -> None:
    command = f"llama-server -m model.gguf {flags} -c 4096"
    assert {o.reason for o in all_of(EXPERTS, command=command)} == {"partial offload"}


@pytest.mark.parametrize("flags", ["", "--n-cpu-moe 0", "-ngl 25", "--n-gpu-layers 999999"])
def test_a_stack_and_its_head_on_the_card_count(flags: str) -> None:
    """24 layers and the head are 25."""
    found = all_of(EXPERTS, command=f"llama-server {flags}", gpu_layers="")
    assert not any(one.reason for one in found)
    assert found == all_of(EXPERTS, command="llama-server")


def test_caches_of_a_row_are_those_of_its_command() -> None:
    """Less bytes behind a long prompt; what is cut off at the end of a command is not read."""
    deep = {"prompt_tokens": "32768", "kv_cache": "f16", "gpu": "RTX 3090"}
    full, small, cut = (
        all_of(COMMUNITY, **deep, command=f"llama-server {flags}")[1].predicted or 0.0
        for flags in ("", "-ctk q8_0 -ctv q8_0", "-ctk q8_0 -ctv q8")
    )
    assert full < small == cut
    assert {o.reason for o in all_of(COMMUNITY, command="llama-server -ctk q8_0 -ctv f16")} == {
        "unknown format"
    }


def test_a_row_just_below_its_machine_s_peaks_counts() -> None:
    """8.5 bits of 7.5 billion parameters at 546 GB/s are 68.5 tokens/s; 7 billion at 18.4 TFLOP/s
    are 1,318 of a prompt."""
    assert not all_of(APPLE, median="66")[0].reason
    assert not all_of(APPLE, metric="prefill_tok_s", median="1250")[0].reason


def test_depth_and_passes_are_those_of_the_command() -> None:
    """llama-bench answers behind -d alone, a server behind its prompt; -ub is a prompt's pass."""
    bench = "llama-bench -m model.gguf -p 512 -n 128"
    deep = {"command": f"{bench} -d 8192 -ub 256"}
    prompt, decode = (o.predicted for o in all_of(COMMUNITY, **deep))
    assert decode == value({**APPLE, "prompt_tokens": "8192"})
    long = {**COMMUNITY, "prompt_tokens": "4096"}
    behind, alone = (all_of(long, command=c)[1].predicted for c in ("llama-server", bench))
    assert alone is not None
    assert behind is not None
    assert alone > behind
    assert prompt is not None
    at_zero = all_of(COMMUNITY, command=bench)[0].predicted
    assert at_zero is not None
    assert prompt < at_zero
    small = all_of(COMMUNITY, command=f"{bench} -d 8192")[0].predicted
    assert small is not None
    assert prompt < small


def test_deep_rows_of_the_toolboxes_have_the_passes_of_their_script() -> None:
    """512 tokens at depth 0 and of Vulkan, 2,048 else."""
    prompt = {"test": "pp", "prompt_tokens": "2048", "generation_tokens": "0"}
    for depth, backend, passes in (
        ("0", "rocm-7_2_3", "512"),
        ("32768", "rocm-7_2_3", "2048"),
        ("32768", "vulkan_radv", "512"),
    ):
        row = {**BENCH, **prompt, "depth_tokens": depth, "backend": backend}
        stated = value(row, batch_ubatch=f"2048/{passes}")
        assert value(row, batch_ubatch="default") == stated


def test_mixtures_of_llama_quantize_have_the_types_of_every_matrix() -> None:
    """Their heads and tables too, which a plain type leaves as released."""
    rates = {
        types: value(APPLE, weights=f"Llama-3.1-8B-{types}.gguf")
        for types in ("Q8_0", "Q6_K", "Q4_K_M", "Q3_K_S")
    }
    assert list(rates.values()) == sorted(rates.values())
    assert 1.2 < rates["Q4_K_M"] / rates["Q8_0"] < 8.5 / 4.8
    assert {o.reason for o in all_of(APPLE, weights="Llama-3.1-8B-UD-Q4_K_M.gguf")} == {
        "gguf mixture"
    }


def test_mlx_reads_its_weights_and_the_last_token_of_a_prompt_apart() -> None:
    def of(weights: str, **changes: str) -> float:
        return value({**APPLE, "engine": "mlx_lm", "weights": weights}, **changes)

    four, eight = of("affine 4 bit group 64"), of("affine 8 bit group 64")
    assert 1.4 < four / eight < 2.0
    # 4.5 bits of 8.03e9 weights: no faster than 546 GB/s.
    assert four < 546e9 / (8.03e9 * 4.5 / 8)
    prompt = {"metric": "prefill_tok_s"}
    short = of("affine 4 bit group 64", **prompt, prompt_tokens="2")
    assert short < 2 * four
    assert of("affine 4 bit group 64", **prompt) > 5 * four


def test_prompts_after_a_pause_wait_for_their_weights() -> None:
    """The laboratory pauses between repetitions, the leaderboard does not say so."""
    four = {"engine": "mlx_lm", "weights": "affine 4 bit group 64", "metric": "prefill_tok_s"}
    after = value(APPLE, **four, prompt_tokens="2048")
    row = {"engine": "mlx", "quantization": "MLX-4bit", "prompt_tokens": "2048"}
    at_once = all_of(COMMUNITY, **row)[0].predicted
    assert at_once is not None
    # 4.5 bits of 8.03e9 weights, 19.4 ms a GB.
    assert 2048 / after - 2048 / at_once == pytest.approx(8.03e9 * 4.5 / 8 * 1.94e-11, rel=0.1)
    ggml = {"metric": "prefill_tok_s", "prompt_tokens": "2048"}
    assert value(APPLE, **ggml) == all_of(COMMUNITY, prompt_tokens="2048")[0].predicted


def test_a_rate_of_arrivals_is_no_concurrency() -> None:
    row = {
        "source": "s",
        "device": "RTX 3090",
        "n_devices": "1",
        "software": "vLLM 0.12.0",
        "model": "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "w_dtype": "bf16",
        "a_dtype": "bf16",
        "kv_dtype": "auto",
        "parallelism": "TP1",
        "batch_or_concurrency": "rate 1.0/s",
        "isl": "213.1",
        "osl": "223.9",
        "metric": "ttft_mean",
        "value": "50",
        "unit": "ms",
        "note": "",
    }
    (rate,) = e2e_published.predict_rows("t", [row])
    assert rate.reason == "setting not stated"  # requests, and how many run at most
    load = {"batch_or_concurrency": "64", "metric": "total_tokens_per_s", "value": "1800"}
    (loop,) = e2e_published.predict_rows("t", [row | load | {"unit": "tok/s (in+out)"}])
    assert loop.predicted is not None
    assert (loop.layout_class, loop.concurrency_range) == ("tp", "33-128")


@pytest.mark.parametrize(
    ("device", "dense"), [("rtx-3090", "fp8-w8a16"), ("rtx-5090", "fp8-channel")]
)
def test_formats_as_a_device_runs_them(device: str, dense: str) -> None:
    chosen = runnable(Formats("fp8-channel", "bf16", False), load_device(device))
    assert (chosen.dense, chosen.experts) == (dense, "bf16")
