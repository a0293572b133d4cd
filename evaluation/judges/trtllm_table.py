"""TensorRT-LLM's command and options file against a table of its fields; its code does not run.

The rules are those of ``data/trtllm_fields.toml``, which names its source: options of
``trtllm-serve``, classes that forbid other fields, and how graph sizes follow from a configuration.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FIELDS = Path(__file__).with_name("data") / "trtllm_fields.toml"
_SAME = {
    "--tp_size": "tensor_parallel_size",
    "--pp_size": "pipeline_parallel_size",
    "--ep_size": "moe_expert_parallel_size",
    "--tensor_parallel_size": "tensor_parallel_size",
    "--pipeline_parallel_size": "pipeline_parallel_size",
    "--moe_expert_parallel_size": "moe_expert_parallel_size",
}
_OPTIONS = ("--config", "--extra_llm_api_options")
_OTHER_NAMES = {"speculative_model": "speculative_model_dir"}


@cache
def table() -> dict[str, Any]:
    """The table of fields."""
    return tomllib.loads(FIELDS.read_text(encoding="utf-8"))


def judged(case: Mapping[str, Any]) -> dict[str, Any]:
    """One case: what follows from its words and options file, or the first rule it breaks."""
    verdict: dict[str, Any] = {"id": case["id"]}
    try:
        verdict["computed"] = computed(case["words"])
    except (ValueError, OSError, yaml.YAMLError) as error:
        verdict["error"] = str(error)[:600]
    return verdict


def computed(words: Sequence[str]) -> dict[str, Any]:
    """The arguments that a command and its options file give, with what the classes derive.

    Raises:
        ValueError: a word or field that the table does not have, or of another type.
    """
    given, file = read_words(words)
    options = yaml.safe_load(Path(file).read_text(encoding="utf-8")) if file else {}
    if not isinstance(options, dict):
        raise ValueError("the options file is no mapping")
    checked("TorchLlmArgs", options, "")
    arguments = {**given, **options}
    defaults = table()["defaults"]
    cache_config = options.get("kv_cache_config") or {}
    fraction = cache_config.get(
        "free_gpu_memory_fraction",
        given.get("free_gpu_memory_fraction", defaults["free_gpu_memory_fraction"]),
    )
    graphs = options.get("cuda_graph_config", {})
    return {
        "tp": arguments.get("tensor_parallel_size", 1),
        "pp": arguments.get("pipeline_parallel_size", 1),
        "ep": arguments.get("moe_expert_parallel_size"),
        "attention_dp": arguments.get("enable_attention_dp", False),
        "sequences": arguments.get("max_batch_size", defaults["max_batch_size"]),
        "tokens": arguments.get("max_num_tokens", defaults["max_num_tokens"]),
        "context": arguments.get("max_seq_len"),
        "chunked": arguments.get("enable_chunked_prefill", False),
        "cache": cache_config.get("dtype", "auto"),
        "memory_fraction": fraction,
        "padded": bool(graphs and graphs.get("enable_padding", False)),
        "graph_sizes": [] if graphs is None else graph_sizes(graphs),
    }


def graph_sizes(graphs: Mapping[str, Any]) -> list[int]:
    """Batches that are captured (CudaGraphConfig)."""
    if graphs.get("batch_sizes"):
        return sorted(graphs["batch_sizes"])
    most = graphs.get("max_batch_size") or table()["defaults"]["graph_batch"]
    small = (
        [1, 2, 4, *range(8, 129, 8)]
        if graphs.get("enable_padding", False)
        else [*range(1, 33), 64, 128]
    )
    sizes = [*small, *(2**i for i in range(8, math.ceil(math.log2(most))))]
    return sorted({size for size in sizes if size <= most} | {most})


def read_words(words: Sequence[str]) -> tuple[dict[str, Any], str]:
    """(arguments by name, the options file) of a command.

    Raises:
        ValueError: an option that the command does not have, or a value of another type.
    """
    kinds, out, file = table()["serve"], dict[str, Any](), ""
    rest = list(words[words.index("trtllm-serve") + 1 :])
    if rest and rest[0] == "serve":
        rest = rest[1:]
    if not rest or rest[0].startswith("-"):
        raise ValueError("trtllm-serve: Missing argument 'MODEL'")
    out["model"], rest = rest[0], rest[1:]
    while rest:
        flag, rest = rest[0], rest[1:]
        if flag not in kinds:
            raise ValueError(f"trtllm-serve: No such option: {flag}")
        name = _SAME.get(flag, flag.removeprefix("--"))
        if kinds[flag] == "flag":
            out[name] = True
            continue
        if not rest:
            raise ValueError(f"trtllm-serve: Option {flag!r} requires an argument")
        value, rest = rest[0], rest[1:]
        if flag in _OPTIONS:
            file = value
        else:
            out[name] = _typed(kinds[flag], value, flag)
    return out, file


def _typed(kind: str, value: str, flag: str) -> Any:
    try:
        return {"int": int, "float": float}.get(kind, str)(value)
    except ValueError:
        raise ValueError(f"trtllm-serve: {flag}: {value!r} is not a valid {kind}") from None


def checked(name: str, data: Mapping[str, Any], place: str) -> None:
    """Hold ``data`` against the class ``name``.

    Raises:
        ValueError: an extra or missing field, or a value of another type.
    """
    fields = table()["classes"][name]
    for key, value in data.items():
        if key not in fields:
            raise ValueError(f"{name}: {place}{key}: Extra inputs are not permitted")
        _checked_value(fields[key], value, f"{place}{key}", name)
    for key, kind in fields.items():
        if kind.endswith("!") and not ({key, _OTHER_NAMES.get(key, key)} & set(data)):
            raise ValueError(f"{name}: {place}{key} must be given")


def _checked_value(kind: str, value: Any, place: str, name: str) -> None:
    if value is None:
        if not kind.endswith("?"):
            raise ValueError(f"{name}: {place}: null is no valid {kind}")
        return
    kind = kind.rstrip("?!")
    if kind == "any":
        return
    if kind == "speculation":
        classes = table()["speculation"]
        method = value.get("decoding_type") if isinstance(value, dict) else None
        if method not in classes:
            raise ValueError(f"{name}: {place}: decoding_type {method!r} is none of {[*classes]}")
        checked(classes[method], value, f"{place}.")
        return
    if kind.startswith("class:"):
        if not isinstance(value, dict):
            raise ValueError(f"{name}: {place}: no mapping")
        checked(kind.removeprefix("class:"), value, f"{place}.")
        return
    types: dict[str, type | tuple[type, ...]] = {
        "int": int, "bool": bool, "float": (int, float), "str": str, "list": list,
    }  # fmt: skip
    if kind in types:
        wrong = not isinstance(value, types[kind]) or (
            isinstance(value, bool) and kind not in ("bool",)
        )
        if wrong:
            raise ValueError(f"{name}: {place}: {value!r} is no valid {kind}")
    elif value not in kind.split("|"):
        raise ValueError(f"{name}: {place}: {value!r} is none of {kind}")
