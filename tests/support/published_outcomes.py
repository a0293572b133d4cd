"""What becomes of one published row, with any cell changed."""

from __future__ import annotations

from planner.lab.validation import e2e_published
from planner.lab.validation.records import Outcome
from planner.models.catalog import bundled_model

ROW = {
    "source": "s",
    "device": "H200",
    "n_devices": "8",
    "software": "TensorRT-LLM 1.0",
    "model": "Llama 3.1 70B",
    "w_dtype": "fp8",
    "a_dtype": "fp8",
    "kv_dtype": "fp8",
    "parallelism": "TP8",
    "batch_or_concurrency": "max load (inflight batching)",
    "isl": "1000",
    "osl": "1000",
    "metric": "output_tokens_per_s_total",
    "value": "10000",
    "unit": "tok/s",
    "note": "",
}

LLAMA, DEEPSEEK = bundled_model("llama-3.1-70b"), bundled_model("deepseek-v3")


def one(**changes: str) -> Outcome:
    (found,) = e2e_published.predict_rows("e2e_x", [ROW | changes])
    return found
