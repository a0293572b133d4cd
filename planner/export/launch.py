"""Commands that serve an export with the plan's layout, batch and caches.

The flags are those of ``data/flags.csv``, where each has its source.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.versions import Version
from planner.export import trtllm
from planner.export.environment import variables_of, with_variables
from planner.export.optional_flags import draft_words, image_words
from planner.export.release import code_of_release
from planner.export.serving_facts import (
    ServingFacts,
    layout_of,
    linked,
    one_type,
    per_rank,
    prefill_chunk,
    serving_facts_of,
    sized,
)
from planner.export.trtllm import CHECKPOINT
from planner.formats.kv import GGML_CACHE_TYPES
from planner.hardware.profile import DeviceProfile, is_card_sum, layers_of_cards
from planner.memory.engines.catalog import Engine
from planner.memory.usable import claimed_share, shared_memory_utilization
from planner.messages.message import Text, message
from planner.placement.modules import EXPERT_KINDS
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import OffloadInfo, Plan
from planner.planning.question.given_values import replica_requests

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
# Layout → the server's word for it.
_CACHES: dict[str, dict[str, str]] = {
    "vllm": {
        "fp8": "fp8",
        "fp8-ds-mla": "fp8_ds_mla",
        "fp8-token": "fp8_per_token_head",
        "int8-token": "int8_per_token_head",
        "nvfp4": "nvfp4",
    },
    "sglang": {"fp8": "fp8_e4m3", "fp8-ds-mla": "fp8_e4m3"},
    "llama.cpp": dict(GGML_CACHE_TYPES),
}
# SGLang documentation, Quantization: ModelOpt checkpoints.
_SGLANG_MODELOPT = {
    "fp8-tensor": ["--quantization", "modelopt_fp8"],
    "nvfp4": ["--quantization", "modelopt_fp4"],
}
_PLAIN_TYPES = ("f16", "bf16", "f32")
"""Types of values that llama.cpp attends to without flash attention (ggml-org/llama.cpp@0c1e57098
src/llama-context.cpp: "quantized V cache requires flash_attn to be enabled")."""
_ATTN_DP_SIZE = Version("0.5.22")
"""SGLang's first version with --attn-dp-size in place of --dp-size and --enable-dp-attention."""
SERVERS = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "mlx")
START_REPLICAS = "reasons.plan_has_replicas_start_as"
"""Of what a command cannot say: that its server is one of several."""


def cache_word(engine: str, layout: str) -> str:
    """What an engine's flag takes for a cache layout: ``auto`` where it keeps the plain type."""
    return _CACHES.get(engine, {}).get(layout, "auto" if layout in PLAIN else layout)


def command(
    engine: Engine, target: str, plan: Plan, device: DeviceProfile | None
) -> tuple[list[str], list[Text]]:
    """(words of the command, what it cannot say) for one replica of the plan on ``engine``;
    ``target`` is the checkpoint's format, empty as released; ``device`` is the plan's, None where
    it is a file that is not at hand."""
    served = serving_facts_of(plan)
    words, unsaid = COMMANDS[engine.name](engine, plan, served)
    if plan.offload is not None:
        own = plan.offload.engine == engine.name
        words += plan.offload.flags if own else ()
        unsaid += (
            _of_host(plan.offload)
            if own
            else [message("reasons.weights_in_host_memory_plan", engine=plan.offload.engine)]
        )
    trusted, said = code_of_release(plan, engine)
    drafting, more = draft_words(engine.name, plan)
    seeing, blind = image_words(engine.name, plan)
    words, unsaid = [*words, *drafting, *seeing, *trusted], [*unsaid, *more, *blind, *said]
    used = set(served.schemes)
    if device is not None and device.kind == "cpu":
        words, more = _on_cpu(engine.name, plan, words, used)
        unsaid += more
    elif (
        engine.name == "sglang"
        and used == {"int8-w8a8"}
        and any(u.kind in EXPERT_KINDS for u in plan.units)
    ):
        # Its compressed-tensors method refuses INT8 experts on GPUs; this one runs them.
        words += ["--quantization", "w8a8_int8"]
    if (engine.name, target) == ("sglang", "modelopt") and len(used) == 1:
        words += _SGLANG_MODELOPT.get(used.pop(), [])
    if plan.prefix_cache is not None:
        from planner.export.optional_flags import with_prefix_flags

        words, more = with_prefix_flags(engine, plan, words)
        unsaid += more
    if device is not None:
        if engine.name == "vllm" and device.unified_memory:
            memory = plan.memory_per_device
            share = shared_memory_utilization(memory.usable_bytes, memory.capacity_bytes)
            words += ["--gpu-memory-utilization", f"{share:g}"]
        words = with_variables(words, variables_of(engine, device, plan))
    if plan.layout.replicas > 1:
        unsaid.append(message(START_REPLICAS, replicas=plan.layout.replicas))
    return words, unsaid


def _of_host(offload: OffloadInfo) -> list[Text]:
    """What the flags of a host cannot say."""
    said: list[Text] = []
    if "AMXINT8" in offload.flags:
        said.append(message("reasons.kt_weights_experts_by_kt"))
    elif "--kt-weight-path" in offload.flags:
        said.append(message("reasons.kt_weights_folder_of_checkpoint"))
    if "--init-expert-location" in offload.flags:
        said.append(message("reasons.expert_statistics_pt_written_under"))
    if "--kt-method" in offload.flags:
        said.append(message("reasons.kt_kernel_needs_its_build"))
    return said


def _on_cpu(
    engine: str, plan: Plan, words: list[str], used: set[str]
) -> tuple[list[str], list[Text]]:
    """The command of a server on CPU sockets, and what is left to say."""
    if engine == "sglang":
        words = [*words, "--device", "cpu", "--disable-overlap-schedule"]
        words += ["--quantization", "w8a8_int8"] if used == {"int8-w8a8"} else []
        return words, [message("reasons.rank_of_tp_size_is")]
    if engine == "llama.cpp":
        at = words.index("--n-gpu-layers")
        numa = ["--numa", "distribute"] if layout_of(plan).ranks > 1 else []
        return [*words[:at], "--n-gpu-layers", "0", *numa, *words[at + 4 :]], []
    return words, []


def _vllm(engine: Engine, plan: Plan, served: ServingFacts) -> tuple[list[str], list[Text]]:
    layout = plan.layout
    words = [
        "vllm",
        "serve",
        CHECKPOINT,
        *sized(
            ("--tensor-parallel-size", layout.tp),
            ("--data-parallel-size", layout.dp),
            ("--pipeline-parallel-size", layout.pp),
        ),
        "--dtype",
        _DTYPES[served.plain],
        "--max-model-len",
        str(plan.workload.context_tokens),
        "--max-num-seqs",
        str(per_rank(plan)),
        "--max-num-batched-tokens",
        str(prefill_chunk(plan)),
    ]
    unsaid = _expert_parallel(plan, "--enable-expert-parallel", words)
    packed, words_of = served.packed(), _CACHES["vllm"]
    unsaid += _cache_flag(words, "--kv-cache-dtype", packed, words_of)
    if len(packed) == 1 and packed[0] in words_of:
        skipped = sorted(served.layers_in(*PLAIN))
        if served.layers_in(packed[0]) & set(skipped):
            unsaid.append(message("reasons.keys_and_values_of_layer"))
        elif skipped:
            words += ["--kv-cache-dtype-skip-layers", *map(str, skipped)]
    return words, unsaid


def _sglang(engine: Engine, plan: Plan, served: ServingFacts) -> tuple[list[str], list[Text]]:
    layout = plan.layout
    words = [
        "python",
        "-m",
        "sglang.launch_server",
        "--model-path",
        CHECKPOINT,
        *sized(("--tp-size", layout.tp * layout.dp), ("--pp-size", layout.pp)),
        "--dtype",
        _DTYPES[served.plain],
        "--context-length",
        str(plan.workload.context_tokens),
        "--max-running-requests",
        str(plan.workload.batch),
        "--chunked-prefill-size",
        str(prefill_chunk(plan) * layout.dp),
    ]
    if layout.dp > 1 and engine.version >= _ATTN_DP_SIZE:
        words += ["--attn-dp-size", str(layout.dp)]
    elif layout.dp > 1:
        words += ["--dp-size", str(layout.dp), "--enable-dp-attention"]
    words += sized(("--ep-size", layout.ep))
    words += _memory_fraction(engine, plan)
    unsaid = _cache_flag(words, "--kv-cache-dtype", served.packed(), _CACHES["sglang"])
    return words, unsaid + one_type(served)


def _memory_fraction(engine: Engine, plan: Plan) -> list[str]:
    """The share of a device that the plan fills, as SGLang takes it: left out, SGLang reserves for
    the chunks of all attention ranks together, which may be more than a device has."""
    memory = plan.memory_per_device
    if not engine.constants.get("reserved_base"):
        return []
    share = claimed_share(
        engine,
        memory.capacity_bytes,
        layout_of(plan),
        prefill_chunk(plan),
        usable_bytes=memory.usable_bytes if plan.engine.name == engine.name else None,
    )
    return ["--mem-fraction-static", f"{share:g}"]


def _llamacpp(engine: Engine, plan: Plan, served: ServingFacts) -> tuple[list[str], list[Text]]:
    slots = replica_requests(plan)
    words = [
        "llama-server",
        "-m",
        "OUT.gguf",
        "--ctx-size",
        str(plan.workload.context_tokens * slots),
        "--parallel",
        str(slots),
        "--batch-size",
        str(prefill_chunk(plan)),
        "--ubatch-size",
        str(prefill_chunk(plan)),
        "--n-gpu-layers",
        "999",
        "--split-mode",
        "layer" if plan.layout.pp > 1 or is_card_sum(plan.device.id) else "none",
    ]
    layers = layers_of_cards(plan.device.id)
    unsaid: list[Text] = []
    if layers:
        words += ["--tensor-split", ",".join(map(str, layers))]
        # CUDA numbers the card that it takes for the fastest first, which may be another.
        unsaid.append(message("reasons.order_of_cards", cards=plan.device.id))
    for flag, kinds in (("--cache-type-k", ("kv-k", "kv-latent")), ("--cache-type-v", ("kv-v",))):
        used = {layout for kind, _, layout in served.caches if kind in kinds}
        known = [_CACHES["llama.cpp"].get(name) for name in used]
        if len(used) == 1 and known[0] is not None:
            words += [flag, known[0]]
            if flag == "--cache-type-v" and known[0] not in _PLAIN_TYPES:
                words += ["--flash-attn", "on"]
        elif used:
            unsaid.append(
                message("reasons.one_ggml_type_for_all", flag=flag, x=linked(sorted(used)))
            )
    if plan.layout.tp * plan.layout.dp > 1:
        unsaid.append(message("reasons.tensor_and_data_parallelism_it"))
    return words, unsaid


def _pytorch(engine: Engine, plan: Plan, served: ServingFacts) -> tuple[list[str], list[Text]]:
    unsaid: list[Text] = [
        message("reasons.cache_dynamiccache_keeps_models_data", x=name) for name in served.packed()
    ]
    if plan.layout.tp * plan.layout.dp * plan.layout.pp > 1:
        unsaid.append(message("reasons.layout_quantise_py_loads_model"))
    return ["python", "quantise.py", "MODEL", "OUT"], unsaid


def _mlx(engine: Engine, plan: Plan, served: ServingFacts) -> tuple[list[str], list[Text]]:
    layout = plan.layout
    unsaid: list[Text] = []
    if layout.tp * layout.dp * layout.pp * layout.ep > 1:
        unsaid.append(
            message(
                "reasons.layout_machine_is_one_device",
                tp=layout.tp,
                dp=layout.dp,
                pp=layout.pp,
                ep=layout.ep,
            )
        )
    return [
        "mlx_lm.server",
        "--model",
        CHECKPOINT,
        "--decode-concurrency",
        str(plan.workload.batch),
    ], unsaid


COMMANDS = {
    "vllm": _vllm,
    "sglang": _sglang,
    "tensorrt-llm": trtllm.command,
    "llama.cpp": _llamacpp,
    "pytorch": _pytorch,
    "mlx": _mlx,
}


def _cache_flag(
    words: list[str],
    flag: str,
    packed: Sequence[str],
    known: dict[str, str],
) -> list[Text]:
    if not packed:
        words += [flag, "auto"]
        return []
    if len(packed) == 1 and packed[0] in known:
        words += [flag, known[packed[0]]]
        return []
    taken = message("structure.names", parts=tuple(dict.fromkeys(known.values())))
    return [message("reasons.caches_in_takes_one_of", x=linked(packed), f=flag, y=taken)]


def _expert_parallel(plan: Plan, flag: str, words: list[str]) -> list[Text]:
    group = plan.layout.tp * plan.layout.dp
    if plan.layout.ep == 1:
        return []
    if plan.layout.ep == group:
        words.append(flag)
        return []
    return [
        message("reasons.ep_spreads_experts_over_all", n=plan.layout.ep, flag=flag, group=group)
    ]
