"""TensorRT-LLM: the command of ``trtllm-serve``, and its file of options.

Sources: NVIDIA/TensorRT-LLM tensorrt_llm/commands/serve.py and tensorrt_llm/llmapi/llm_args.py
(TorchLlmArgs, CudaGraphConfig, KvCacheConfig); _torch/pyexecutor/_util.py: sequence slots are
max_batch_size for each pipeline stage.
"""

from __future__ import annotations

from planner.base.versions import Version
from planner.export.optional_flags import draft_options, prefix_options
from planner.export.serving_facts import (
    ServingFacts,
    one_type,
    per_rank,
    prefill_chunk,
    serving_facts_of,
    sized,
)
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Text, message
from planner.placement.modules import EXPERT_KINDS
from planner.planning.plan.record import Plan

OPTIONS = "trtllm_options.yaml"
CHECKPOINT = "CHECKPOINT"
"""Stands for the folder of the quantised checkpoint."""
CACHES = {"fp8": "fp8", "nvfp4": "nvfp4"}
"""Cache layout → the value of kv_cache_config.dtype."""
_CONTAINERS = ("fp8", "mxfp4", "modelopt", "modelopt-mixed")
"""Checkpoint formats that it reads (data/checkpoint_writers.csv, and releases)."""
_GRAPH_CONFIG = Version("1.0")
"""The first version with cuda_graph_config; older ones have a key for each of its fields."""


def command(engine: Engine, plan: Plan, served: ServingFacts) -> tuple[list[str], list[Text]]:
    """(words of trtllm-serve, what they cannot say) for one replica."""
    layout = plan.layout
    words = [
        "trtllm-serve",
        CHECKPOINT,
        *sized(
            ("--tp_size", layout.tp * layout.dp), ("--pp_size", layout.pp), ("--ep_size", layout.ep)
        ),
        "--max_seq_len",
        str(plan.workload.context_tokens),
        "--max_batch_size",
        str(micro_batch(plan)),
        "--max_num_tokens",
        str(prefill_chunk(plan)),
        "--extra_llm_api_options",
        OPTIONS,
    ]
    unsaid: list[Text] = [
        message("reasons.cache_no_such_type", x=name)
        for name in served.packed()
        if name not in CACHES
    ]
    if layout.tp > 1 and layout.dp > 1:
        unsaid.append(message("reasons.tp_within_dp_enable_attention", a=layout.tp, b=layout.dp))
    return words, unsaid + one_type(served)


def micro_batch(plan: Plan) -> int:
    """Sequences that one pipeline stage decodes at once, which is what max_batch_size counts: each
    stage has so many in hand, so that pp times as many are served."""
    return -(-per_rank(plan) // plan.layout.pp)


def options_text(plan: Plan, engine: Engine, device: DeviceProfile | None) -> str:
    """The file of options of ``trtllm-serve``: what its defaults would do otherwise.

    By default prompts above max_num_tokens are refused (no chunked prefill), a batch that is none
    of the captured sizes runs without a graph (no padding), and some experts have no kernel in the
    back end that is taken for them.
    """
    from planner.export.yaml_text import documents

    packed = [name for name in serving_facts_of(plan).packed() if name in CACHES]
    kind = CACHES[packed[0]] if len(packed) == 1 else "auto"
    cache: dict[str, str | int] = {"dtype": kind}
    if plan.prefix_cache is not None:
        cache |= prefix_options(engine, plan)
    options: dict[str, object] = {
        "kv_cache_config": cache,
        "enable_chunked_prefill": True,
        **_graphs(engine, graph_sizes(engine, micro_batch(plan))),
        "enable_attention_dp": plan.layout.dp > 1,
        **_experts(plan, engine, device),
        **draft_options(plan),
    }
    return documents([options])


def _experts(plan: Plan, engine: Engine, device: DeviceProfile | None) -> dict[str, object]:
    """The back end of the experts where the engine's own choice would not run them."""
    from planner.planning.engines.expert_backends import expert_backend

    schemes = {unit.scheme for unit in plan.units if unit.kind in EXPERT_KINDS}
    if device is None:
        return {}
    named = (
        expert_backend(engine, device, scheme, container)
        for scheme in sorted(schemes)
        for container in _CONTAINERS
    )
    return {
        section: {key: backend.value}
        for backend in named
        if backend is not None
        for section, _, key in (backend.option.partition("."),)
    }


def graph_sizes(engine: Engine, largest: int) -> list[int]:
    """The batches that are captured up to ``largest``: those of the price, powers of two beyond
    them, and the largest itself."""
    from planner.throughput.graphs import captured_batches

    captured = captured_batches(engine.name, engine.version_text, None)
    priced = captured.sizes if captured is not None else ()
    beyond = [1 << i for i in range(8, largest.bit_length())]
    return sorted({*(size for size in (*priced, *beyond) if size < largest), largest})


def _graphs(engine: Engine, sizes: list[int]) -> dict[str, object]:
    if engine.version >= _GRAPH_CONFIG:
        return {"cuda_graph_config": {"enable_padding": True, "batch_sizes": sizes}}
    return {
        "use_cuda_graph": True,
        "cuda_graph_padding_enabled": True,
        "cuda_graph_batch_sizes": sizes,
    }
