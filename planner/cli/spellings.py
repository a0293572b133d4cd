"""Flags as engines spell them: accepted wherever the command has ours, shown nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import click

SPELLINGS = {
    "gpus": "devices",
    "num-gpus": "devices",
    "tp-size": "tp",
    "tensor-parallel-size": "tp",
    "dp-size": "dp",
    "data-parallel-size": "dp",
    "pp-size": "pp",
    "pipeline-parallel-size": "pp",
    "ep-size": "ep",
    "expert-parallel-size": "ep",
    "max-model-len": "context",
    "context-length": "context",
    "ctx-size": "context",
    "kv-cache-dtype": "kv",
    "max-concurrency": "concurrency",
    "num-concurrent-requests": "concurrency",
    "max-num-seqs": "batch",
    "max-running-requests": "batch",
    "input-len": "isl",
    "output-len": "osl",
    "random-input-len": "isl",
    "random-output-len": "osl",
    "qps": "rate",
    "rps": "rate",
    "request-rate": "rate",
    "slo-ttft-ms": "ttft-ms",
    "slo-tpot-ms": "tpot-ms",
    "slo-e2e-ms": "e2e-ms",
    "itl-ms": "tpot-ms",
    "quantization": "schemes",
}
"""Spelling of vLLM, SGLang, TensorRT-LLM or llama.cpp, or of load tests → the flag that it is
here."""
OTHERWISE = {"quantization": "scheme"}
"""Spelling → the flag of commands that have not the one above."""
SHORT = ("-tp", "-dp", "-pp", "-ep")
"""vLLM's short flags of parallel sizes, which take a second hyphen here."""
ADVICE = {
    "device": "device_is_argument",
    "model": "device_is_argument",
    "dtype": "dtype_is_kept",
    "gpu-memory-utilization": "share_of_memory",
    "mem-fraction-static": "share_of_memory",
    "kv-cache-free-gpu-mem-fraction": "share_of_memory",
    "cache-type-k": "caches_of_both",
    "cache-type-v": "caches_of_both",
    "enable-expert-parallel": "expert_degree",
    **dict.fromkeys(("rate", "qps", "rps", "request-rate"), "capacity_takes_rates"),
    "online": "nothing_is_fetched",
}
"""Flags that a command has under no name → what to do instead, a sentence of the catalogue."""


def long_forms(command: click.Command, args: Sequence[str]) -> list[str]:
    """``args`` with vLLM's short flags as ours, where ``command`` has these."""
    own = {flag for param in command.params for flag in param.opts}
    out = list(args)
    for n, word in enumerate(out):
        if word == "--":
            break
        if word.partition("=")[0] in SHORT and "-" + word.partition("=")[0] in own:
            out[n] = "-" + word
    return out


def accept_spellings(command: click.Command) -> None:
    """Let ``command`` take the engines' spellings of its flags."""
    own = {flag.removeprefix("--") for param in command.params for flag in param.opts}
    meaning = {
        spelling: flag
        for spelling, flag in (*OTHERWISE.items(), *SPELLINGS.items())
        if flag in own and spelling not in own
    }
    if meaning:
        command.context_settings["token_normalize_func"] = lambda name: meaning.get(name, name)
