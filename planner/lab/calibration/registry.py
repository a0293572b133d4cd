"""Which tables are fitted by which module. Add a line for a new operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of table, known by its columns, and the module whose ``fit_tables(rows)`` fits it.

    ``operators`` are the ids of the sets it makes. ``beside`` names further kinds whose rows the
    module takes by keyword; ``left_out(rows)`` of a module, where it has one, says what of its rows
    makes no set. A module with ``problems(rows)`` can also refit a relative's sets to
    few rows; ``own_devices`` says that its functions take ``profiles`` (name in the table →
    profile), so that it can fit a device that is not packaged. ``whole`` ones are of whole steps:
    they are fitted last, with what operators predict by then.
    """

    kind: str
    columns: frozenset[str]
    module: str
    operators: tuple[str, ...]
    beside: tuple[str, ...] = ()
    own_devices: bool = False
    whole: bool = False


REGISTRY = (
    Entry(
        "op_gemm",
        frozenset({"device", "software", "w_a_dtype", "m", "n", "k", "latency_us"}),
        "planner.lab.calibration.gemm",
        ("gemm", "ggml", "torch-scaled-mm"),
        beside=("op_quantize",),
        own_devices=True,
    ),
    Entry(
        "op_quantize",
        frozenset({"device", "software", "op", "quant_dtype", "m", "k", "latency_us"}),
        "planner.lab.calibration.quantise",
        ("quantise",),
        own_devices=True,
    ),
    Entry(
        "op_call",
        frozenset({"device", "software", "op", "calls", "latency_us"}),
        "planner.lab.calibration.torch_cpu",
        ("torch-calls",),
        own_devices=True,
    ),
    Entry(
        "op_moe",
        frozenset(
            {
                "device",
                "software",
                "kernel",
                "moe_dtype",
                "num_tokens",
                "hidden",
                "inter",
                "topk",
                "num_experts",
                "moe_tp",
                "moe_ep",
                "distribution",
                "latency_us",
            }
        ),
        "planner.lab.calibration.moe",
        ("moe",),
        own_devices=True,
    ),
    Entry(
        "op_comm",
        frozenset(
            {
                "device",
                "software",
                "op",
                "mode",
                "dtype",
                "num_gpus",
                "message_elements",
                "latency_us",
            }
        ),
        "planner.lab.calibration.collective",
        ("collective",),
        own_devices=True,
    ),
    Entry(
        "op_moe_a2a",
        frozenset(
            {
                "device",
                "software",
                "comm_backend",
                "phase",
                "comm_dtype",
                "ep_size",
                "node_num",
                "hidden_size",
                "topk",
                "num_experts",
                "num_tokens",
                "sms",
                "latency_us",
            }
        ),
        "planner.lab.calibration.dispatch",
        ("dispatch",),
        own_devices=True,
    ),
    Entry(
        "op_attn_context",
        frozenset(
            {
                "device",
                "software",
                "attn_dtype",
                "kv_dtype",
                "batch",
                "isl",
                "heads",
                "kv_heads",
                "head_dim",
                "window",
                "latency_us",
            }
        ),
        "planner.lab.calibration.attention_prefill",
        ("attention-prefill", "ggml-attention"),
        own_devices=True,
    ),
    Entry(
        "op_attn_generation",
        frozenset(
            {
                "device",
                "software",
                "attn_dtype",
                "kv_dtype",
                "batch",
                "kv_len",
                "heads",
                "kv_heads",
                "head_dim",
                "window",
                "latency_us",
            }
        ),
        "planner.lab.calibration.attention_decode",
        ("attention-decode", "ggml-attention"),
        own_devices=True,
    ),
    Entry(
        "op_mla",
        frozenset(
            {
                "device",
                "software",
                "phase",
                "mla_dtype",
                "kv_dtype",
                "heads",
                "batch",
                "isl",
                "kv_len",
                "latency_us",
            }
        ),
        "planner.lab.calibration.mla",
        ("mla-prefill", "mla-decode"),
        own_devices=True,
    ),
    Entry(
        "op_attn_module",
        frozenset(
            {
                "device",
                "software",
                "kernel",
                "phase",
                "module",
                "model",
                "attn_dtype",
                "kv_dtype",
                "gemm_dtype",
                "heads",
                "tp",
                "batch",
                "isl",
                "step",
                "latency_us",
            }
        ),
        "planner.lab.calibration.attention_module",
        ("attention-rest", "dsa-prefill", "dsa-decode", "mla-prefill", "mla-decode"),
        own_devices=True,
    ),
    Entry(
        "op_linear_attention",
        frozenset(
            {
                "device",
                "software",
                "kernel",
                "phase",
                "batch",
                "seq_len",
                "d_conv",
                "k_heads",
                "k_dim",
                "v_heads",
                "v_dim",
                "latency_us",
            }
        ),
        "planner.lab.calibration.linear_attention",
        ("linear-attention",),
        own_devices=True,
    ),
    Entry(
        "e2e_verify",
        frozenset(
            {
                "device",
                "software",
                "engine",
                "model",
                "subject",
                "types",
                "prompt_tokens",
                "output_tokens",
                "threads",
                "cache",
                "quantity",
                "measured",
                "predicted",
                "low",
                "high",
                "basis",
            }
        ),
        "planner.lab.calibration.residual",
        ("step-residual", "prompt-residual"),
        own_devices=True,
        whole=True,
    ),
)
"""A table is of the first kind all of whose columns it has."""


def operators() -> tuple[str, ...]:
    """Operators that can be calibrated, in order."""
    return tuple(dict.fromkeys(name for entry in REGISTRY for name in entry.operators))
