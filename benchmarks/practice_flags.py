"""Flags of published deployments that change speed or are needed to start."""

from __future__ import annotations

import re

Row = dict[str, str]
MOST = 8
"""Flags that a row keeps."""
LONGEST = 48
_KEPT = (
    "--trust-remote-code", "--quantization", "--attention-backend", "--prefill-attention-backend",
    "--decode-attention-backend", "--moe-runner-backend", "--moe-backend", "--moe-a2a-backend",
    "--all2all-backend", "--fp4-gemm-backend", "--fp8-gemm-backend", "--nsa-prefill-backend",
    "--nsa-decode-backend", "--dsa-prefill-backend", "--dsa-decode-backend", "--linear-backend",
    "--enable-flashinfer-allreduce-fusion", "--enable-aiter-allreduce-fusion",
    "--enable-symm-mem", "--enable-dbo", "--enable-eplb", "--enable-two-batch-overlap",
    "--enable-dp-lm-head", "--moe-dense-tp-size", "--deepep-mode", "--dcp-size",
    "--decode-context-parallel-size", "--async-scheduling", "--enforce-eager",
    "--disable-cuda-graph", "--block-size", "--page-size", "--mm-encoder-tp-mode",
    "--language-model-only", "--swa-full-tokens-ratio", "--distributed-executor-backend",
    "--max-running-requests", "--cuda-graph-max-bs", "--allow-deprecated-quantization",
    "--enable-torch-symm-mem", "--mamba-ssm-dtype", "--ep-num-redundant-experts",
    "moe_config.backend:", "cuda_graph_config.enable_padding:", "enable_chunked_prefill:",
    "kv_cache_config.free_gpu_memory_fraction:", "allreduce_strategy:", "stream_interval:",
    "--gpu-memory-utilization", "--mem-fraction-static", "-ngl", "--n-gpu-layers", "-fa",
    "--flash-attn", "--n-cpu-moe",
)  # fmt: skip
_VARIABLES = (
    "VLLM_ROCM_USE_AITER", "SGLANG_USE_AITER", "SGLANG_ENABLE_SPEC_V2", "VLLM_USE_FLASHINFER_MOE",
    "VLLM_ALL2ALL_BACKEND", "TRTLLM_ENABLE_PDL", "VLLM_USE_DEEP_GEMM",
)  # fmt: skip
_COLUMNS = {
    "vllm": {"max_model_len": "--max-model-len", "max_num_seqs": "--max-num-seqs",
             "max_num_batched_tokens": "--max-num-batched-tokens",
             "mem_fraction": "--gpu-memory-utilization"},
    "sglang": {"max_model_len": "--context-length", "mem_fraction": "--mem-fraction-static",
               "chunk": "--chunked-prefill-size"},
    "tensorrt-llm": {"max_num_seqs": "max_batch_size:", "max_num_batched_tokens":
                     "max_num_tokens:", "max_model_len": "max_seq_len:"},
}  # fmt: skip


def flags_of(row: Row, engine: str) -> str:
    """The flags of a row in the engine's own words, joined by "; ": the decode side's where there
    are two pools."""
    kept: list[str] = []
    for column, flag in _COLUMNS.get(engine, {}).items():
        value = row.get(column) or ""
        if re.fullmatch(r"[\d.]+[kK]?", value):
            kept.append(f"{flag} {value}")
    for text in f"{row['env']};{row['other_flags']}".split(";"):
        flag = re.sub(r"^\[(?:D|extra_llm_api_options)\] ", "", text.strip())
        name = re.split(r"[ =]", flag)[0]
        if name in _KEPT or flag.startswith(_VARIABLES):
            kept.append(flag.replace(name + "=", name + " ") if name.startswith("--") else flag)
    short = [
        flag for flag in kept if len(flag) <= LONGEST and not re.search(r"[{}$<>]|\(conc=", flag)
    ]
    return "; ".join(list(dict.fromkeys(short))[:MOST])
