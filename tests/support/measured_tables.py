"""Tables of operators with enough rows to be fitted, drawn in code: times are work over a rate and
a floor, which every form can follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

Table = dict[str, str]
CHIP = {"device": "h100_sxm", "software": "trtllm 1.3.0"}
CORES = {"device": "xeon-6980p", "software": "llama.cpp b1", "threads": "2"}


@dataclass(frozen=True)
class Measured:
    """Tables of one ``device`` by name, and the flags of ``plan calibrate``."""

    device: str
    tables: Mapping[str, list[Table]]
    flags: tuple[str, ...]


def of(device: str, tables: Mapping[str, list[Table]], *flags: str) -> Measured:
    """A sample whose device is named."""
    return Measured(device, tables, ("--device", device, *flags))


def step(**changes: str) -> Table:
    """A whole step that ``plan verify`` measured."""
    return {
        "device": "xeon-6980p",
        "software": "llama.cpp b1",
        "engine": "llama.cpp",
        "model": "qwen2.5-0.5b",
        "subject": "plan",
        "types": "=bf16",
        "prompt_tokens": "128",
        "output_tokens": "32",
        "threads": "8",
        "cache": "bf16",
        "quantity": "decode_seconds",
        "measured": "0.02",
        "predicted": "0.018",
        "low": "0.01",
        "high": "0.03",
        "basis": "fitted",
    } | changes


def _grid(
    words: Mapping[str, str], sizes: Mapping[str, Sequence[int]], rate: float, floor: float = 5.0
) -> list[Table]:
    """Every combination of ``sizes``, the last column running quickest: floor + work ÷ rate
    [µs]."""
    return [
        {
            **words,
            **{name: str(size) for name, size in zip(sizes, row, strict=True)},
            "latency_us": f"{floor + prod(map(float, row)) / rate:.6g}",
        }
        for row in product(*sizes.values())
    ]


def _gemm(words: Mapping[str, str], kind: str, rows: Sequence[int], rate: float) -> list[Table]:
    return _grid(
        {**words, "w_a_dtype": kind}, {"m": rows, "n": (1024, 2048, 4096), "k": (2048, 4096)}, rate
    )


def _narrowing(op: str) -> list[Table]:
    return _grid(
        {**CHIP, "op": op, "quant_dtype": "fp8"},
        {"m": (1, 64, 512, 4096, 32768), "k": (512, 1536, 2560, 4096, 5120, 8192)},
        3e5,
        2.0,
    )


def _calls() -> list[Table]:
    return [
        {
            "device": CORES["device"],
            "software": "torch 2.13.0",
            "op": op,
            "calls": calls,
            "latency_us": "205",
            "threads": "2",
        }
        for op, calls in (("layer", "41"), ("norm", "7"))
    ]


def _ggml() -> dict[str, list[Table]]:
    """Products of two types whose weights come from memory, of one that a cache holds, and what
    they narrow activations to."""
    few = {"m": (1, 2, 8, 32), "n": (1024, 1536, 3072, 4096), "k": (2048,)}
    return {
        "op_gemm": [
            *_grid({**CORES, "kernel": "mul_mat", "w_a_dtype": "q8_0"}, few, 1e6),
            *_grid({**CORES, "kernel": "mul_mat", "w_a_dtype": "q4_k"}, few, 1e6)[:2],
            *_grid({**CORES, "kernel": "mul_mat_cached", "w_a_dtype": "q4_k"}, few, 2e6),
            *_grid({**CORES, "kernel": "mul_mat", "w_a_dtype": "f16"}, few, 1e6)[:4],
        ],
        "op_quantize": [
            {
                **CORES,
                "op": "quantize_row",
                "quant_dtype": "q8_0",
                "m": "64",
                "k": "2048",
                "latency_us": "131",
            }
        ],
    }


def _attention() -> dict[str, list[Table]]:
    """Prompts and steps of ggml's fused attention."""
    words = {**CORES, "attn_dtype": "f16", "kv_dtype": "f16", "window": "0"}
    heads = {"batch": (1,), "heads": (14, 32), "kv_heads": (2,), "head_dim": (64,)}
    return {
        "op_attn_context": _grid(words, {"isl": (64, 512, 1024), **heads}, 1e4),
        "op_attn_generation": _grid(words, {"kv_len": (64, 512, 1024), **heads}, 1e4),
    }


def _chip_attention(length: str, **words: str) -> list[Table]:
    return _grid(
        {
            **CHIP,
            **words,
            "kernel": "torch_flow",
            "attn_dtype": "bfloat16",
            "kv_dtype": "bfloat16",
            "window": "0",
        },
        {
            "batch": (1, 8),
            "heads": (8, 32, 64),
            "kv_heads": (4, 8),
            "head_dim": (64, 128),
            length: (1024, 8192),
        },
        1e7,
    )


def _experts() -> list[Table]:
    """Rows of a kernel with four expert shapes, of one with a single shape, and of one with
    seven."""
    words = {
        **CHIP,
        "moe_dtype": "bfloat16",
        "distribution": "balanced",
        "topk": "8",
        "num_experts": "128",
        "moe_ep": "1",
    }
    found = []
    for kernel, hidden, tokens in (
        ("cutlass", (2048, 4096), 6),
        ("min_latency", (2048,), 16),
        ("triton", (1024, 1536, 2048, 3072, 4096, 5120), 4),
    ):
        found += _grid(
            {**words, "kernel": f"moe_torch_flow_{kernel}"},
            {
                "num_tokens": [4**n if tokens < 16 else 2**n for n in range(tokens)],
                "moe_tp": (1, 2, 4),
                "hidden": hidden,
                "inter": (768,) if kernel == "min_latency" else (768, 1536),
            },
            1e7,
            20.0,
        )
    return found


def _modules() -> list[Table]:
    """A sparse core, which is fitted with what surrounds it, and a dense one, whose own table was
    fitted before."""
    words = {
        **CHIP,
        "tp": "1",
        "attn_dtype": "bfloat16",
        "kv_dtype": "bfloat16",
        "gemm_dtype": "bfloat16",
    }
    sizes = {
        "heads": (16, 64, 128),
        "batch": (1, 8, 16, 64),
        "isl": (1,),
        "step": (64, 1000, 8000, 60_000),
    }
    sparse = _grid(
        {
            **words,
            "software": "vllm 9",
            "kernel": "FLASHMLA_SPARSE",
            "module": "dsa",
            "phase": "generation",
            "model": "deepseek-ai/DeepSeek-V3.2",
        },
        sizes,
        1e6,
        100.0,
    )
    return sparse + _grid(
        {
            **words,
            "kernel": "default",
            "module": "mla",
            "phase": "context",
            "model": "deepseek-ai/DeepSeek-V3",
        },
        sizes | {"isl": (32, 256, 1024, 4096), "step": (0,)},
        1e6,
        100.0,
    )


def _delta(kernel: str, phase: str) -> list[Table]:
    words = {
        **CHIP,
        "software": "sglang 0.5.14",
        "kernel": kernel,
        "phase": phase,
        "num_tokens": "128",
        "hidden": "2048",
        "d_conv": "4",
        "k_dim": "128",
        "v_dim": "128",
    }
    return _grid(
        words,
        {"batch": (1, 8, 64), "seq_len": (1, 16), "k_heads": (4, 8, 16), "v_heads": (8, 16, 32)},
        1e3,
    )


def _sums(device: str, version: str) -> list[Table]:
    return _grid(
        {
            "device": device,
            "software": f"nccl {version}",
            "op": "all_reduce",
            "mode": "NCCL",
            "dtype": "half",
        },
        {"num_gpus": (2, 4, 8), "message_elements": [2**n for n in range(8, 28)]},
        1e5,
    )


def _sent(phase: str, **words: str) -> list[Table]:
    return _grid(
        {
            **CHIP,
            **words,
            "comm_backend": "trtllm_deepep_ht",
            "node_num": "1",
            "ep_size": "8",
            "sms": "0",
            "phase": phase,
            "comm_dtype": "bfloat16",
        },
        {
            "num_tokens": (16, 256, 1024),
            "hidden_size": (2048, 4096, 7168),
            "topk": (4, 8),
            "num_experts": (64, 256),
        },
        1e8,
    )


def _latent(phase: str) -> list[Table]:
    rows = _grid(
        {**CHIP, "phase": phase, "mla_dtype": "bfloat16", "kv_dtype": "bfloat16"},
        {"heads": (8, 16, 64, 128), "batch": (1, 8, 64), "kv_len": (256, 1024, 4096)},
        1e5,
    )
    return [row | {"isl": row["kv_len"]} for row in rows]


def _carried() -> dict[str, list[Table]]:
    """Few rows each, to which a relative's sets are refitted."""
    other = {"device": "b200_sxm"}
    return {
        "op_gemm": _gemm({**CHIP, **other}, "bfloat16", (1, 16, 64, 256), 1e8),
        "op_attn_generation": _chip_attention("kv_len", **other),
        "op_comm": _sums("b200_sxm", "2.29.2"),
        "op_moe_a2a": _sent("dispatch", **other),
    }


def measured_tables() -> tuple[Measured, ...]:
    """A sample for every module that fits."""
    xeon, hopper = CORES["device"], "h100-sxm"
    verified = [
        step(),
        step(quantity="prefill_seconds"),
        step(
            subject="other", measured="0.03", busy="0.5", types="attn_q Q5_0 0-9; token_embd Q8_0"
        ),
    ]
    emulated = _gemm(
        {**CORES, "software": "torch 2.13.0", "kernel": "_scaled_mm"}, "fp8", (1, 64), 1e6
    )
    return (
        Measured(xeon, {"op_call": _calls()}, ("--only", "torch-calls")),
        of(xeon, {"e2e_verify": verified, "op_call": _calls()}),
        of(xeon, _ggml()),
        of(xeon, _attention()),
        of(xeon, {"op_gemm": emulated, "op_call": _calls()}),
        of(
            hopper,
            {
                "op_gemm": _gemm(CHIP, "fp8", (1, 16, 64, 256, 1024, 4096), 2e8),
                "op_quantize": [*_narrowing("compute_scale"), *_narrowing("scale_matrix")],
            },
        ),
        of("b200-sxm", _carried(), "--few", "12"),
        of(hopper, {"op_moe": _experts()}),
        of(hopper, {"op_comm": [*_sums("h100_sxm", "2.29.2"), *_sums("h100_sxm", "2.30.1")]}),
        of(hopper, {"op_moe_a2a": [*_sent("dispatch"), *_sent("combine")]}),
        of(hopper, {"op_attn_context": _chip_attention("isl")}),
        of(hopper, {"op_attn_generation": _chip_attention("kv_len")}),
        of(hopper, {"op_mla": [*_latent("context"), *_latent("generation")]}),
        of(hopper, {"op_attn_module": _modules()}),
        of(
            hopper,
            {
                "op_linear_attention": [
                    *_delta("fused_recurrent_gated_delta_rule_packed_decode", "generation"),
                    *_delta("chunk_gated_delta_rule_flashinfer", "context"),
                    *_delta("causal_conv1d_update", "generation"),
                ]
            },
        ),
    )
