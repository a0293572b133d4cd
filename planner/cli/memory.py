"""``plan memory``: bytes of every device by part, and an engine's own arithmetic."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.answers import print_answer
from planner.cli.language import language
from planner.cli.types import INTEGER, NUMBER, options

_FRACTIONS = ("gpu_memory_utilization", "mem_fraction_static", "kv_cache_free_gpu_mem_fraction")
_COUNTS = (
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "block_size",
    "kv_cache_memory_bytes",
    "max_total_tokens",
    "context_length",
    "chunked_prefill_size",
    "max_running_requests",
    "page_size",
    "max_seq_len",
    "max_num_tokens",
    "max_batch_size",
    "tokens_per_block",
    "ctx_size",
    "ubatch_size",
    "parallel",
)
_WORDS = ("kv_cache_dtype", "cache_type_k", "cache_type_v", "moe_backend")
_ENGINES = {
    "gpu_memory_utilization": "vLLM: share of the device.",
    "mem_fraction_static": "SGLang: share of free memory for weights and cache.",
    "kv_cache_free_gpu_mem_fraction": "TensorRT-LLM: share of what is left for the cache.",
    "max_model_len": "Longest request (default: --context).",
    "max_num_batched_tokens": "Tokens of one step.",
    "max_num_seqs": "Sequences of one step.",
    "block_size": "Tokens of a cache block.",
    "kv_cache_memory_bytes": "vLLM: the pool by hand.",
    "max_total_tokens": "SGLang: the pool by hand.",
    **{
        name: f"{engine}: its word for --{flag}."
        for engine, words in {
            "SGLang": {
                "context_length": "max-model-len",
                "chunked_prefill_size": "max-num-batched-tokens",
                "max_running_requests": "max-num-seqs",
                "page_size": "block-size",
            },
            "TensorRT-LLM": {
                "max_seq_len": "max-model-len",
                "max_num_tokens": "max-num-batched-tokens",
                "max_batch_size": "max-num-seqs",
                "tokens_per_block": "block-size",
            },
        }.items()
        for name, flag in words.items()
    },
    "ctx_size": "llama.cpp: cells over all sequences.",
    "ubatch_size": "llama.cpp: tokens of a micro-batch.",
    "parallel": "llama.cpp: sequences.",
    "kv_cache_dtype": "Cache type: auto, fp8 or a layout.",
    "cache_type_k": "llama.cpp: type of keys.",
    "cache_type_v": "llama.cpp: type of values.",
    "moe_backend": "vLLM, SGLang: kernels of experts, which are padded for them: marlin, triton …",
}


def _engine_options(function: Any) -> Any:
    """The engines' own flags, None where not given."""
    for name in reversed((*_FRACTIONS, *_COUNTS, *_WORDS)):
        kind: Any = NUMBER if name in _FRACTIONS else INTEGER if name in _COUNTS else click.STRING
        flag = "--" + name.replace("_", "-")
        function = click.option(flag, name, type=kind, help=_ENGINES[name])(function)
    function = click.option(
        "--swa-full",
        is_flag=True,
        default=None,
        help="llama.cpp: full-size cache for sliding-window layers.",
    )(function)
    return click.option("--mla", type=click.INT, help="ik_llama.cpp: 0, 1, 2 or 3.")(function)


@click.command("memory")
@click.argument("model", required=False)
@click.argument("device", required=False)
@options("devices")
@click.option(
    "--tp", type=INTEGER, help="Attention tensor parallel size (default: 1, or the plan's)."
)
@click.option(
    "--dp", type=INTEGER, help="Attention data parallel size (default: 1, or the plan's)."
)
@click.option("--pp", type=INTEGER, help="Pipeline parallel size (default: 1, or the plan's).")
@click.option("--ep", type=INTEGER, help="Expert parallel size (default: 1, or the plan's).")
@options("context", "isl", "osl", "workload", "slots")
@click.option("--batch", type=INTEGER, help="Concurrent sequences (default: 1, or the plan's).")
@click.option("--scheme", metavar="SCHEME", help="One scheme (default: the published checkpoint).")
@click.option(
    "--plan",
    "plan_file",
    metavar="FILE",
    help="Formats, device and layout of this plan file.",
)
@options("kv")
@click.option(
    "--engine",
    metavar="NAME[@VERSION]",
    default="any",
    show_default=True,
    help="vllm | sglang | tensorrt-llm | llama.cpp | pytorch.",
)
@click.option("--checkpoint", metavar="DIR", help="Compare with this checkpoint's headers.")
@options("memory_bytes")
@click.option("--with-mtp", is_flag=True, help="Also load the multi-token prediction layers.")
@click.option("--with-vision", is_flag=True, help="Also load vision and audio encoders.")
@click.option("--lora", metavar="NxRANK", help="Reserve N LoRA adapters of this rank.")
@click.option(
    "--draft",
    metavar="MODEL|DIR",
    help="Draft: a model, a folder, mtp or eagle.",
)
@_engine_options
@options("verbose", "hardware_dir", "json", "quiet")
def memory_command(**given: Any) -> None:
    """Does MODEL fit on DEVICE? Memory by part; exit code 1 where it does not fit or start."""
    from planner.cli.files import print_json
    from planner.cli.run import question_arguments
    from planner.planning.inspect.memory import memory_use

    answer = memory_use(given["model"], given["device"], **question_arguments(given))
    if given["as_json"]:
        print_json(answer.to_dict())
    else:
        print_answer(answer, details=given["verbose"])
    if not answer.fits:
        from planner.base.errors import InfeasibleError
        from planner.messages.words import in_language

        lang = language()
        reason = answer.shortfall
        if answer.engine is not None:  # its name goes before the sentence
            reason = f"{answer.engine.engine} {in_language(answer.engine.reason, lang)}"
        raise InfeasibleError(in_language(reason, lang), hint=in_language(answer.way_out, lang))
