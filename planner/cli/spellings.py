"""Flags as engines spell them: accepted wherever the command has ours, shown nowhere."""

from __future__ import annotations

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
}
"""Spelling of vLLM, SGLang, TensorRT-LLM or llama.cpp → the flag that it is here."""


def accept_spellings(command: click.Command) -> None:
    """Let ``command`` take the engines' spellings of its flags."""
    own = {flag.removeprefix("--") for param in command.params for flag in param.opts}
    meaning = {
        spelling: flag
        for spelling, flag in SPELLINGS.items()
        if flag in own and spelling not in own
    }
    if meaning:
        command.context_settings["token_normalize_func"] = lambda name: meaning.get(name, name)
