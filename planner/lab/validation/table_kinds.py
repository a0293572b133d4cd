"""Kinds of measured tables: the columns of each, what predicts its rows, and what fits them.

A new operator adds its kind here; a table is of the first kind all of whose columns it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableFit:
    """The module whose ``fit_tables(rows, profiles=…)`` fits a kind of table, and the ids of the
    ``operators`` whose sets it makes.

    ``extra_kinds`` names further kinds whose rows the module takes by keyword. Where it has them,
    ``left_out(rows, profiles=…)`` says what of the rows makes no set, and ``problems(rows,
    profiles=…)`` lets a relative's sets be refitted to few rows. Tables of ``full_steps`` are
    fitted last, with what operators predict by then.
    """

    module: str
    operators: tuple[str, ...]
    extra_kinds: tuple[str, ...] = ()
    full_steps: bool = False


@dataclass(frozen=True, slots=True)
class TableKind:
    """A kind of table, known by its ``columns``. ``predictor`` is the module whose
    ``predict_rows`` answers its rows, empty for none, given ``profiles`` of the table's own devices
    where ``own_devices`` says so; ``fit`` is None where nothing is fitted to it."""

    name: str
    columns: frozenset[str]
    predictor: str
    own_devices: bool
    fit: TableFit | None


def _kind(
    name: str,
    columns: str,
    *,
    predictor: str = "",
    own_devices: bool = False,
    fit: TableFit | None = None,
) -> TableKind:
    return TableKind(name, frozenset(columns.split()), predictor, own_devices, fit)


KINDS = (
    _kind(
        "memory",
        "engine engine_version model checkpoint_dtype kv_dtype device tp "
        "gpu_memory_utilization max_model_len block_size quantity value unit confidence",
        predictor="planner.lab.validation.memory_predict",
    ),
    _kind(
        "e2e_silicon",
        "device mode software model precision gemm_dtype moe_dtype parallelism concurrency "
        "isl osl ttft_ms tpot_ms",
        predictor="planner.lab.validation.e2e_silicon",
    ),
    _kind(
        "e2e_gpustack",
        "run_id device n_devices software model section profile command num_requests "
        "max_concurrency request_rate isl_mean osl_mean metric value unit suspect",
        predictor="planner.lab.validation.e2e_gpustack",
    ),
    _kind(
        "e2e_windows",
        "device n_devices engine model w_dtype parallelism speculation concurrency "
        "context_tokens metric value unit",
        predictor="planner.lab.validation.e2e_windows",
    ),
    _kind(
        "e2e_llamabench",
        "device engine engine_build backend model file_quant batch_ubatch test depth_tokens "
        "prompt_tokens generation_tokens tokens_per_s",
        predictor="planner.lab.validation.e2e_single",
    ),
    _kind(
        "e2e_apple",
        "device memory_gb engine engine_version model weights safetensor_bytes batch "
        "prompt_tokens generation_tokens metric median",
        predictor="planner.lab.validation.e2e_single",
    ),
    _kind(
        "e2e_community",
        "gpu cpu model engine quantization prompt_tokens output_tokens batch "
        "decode_tokens_per_s prefill_tokens_per_s gpu_layers spec_decoding mtp",
        predictor="planner.lab.validation.e2e_single",
    ),
    _kind(
        "open_loop",
        "device engine model experiment stage stages metric value unit",
        predictor="planner.lab.validation.e2e_open",
    ),
    _kind(
        "open_loop_requests",
        "device model parallelism request input_tokens output_tokens arrival_s ttft_ms tpot_ms",
        predictor="planner.lab.validation.e2e_open",
    ),
    _kind(
        "open_loop_means",
        "device n_devices engine model dtype max_num_seqs max_num_batched_tokens kv_tokens "
        "metric value unit",
        predictor="planner.lab.validation.e2e_open",
    ),
    _kind(
        "e2e_published",
        "source device n_devices software model w_dtype a_dtype kv_dtype parallelism "
        "batch_or_concurrency isl osl metric value unit note",
        predictor="planner.lab.validation.e2e_published",
    ),
    _kind(
        "op_gemm",
        "device software w_a_dtype m n k latency_us",
        predictor="planner.lab.validation.op_gemm",
        own_devices=True,
        fit=TableFit(
            "planner.lab.calibration.gemm",
            ("gemm", "ggml", "torch-scaled-mm"),
            extra_kinds=("op_quantize",),
        ),
    ),
    _kind(
        "op_quantize",
        "device software op quant_dtype m k latency_us",
        predictor="planner.lab.validation.op_quantize",
        own_devices=True,
        fit=TableFit("planner.lab.calibration.quantise", ("quantise",)),
    ),
    _kind(
        "op_call",
        "device software op calls latency_us",
        fit=TableFit("planner.lab.calibration.torch_cpu", ("torch-calls",)),
    ),
    _kind(
        "op_moe",
        "device software kernel moe_dtype num_tokens hidden inter topk num_experts moe_tp "
        "moe_ep distribution latency_us",
        predictor="planner.lab.validation.op_moe",
        own_devices=True,
        fit=TableFit("planner.lab.calibration.moe", ("moe",)),
    ),
    _kind(
        "op_comm",
        "device software op mode dtype num_gpus message_elements latency_us",
        predictor="planner.lab.validation.op_comm",
        fit=TableFit("planner.lab.calibration.collective", ("collective",)),
    ),
    _kind(
        "op_moe_a2a",
        "device software comm_backend phase comm_dtype ep_size node_num hidden_size topk "
        "num_experts num_tokens sms latency_us",
        predictor="planner.lab.validation.op_moe_a2a",
        fit=TableFit("planner.lab.calibration.dispatch", ("dispatch",)),
    ),
    _kind(
        "op_attn_context",
        "device software attn_dtype kv_dtype batch isl heads kv_heads head_dim window latency_us",
        predictor="planner.lab.validation.op_attention",
        own_devices=True,
        fit=TableFit("planner.lab.calibration.attention", ("attention-prefill", "ggml-attention")),
    ),
    _kind(
        "op_attn_generation",
        "device software attn_dtype kv_dtype batch kv_len heads kv_heads head_dim window "
        "latency_us",
        predictor="planner.lab.validation.op_attention",
        own_devices=True,
        fit=TableFit("planner.lab.calibration.attention", ("attention-decode", "ggml-attention")),
    ),
    _kind(
        "op_mla",
        "device software phase mla_dtype kv_dtype heads batch isl kv_len latency_us",
        predictor="planner.lab.validation.op_attention",
        own_devices=True,
        fit=TableFit("planner.lab.calibration.attention", ("mla-prefill", "mla-decode")),
    ),
    _kind(
        "op_attn_module",
        "device software kernel phase module model attn_dtype kv_dtype gemm_dtype heads tp "
        "batch isl step latency_us",
        predictor="planner.lab.validation.op_attn_module",
        fit=TableFit(
            "planner.lab.calibration.attention_module",
            ("attention-rest", "dsa-prefill", "dsa-decode", "mla-prefill", "mla-decode"),
        ),
    ),
    _kind(
        "op_linear_attention",
        "device software kernel phase batch seq_len d_conv k_heads k_dim v_heads v_dim latency_us",
        predictor="planner.lab.validation.op_linear_attention",
        fit=TableFit("planner.lab.calibration.linear_attention", ("linear-attention",)),
    ),
    _kind(
        "e2e_verify",
        "device software engine model subject types prompt_tokens output_tokens threads cache "
        "quantity measured predicted low high basis",
        predictor="planner.lab.validation.e2e_verify",
        fit=TableFit(
            "planner.lab.calibration.residual",
            ("step-residual", "prompt-residual"),
            full_steps=True,
        ),
    ),
)
FITTED = tuple((kind, kind.fit) for kind in KINDS if kind.fit is not None)
"""The kinds that ``plan calibrate`` reads, in the order in which it fits them."""
PREDICTED = tuple(kind for kind in KINDS if kind.predictor)
"""The kinds that ``plan validate`` reads."""


def kind_of(columns: Iterable[str], kinds: Iterable[TableKind] = KINDS) -> TableKind | None:
    """The first of ``kinds`` whose columns a table has, None where there is none."""
    known = set(columns)
    return next((kind for kind in kinds if kind.columns <= known), None)


def operators() -> tuple[str, ...]:
    """Operators that can be calibrated, in order."""
    return tuple(dict.fromkeys(name for _, fit in FITTED for name in fit.operators))
