"""Attacks on files of models: configurations, headers of safetensors and GGUF."""

import json
import struct
from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from support.checkpoints import llama_config, llama_tensors
from support.command_words import (
    CONFIGS,
    PRICED,
    QUICK,
    took,
)
from support.gguf_samples import gguf_bytes
from support.tape import Tape, damaged, json_bytes, torn


def config(tape: Tape, folder: Path) -> bool:
    """``config.json`` and ``hf_quant_config.json`` of every bundled family."""
    name = tape.of(_config_names())
    (folder / "config.json").write_bytes(torn(json_bytes(damaged(_json(name), tape)), tape))
    beside = f"{name.removesuffix('.json')}.hf_quant_config.json"
    if not (CONFIGS / beside).exists() and tape.below(8) == 1:
        beside = tape.of(sorted(p.name for p in CONFIGS.glob("*.hf_quant_config.json")))
    if (CONFIGS / beside).exists():
        (folder / "hf_quant_config.json").write_bytes(json_bytes(damaged(_json(beside), tape)))
    return took(["inventory", "./config.json", "--json"], folder)


def config_priced(tape: Tape, folder: Path) -> bool:
    """Configurations that are priced: what was taken in must give finite figures."""
    name = tape.of(SMALL)
    (folder / "config.json").write_bytes(json_bytes(damaged(_json(f"{name}.json"), tape, 2)))
    return took(
        [
            "estimate",
            "./config.json",
            tape.of(("h100-sxm", "l40s", "xeon-6980p")),
            *QUICK,
            "--json",
            "--quiet",
        ],
        folder,
        most_seconds=PRICED,
    )


SMALL = (
    "qwen2.5-0.5b",
    "smollm2-135m",
    "llama-3.2-1b",
    "deepseek-v2-lite",
    "gemma-3-4b-text",
    "gpt-oss-20b",
    "qwen3-30b-a3b",
)


@cache
def _config_names() -> tuple[str, ...]:
    return tuple(
        sorted(
            p.name for p in CONFIGS.glob("*.json") if not p.name.endswith(".hf_quant_config.json")
        )
    )


@cache
def _json(name: str) -> Any:
    return json.loads((CONFIGS / name).read_text(encoding="utf-8"))


def safetensors(tape: Tape, folder: Path) -> bool:
    """Headers, lengths and index of a checkpoint, read by inventory or by the profile's scan."""
    settings = llama_config()
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in _tensors().items():
        begin, end = end, end + 2 * prod(array)
        header[name] = {"dtype": "BF16", "shape": list(array), "data_offsets": [begin, end]}
    text = torn(json_bytes(damaged(header, tape)), tape)
    length = (
        tape.of((0, 1, len(text) - 1, 2**31, 2**63, 2**64 - 1)) if tape.below(5) == 1 else len(text)
    )
    data = end if tape.below(5) != 1 else tape.of((0, end - 1, end + 1, end * 2))
    (folder / "config.json").write_bytes(json_bytes(damaged(settings, tape, 1)))
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", max(0, length)) + text)
        file.truncate(8 + len(text) + data)
    if tape.below(3) == 1:
        index = {"metadata": {}, "weight_map": dict.fromkeys(_tensors(), "model.safetensors")}
        (folder / "model.safetensors.index.json").write_bytes(
            torn(json_bytes(damaged(index, tape)), tape)
        )
    return took(["inventory", ".", "--json"], folder)


@cache
def _tensors() -> Mapping[str, tuple[int, ...]]:
    return {name: array.shape for name, array in llama_tensors(llama_config()).items()}


def gguf(tape: Tape, folder: Path) -> bool:
    """Every field of a GGUF header, and torn files."""
    (folder / "m.gguf").write_bytes(torn(gguf_bytes(tape), tape))
    return took(["inventory", "./m.gguf", "--json"], folder)
