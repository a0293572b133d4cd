"""Small results in the shapes that programs write; figures are made up."""

from typing import Any

VLLM: dict[str, Any] = {
    "date": "20260301-101500",
    "endpoint_type": "vllm",
    "backend": "vllm",
    "label": None,
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
    "num_prompts": 320,
    "request_rate": "inf",
    "burstiness": 1.0,
    "max_concurrency": 32,
    "duration": 61.2,
    "completed": 320,
    "failed": 0,
    "total_input_tokens": 327680,
    "total_output_tokens": 81920,
    "request_throughput": 5.2,
    "request_goodput": None,
    "output_throughput": 1338.5,
    "total_token_throughput": 6692.8,
    "mean_ttft_ms": 310.1,
    "median_ttft_ms": 190.0,
    "std_ttft_ms": 210.4,
    "p99_ttft_ms": 1404.2,
    "mean_tpot_ms": 17.9,
    "median_tpot_ms": 18.0,
    "std_tpot_ms": 1.1,
    "p99_tpot_ms": 19.0,
    "mean_itl_ms": 17.9,
    "std_itl_ms": 12.0,
}
VLLM_LATENCY: dict[str, Any] = {
    "avg_latency": 1.21,
    "latencies": [1.2, 1.21, 1.22],
    "percentiles": {"10": 1.2, "50": 1.21, "99": 1.22},
}
VLLM_THROUGHPUT: dict[str, Any] = {
    "elapsed_time": 40.0,
    "num_requests": 1000,
    "total_num_tokens": 640000,
    "requests_per_second": 25.0,
    "tokens_per_second": 16000.0,
}
SGLANG: dict[str, Any] = {
    "tag": None,
    "backend": "sglang",
    "dataset_name": "random",
    "request_rate": float("inf"),
    "max_concurrency": 16,
    "random_input_len": 1000,
    "random_output_len": 100,
    "random_range_ratio": 1.0,
    "server_info": {"model_path": "Qwen/Qwen3-8B", "tp_size": 2, "version": "0.5.6"},
    "duration": 30.0,
    "completed": 200,
    "total_input_tokens": 200000,
    "total_output_tokens": 20000,
    "total_output_tokens_retokenized": 19990,
    "request_throughput": 6.7,
    "output_throughput": 667.0,
    "mean_e2e_latency_ms": 2400.0,
    "std_e2e_latency_ms": 100.0,
    "mean_ttft_ms": 90.0,
    "std_ttft_ms": 30.0,
    "mean_tpot_ms": 23.0,
    "std_tpot_ms": 1.0,
    "mean_itl_ms": 23.0,
}


def _statistic(mean: float, deviation: float, count: int) -> dict[str, Any]:
    some = {"mean": mean, "median": mean, "std_dev": deviation, "count": count}
    return {"successful": some, "errored": {**some, "count": 0}, "total": some}


def _guidellm(strategy: dict[str, Any], errored: int) -> dict[str, Any]:
    return {
        "type_": "generative_benchmark",
        "config": {"strategy": strategy, "backend": {"model": "Qwen/Qwen3-8B"}},
        "metrics": {
            "request_totals": {"successful": 200, "incomplete": 1, "errored": errored},
            "prompt_token_count": _statistic(512, 0, 200),
            "output_token_count": _statistic(128, 0, 200),
            "request_latency": _statistic(1.9, 0.1, 200),
            "time_to_first_token_ms": _statistic(80.0, 10.0, 200),
            "time_per_output_token_ms": _statistic(14.8, 1.0, 200),
            "inter_token_latency_ms": _statistic(12.1, 0.4, 200),
            "output_tokens_per_second": _statistic(1000.0, 30.0, 200),
        },
    }


GUIDELLM: dict[str, Any] = {
    "metadata": {"version": 1, "guidellm_version": "0.5.0"},
    "args": {"target": "http://localhost:8000"},
    "benchmarks": [
        _guidellm({"type_": "concurrent", "streams": 16}, 0),
        _guidellm({"type_": "poisson", "rate": 2.5}, 3),
    ],
}
GUIDELLM_CSV = """\
Run Info,Run Info,Benchmark,Request Counts,Request Counts,Time to First Token,\
Time to First Token,Inter Token Latency,Inter Token Latency,Server Throughput,Token Metrics,\
Token Metrics
Run ID,Backend,Strategy,Successful,Errored,ms,ms,ms,ms,Concurrency,Input Tokens,Output Tokens
,,,,,Mean,Std Dev,Mean,Std Dev,Mean,Mean,Mean
a,"{""model"": ""Qwen/Qwen3-8B""}",concurrent,200,1,80.0,10.0,12.1,0.4,15.8,512,128
"""
AIPERF: dict[str, Any] = {
    "request_throughput": {"unit": "requests/sec", "avg": 13.2},
    "request_latency": {"unit": "ms", "avg": 6550.4, "p50": 5799.9, "std": 1171.1},
    "time_to_first_token": {"unit": "ms", "avg": 1588.8, "p50": 787.5, "std": 1190.0},
    "inter_token_latency": {"unit": "ms", "avg": 51.76, "std": 1.23},
    "output_sequence_length": {"unit": "tokens", "avg": 96.85},
    "input_sequence_length": {"unit": "tokens", "avg": 550.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 1274.6},
    "request_count": {"unit": "requests", "avg": 200.0},
    "was_cancelled": False,
    "start_time": "2025-10-17T20:22:08.939332",
    "error_summary": [{"error_details": {"code": 499}, "count": 81}, {"count": 3}],
    "error_request_count": None,
    "input_config": {
        "endpoint": {"model_names": ["openai/gpt-oss-20b"], "type": "chat", "streaming": True},
        "loadgen": {"concurrency": 100, "request_count": 200},
    },
}
AIPERF_CSV = """\
Metric,avg,min,max,p1,p50,p99,std
Request Latency (ms),6550.36,4996.25,9383.37,5523.64,5799.90,9381.63,1171.14
Time to First Token (ms),1588.80,382.24,4121.09,403.48,787.54,4119.33,1189.99
Inter Token Latency (ms),51.76,46.81,56.30,50.41,51.98,55.87,1.23
Output Sequence Length (tokens),96.85,91.00,97.00,91.00,97.00,97.00,1.0

Metric,Value
Request Count,200.00
Request Throughput (requests/sec),13.16
"""
_ROW: dict[str, Any] = {
    "build_commit": "8cf427ff",
    "build_number": 5163,
    "cpu_info": "a CPU",
    "gpu_info": "NVIDIA GeForce RTX 4090",
    "backends": "CUDA",
    "model_filename": "models/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
    "model_type": "qwen2 7B Q4_K - Medium",
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_threads": 8,
    "type_k": "f16",
    "type_v": "f16",
    "n_gpu_layers": -1,
}
LLAMA: list[dict[str, Any]] = [
    {
        **_ROW,
        "n_prompt": 512,
        "n_gen": 0,
        "n_depth": 0,
        "test_time": "2025-04-24T11:58:50Z",
        "avg_ns": 72135640,
        "stddev_ns": 1453752,
        "avg_ts": 7100.002165,
        "stddev_ts": 140.34152,
        "samples_ns": [74601900, 71632900, 71745200, 71952700, 70745500],
        "samples_ts": [6863.1, 7147.55, 7136.37, 7115.79, 7237.21],
    },
    {
        **_ROW,
        "n_prompt": 0,
        "n_gen": 128,
        "n_depth": 0,
        "test_time": "2025-04-24T11:58:51Z",
        "avg_ns": 1076767880,
        "stddev_ns": 9449585,
        "avg_ts": 118.881588,
        "stddev_ts": 1.041811,
        "samples_ns": [1075361300, 1065089400, 1071761200, 1081934900, 1089692600],
        "samples_ts": [119.03, 120.178, 119.43, 118.307, 117.464],
    },
]
_COLUMNS = [name for name in LLAMA[0] if not name.startswith("samples")]
LLAMA_CSV = "\n".join(
    [
        ",".join(_COLUMNS),
        *(",".join(f'"{row[name]}"' for name in _COLUMNS) for row in LLAMA),
    ]
)
LLAMA_MD = """\
| model                          |       size |     params | backend    | ngl |   test |            t/s |
| ------------------------------ | ---------: | ---------: | ---------- | --: | -----: | -------------: |
| qwen2 7B Q4_K - Medium         |   4.36 GiB |     7.62 B | CUDA       |  99 |  pp512 | 7100.0 ± 140.3 |
| qwen2 7B Q4_K - Medium         |   4.36 GiB |     7.62 B | CUDA       |  99 |  tg128 |  118.88 ± 1.04 |

build: 8cf427ff (5163)
"""  # noqa: E501
