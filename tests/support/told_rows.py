"""Rows of memory logs and published tables, a few of every wording that readers know."""

from support.measured_tables import Table, measured_tables

LOG = {
    "source": "s",
    "engine": "vllm",
    "engine_version": "0.19.0 (V1)",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "checkpoint_dtype": "BF16",
    "kv_dtype": "auto",
    "device": "H100 80GB (79.19 GiB)",
    "n_devices": "1",
    "tp": "1",
    "pp": "1",
    "dp": "1",
    "ep": "1",
    "gpu_memory_utilization": "0.95",
    "max_model_len": "8192",
    "max_num_batched_tokens": "8192",
    "block_size": "16",
    "quantity": "weights_gib_per_gpu",
    "value": "14.99",
    "unit": "GiB",
    "raw_line": "",
    "confidence": "high",
    "notes": "",
}
WHOLE = {
    "kv_gib_per_gpu": "58.11",
    "activation_gib": "1.89",
    "nontorch_gib": "0.25",
    "cudagraph_gib": "0.5",
    "kv_tokens_per_replica": "476000",
    "kv_blocks": "29750",
    "max_concurrency": "58",
    "kv_gib_needed_for_one_request": "1",
}
UNITS = {"kv_tokens_per_replica": "tokens", "kv_blocks": "blocks", "max_concurrency": "x"}
LLAMA = {
    "engine": "llama.cpp",
    "engine_version": "b1",
    "model": "Qwen3-14B.gguf",
    "unit": "MiB",
    "checkpoint_dtype": "GGUF Q4_K_M",
    "kv_dtype": "f16",
    "max_model_len": "131072 x 2 seqs",
    "max_num_batched_tokens": "1024",
    "quantity": "kv_gib_total",
    "value": "9216.0",
}
OTHERS: tuple[Table, ...] = (
    {**LLAMA, "model": "gpt-oss-120b (MXFP4 GGUF)", "raw_line": "size = 9216.00 MiB"},
    {**LLAMA, "kv_dtype": "K q8_0 / V f16"},
    {**LLAMA, "quantity": "activation_gib"},
    {
        **LLAMA,
        "model": "DeepSeek-R1.gguf",
        "engine": "ik_llama.cpp",
        "kv_dtype": "q8_0",
        "max_model_len": "16384",
        "notes": "mla 3",
    },
    {
        "engine": "sglang",
        "engine_version": "0.5.5",
        "quantity": "kv_tokens_per_replica",
        "unit": "tokens",
        "value": "400000",
    },
    {
        "engine": "sglang",
        "engine_version": "0.5.5",
        "quantity": "free_before_load_gib",
        "value": "78.5",
    },
    {
        "engine": "sglang",
        "engine_version": "0.5.5",
        "model": "deepseek-ai/DeepSeek-V3",
        "tp": "8",
        "dp": "8",
        "kv_dtype": "fp8_e4m3",
        "checkpoint_dtype": "fp8",
        "n_devices": "8",
        "device": "H200 (120 GB free)",
        "quantity": "kv_gib_per_gpu",
        "value": "40",
        "notes": "max_total_tokens = 100000 by hand",
    },
    {
        "engine": "tensorrt-llm",
        "engine_version": "1.0",
        "quantity": "free_before_kv_gib",
        "value": "60",
    },
)
FORMATS: tuple[Table, ...] = tuple(
    {"checkpoint_dtype": word}
    for word in (
        "AWQ int4 (awq_marlin)",
        "fp8",
        "INT4 g64",
        "nvfp4",
        "W8A8 int8",
        "FP32 (--dtype float32)",
        "GPTQ 4-bit group_size=32",
        "bitsandbytes nf4",
    )
)
PUBLISHED = {
    "source": "s",
    "device": "H200",
    "n_devices": "8",
    "software": "TensorRT-LLM 1.0",
    "model": "Llama 3.1 70B",
    "w_dtype": "fp8",
    "a_dtype": "fp8",
    "kv_dtype": "fp8",
    "parallelism": "TP8",
    "batch_or_concurrency": "64",
    "isl": "1000",
    "osl": "1000",
    "metric": "output_tokens_per_s_total",
    "value": "10000",
    "unit": "tok/s",
    "note": "",
}
NODE = {"metric": "output_tokens_per_s_per_node", "unit": "tok/s/node"}
WORDED: tuple[Table, ...] = (
    {"metric": "ttft", "unit": "ms", "value": "20", "parallelism": ""},
    {"metric": "total_latency_32_tokens", "unit": "ms", "value": "900", "kv_dtype": "int8"},
    {
        **NODE,
        "model": "deepseek-ai/DeepSeek-V3",
        "parallelism": "decode DEP8, 1 nodes, TBO",
        "software": "SGLang 0.4.9",
    },
    {
        "model": "llama2-70b",
        "metric": "throughput_server",
        "unit": "Tokens/s",
        "w_dtype": "",
        "batch_or_concurrency": "server",
        "parallelism": "",
    },
    {"metric": "requests_per_s", "unit": "queries/s", "batch_or_concurrency": "offline"},
    {
        "metric": "output_tokens_per_s_per_user",
        "unit": "tok/s/user",
        "value": "50",
        "batch_or_concurrency": "4/gpu",
        "parallelism": "TP4/PP1/ADP2",
    },
    {
        "metric": "tg128",
        "value": "20",
        "device": "Xeon 6980P (2 threads, no AMX)",
        "software": "llama.cpp b4000",
        "model": "Qwen3-8B",
        "w_dtype": "int8",
        "n_devices": "1",
        "parallelism": "4 threads",
        "kv_dtype": "",
    },
    {"metric": "pp512", "value": "900", "software": "vLLM (static)", "w_dtype": "int4 (H200)"},
)
SERVED = {
    "device": "h200_sxm",
    "mode": "disagg",
    "software": "trtllm 0.8.1.post1",
    "precision": "fp8",
    "model": "deepseek-ai/DeepSeek-V3",
    "gemm_dtype": "fp8",
    "moe_dtype": "fp8",
    "concurrency": "128.0",
    "batch_size": "16",
    "isl": "8192",
    "parallelism": "P1x[TP8/PP1/ADP1/mTP1/mEP8]+D1x[TP1/PP1/ADP8/mTP1/mEP8]",
    "osl": "1024",
    "ttft_ms": "7690.0",
    "tpot_ms": "36.3",
    "exclude": "",
}


def told_rows() -> tuple[tuple[str, list[Table]], ...]:
    """(table, rows): logs of memory, published and pooled deployments, and three rows of every
    operator that is fitted."""
    spread = [
        (name, rows[:: max(1, len(rows) // 3)][:3])
        for sample in measured_tables()
        for name, rows in sample.tables.items()
        if name != "op_call"
    ]
    unknown = [
        (name, [rows[0] | {"device": "mi300x"}])
        for name, rows in spread
        if name in ("op_gemm", "op_moe")
    ]
    return (
        (
            "memory",
            [
                LOG,
                *(
                    LOG | {"quantity": name, "value": value, "unit": UNITS.get(name, "GiB")}
                    for name, value in WHOLE.items()
                ),
            ],
        ),
        ("memory", [LOG | one for one in OTHERS]),
        ("memory", [LOG | one for one in FORMATS]),
        ("e2e_published", [PUBLISHED | one for one in WORDED]),
        ("e2e_silicon", [SERVED]),
        *spread,
        *unknown,
    )
