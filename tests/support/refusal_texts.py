"""Refusals and their ways out as the planner words them: to make one can take a minute."""

REFUSALS = (
    ("memory: deepseek-v3 at context 8192 needs at least 89.78 GiB on each of 1 × "
     "h100-sxm, 72.86 GiB usable (the least of all ways to serve: linears in fp32, bf16, "
     "fp16, ggml-q4_k)"),
    "8 devices are the fewest with a plan: --devices 8",
    "max-loss bf16 excludes every plan for deepseek-v3 on h100-sxm",
    ("20 devices are the fewest with a plan: --devices 20; or the least lossy plan that "
     "fits has a loss of 0.00172 (nats of mean KL): --max-loss fp8-block"),
    "tpot 1 ms excludes every plan for llama-3.1-70b on h100-sxm",
    "the fastest plan reaches 10.8 ms: raise --tpot-ms to 10.75",
    "ttft 1 ms excludes every plan for llama-3.1-70b on h100-sxm",
    "the first token can come in 363 ms: raise --ttft-ms to 363.3",
    ("memory: llama-3.1-8b at context 8192 and batch 4000 needs at least 1.96 TiB on each "
     "of 1 × h100-sxm, 72.86 GiB usable (the least of all ways to serve: caches in fp8)"),
    ("125 users are the most with a plan: --batch 125; or 32 devices are the fewest with a "
     "plan: --devices 32"),
    "max-loss 1e-09 excludes every plan for llama-3.1-8b on h100-sxm",
    "the least lossy plan that fits has a loss of 0.0815 (nats of mean KL): --max-loss 0.0814712",
    "max-loss fp8-block excludes every plan for llama-3.1-405b on rtx-4090",
    ("20 devices are the fewest with a plan: --devices 20; or the least lossy plan that "
     "fits has a loss of 0.0723 (nats of mean KL): --max-loss ggml-q2_k"),
    ("memory: llama-3.1-8b at context 131072 and batch 8 needs at least 17.62 GiB on each "
     "of 8 × t4, 13.72 GiB usable (the least of all ways to serve: linears in fp32, bf16, "
     "fp16, ggml-q4_k)"),
    ("4 users are the most with a plan: --batch 4; or the longest context with a plan is "
     "92128 tokens: --context 92128"),
    "tpot 10 ms excludes every plan for llama-3.1-70b on h100-sxm",
    ("8 devices are the fewest with a plan: --devices 8; or the fastest plan reaches 28.2 "
     "ms: raise --tpot-ms to 28.17"),
    "tpot 1 ms excludes every plan for deepseek-v3 on h100-sxm",
    "the fastest plan reaches 15.7 ms: raise --tpot-ms to 15.73",
    ("rubin-r200: preliminary: no dense rate is published; every model keeps attention, "
     "router and head in BF16"),
    "see `plan devices` for devices with a BF16 rate",
    ("scheme 'mxfp4' on h100-sxm: not a matrix-unit format of this architecture; stored "
     "weights are converted (weight-only)"),
    ("legal here: fp32, bf16, fp16, fp8-tensor, fp8-channel, fp8-block, fp8-block-ue8m0, "
     "fp8-w8a16, int8-w8a8, int8-block, int8-w8a16, int4-w4a16, int4-w4a16-g32, "
     "nvfp4-w4a16, mxfp4-w4a16, ggml-q4_k"),
    ("scheme 'fp8-tensor' on a100-sxm: no FP8 matrix instruction on Ampere; FP8 weights "
     "run weight-only as BF16"),
    ("legal here: fp32, bf16, fp16, fp8-w8a16, int8-w8a8, int8-block, int8-w8a16, "
     "int4-w4a16, int4-w4a16-g32, nvfp4-w4a16, mxfp4-w4a16, ggml-q4_k"),
    ("memory-bytes 2.79 GiB and max-loss fp8-block contradict each other for llama-3.1-8b "
     "on h100-sxm: without either a plan exists"),
    ("8 devices are the fewest with a plan: --devices 8; or raise --memory-bytes to "
     "7945057280 (7.40 GiB)"),
    ("memory: llama-3.1-70b at context 8192 needs at least 135.01 GiB on each of 1 × "
     "h100-sxm, 72.86 GiB usable (the least of all ways to serve: caches in fp16)"),
    ("2 devices are the fewest with a plan: --devices 2; or allow more formats: --scheme "
     "fp8-tensor"),
    ("memory: deepseek-v3 at context 8192 needs at least 160.30 GiB on each of 8 × "
     "h200-sxm, 128.80 GiB usable"),
    ("12 devices are the fewest with a plan: --devices 12; or allow more formats: --scheme "
     "fp8-block"),
    "layout tp 3: tp 3 does not divide the 32 attention heads",
    "leave a flag out to search it",
    ("scheme 'fp8-block-ue8m0' on a100-sxm: no FP8 matrix instruction on Ampere; FP8 "
     "weights run weight-only as BF16"),
    "see `plan devices` for the formats each device multiplies",
    "host memory: the best plan keeps 609.15 GiB there, 10.00 GiB of 1 × epyc-9575f usable",
    "--host-memory-bytes 654068416512, --host-sockets 2, or a device with more memory",
    ("no replica keeps TTFT ≤ 300 ms and TPOT ≤ 20 ms for 95 % of requests: one that meets "
     "no other takes 412 ms and 31 ms"),
    "no replica keeps TPOT ≤ 20 ms for 99 % of requests: one that meets no other takes 31 ms",
    "deepseek-v3 does not fit 8 × l40s",
    "no layout holds a request",
    ("the stock does not serve these rates: chat at 20/s: all devices together serve "
     "12.5/s of it; each model alone is served, all together are not"),
    ("the smallest stock that would do: 12 × h100-sxm (4 more), the cheapest addition at "
     "36.00 USD an hour; or lower rates or other limits"),
    "max-loss fp8-block excludes every plan for llama-3.1-8b on h100-sxm, and so does tpot 10 ms",
    "memory and max-loss bf16 and tpot 10 ms exclude every plan for llama-3.1-70b on h100-sxm",
)
