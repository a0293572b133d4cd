"""Commands that started a measured server, read as data: which engine, layout, formats, limits.

Nothing of a command is run and no path in it is opened. What it leaves out is the engine's default;
a flag that is not known here changes nothing that is predicted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.lab.validation.cells import MOST_DEVICES, MOST_REQUESTS, MOST_TOKENS, count, positive
from planner.lab.validation.parallelism import Shape
from planner.lab.validation.records import NotCoveredError

_PROGRAMS = (
    ("sglang", r"sglang"),
    ("tensorrt-llm", r"trtllm|tensorrt"),
    ("vllm", r"vllm"),
    ("mindie", r"mindie"),
)
_SAME = {
    "tensor-parallel-size": "tp",
    "tp-size": "tp",
    "pipeline-parallel-size": "pp",
    "pp-size": "pp",
    "data-parallel-size": "dp",
    "dp-size": "dp",
    "ep-size": "ep",
    "expert-parallel-size": "ep",
    "model-path": "model",
    "max-num-batched-tokens": "chunk",
    "chunked-prefill-size": "chunk",
    "max-num-tokens": "chunk",
    "max-num-seqs": "slots",
    "max-running-requests": "slots",
    "max-batch-size": "slots",
    "gpu-memory-utilization": "fraction",
    "mem-fraction-static": "fraction",
    "kv-cache-free-gpu-memory-fraction": "fraction",
    "max-model-len": "context",
    "context-length": "context",
    "max-seq-len": "context",
    "max-total-tokens": "pool",
    "kv-cache-dtype": "kv",
    "decode-context-parallel-size": "dcp",
    "prefill-context-parallel-size": "pcp",
    "speculative-algorithm": "draft",
    "speculative-config": "draft",
    "speculative-num-steps": "draft-steps",
}
"""Flags → what they set; other names of one letter or more stand for themselves."""
_OWN_FLAGS = {"vllm": ("performance-mode", "max-model-len"), "sglang": ("context-length",)}
"""Flags that tell an engine where the program is not in the command."""
_VERSION = r"{}\W{{0,3}}v?(\d[0-9A-Za-z.]*)"
_DRAFTED = re.compile(r"num_speculative_tokens\W{1,3}(\d{1,2})\b")
_FLAG = re.compile(r"--?[A-Za-z]")
MOST_WORDS = 256


@dataclass(frozen=True, slots=True)
class ServeCommand:
    """A server: ``shape`` of a replica and how many ``replicas``. Numbers are 0, and texts empty,
    where the command leaves the engine's default; ``drafts``: tokens proposed a step, 0 for no
    speculative decoding; ``context_parallel``: ranks that share a sequence's cache."""

    engine: str
    model: str
    shape: Shape
    replicas: int
    quantization: str
    kv: str
    drafts: int
    chunk: int
    slots: int
    fraction: float
    context: int
    context_parallel: int


def serve_command(text: str, *, said: str = "") -> ServeCommand:
    """The server that ``text`` starts; ``said`` names the engine where its flags do not.

    Raises:
        NotCoveredError: no engine that is modelled, or a number that is none.
    """
    words = _words(text)
    flags = dict(_flags(words))
    engine = _engine(words, flags, said)
    if engine == "mindie":
        raise NotCoveredError("unknown engine")
    tp, pp, dp = (_count(flags, name, MOST_DEVICES) or 1 for name in ("tp", "pp", "dp"))
    ep = _count(flags, "ep", MOST_DEVICES) or 1
    replicas = 1
    if engine == "sglang":
        # SGLang divides its TP ranks over attention data parallel, and without it makes replicas.
        if "enable-dp-attention" in flags and dp > 1:
            if tp % dp:
                raise NotCoveredError("not legal")
            tp //= dp
        else:
            dp, replicas = 1, dp
    elif "enable-expert-parallel" in flags:
        ep = tp * dp
    return ServeCommand(
        engine,
        flags.get("model", ""),
        Shape(tp, pp, dp, 0, ep),
        replicas,
        flags.get("quantization", ""),
        flags.get("kv", ""),
        _drafts(flags),
        _count(flags, "chunk", MOST_TOKENS),
        _count(flags, "slots", MOST_REQUESTS),
        positive(flags["fraction"], 1.0) if "fraction" in flags else 0.0,
        _count(flags, "context", MOST_TOKENS),
        max(_count(flags, "dcp", MOST_DEVICES), _count(flags, "pcp", MOST_DEVICES), 1),
    )


def engine_version(engine: str, software: str) -> str:
    """The version of ``engine`` in a list such as ``- vLLM: v0.11.0 - SGLang: v0.5.5.post1``.

    Raises:
        NotCoveredError: the list does not have the engine.
    """
    name = {"tensorrt-llm": r"TensorRT-LLM", "vllm": r"vLLM(?!-Ascend)", "sglang": "SGLang"}[engine]
    match = re.search(_VERSION.format(name), software, re.IGNORECASE)
    if match is None:
        raise NotCoveredError("unknown engine")
    return match[1].rstrip(".")


def weights_label(model: str, quantization: str) -> str:
    """The format that a checkpoint's name or a flag states, in the words of tables; empty for a
    release as it is."""
    for label, pattern in (
        ("nvfp4", r"nvfp4|fp4\b"),
        ("fp8", r"fp8"),
        ("AWQ", r"awq"),
        ("GPTQ", r"gptq|int4|4bit|w4a16"),
        ("int8", r"w8a8|int8"),
    ):
        if re.search(pattern, f"{model} {quantization}", re.IGNORECASE):
            return label
    return ""


def _words(text: str) -> list[str]:
    plain = text.replace("\\\n", " ")
    try:
        words = shlex.split(plain)
    except ValueError:
        words = plain.split()
    return words[:MOST_WORDS]


def _flags(words: list[str]) -> Iterator[tuple[str, str]]:
    """(name, value) of every flag, underscores as hyphens; the model of a positional argument."""
    for i, word in enumerate(words):
        if not _FLAG.match(word):
            if i and words[i - 1] in ("serve", "trtllm-serve"):
                yield "model", word
            continue
        name, joined, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-").lower()
        if not joined and i + 1 < len(words) and not _FLAG.match(words[i + 1]):
            value = words[i + 1]
        yield _SAME.get(name, name), value


def _engine(words: list[str], flags: Mapping[str, str], said: str) -> str:
    program = " ".join(words[:4])
    for text in (program, said):
        for name, pattern in _PROGRAMS:
            if re.search(rf"\b(?:{pattern})", text, re.IGNORECASE):
                return name
    given = " ".join(words)
    for name, own in _OWN_FLAGS.items():
        if any(f"--{flag}" in given for flag in own):
            return name
    raise NotCoveredError("unknown engine")


def _count(flags: Mapping[str, str], name: str, most: int) -> int:
    return count(flags[name], most) if flags.get(name) else 0


def _drafts(flags: Mapping[str, str]) -> int:
    """Tokens that are proposed a step; 1 where the flags do not say how many."""
    if "draft" not in flags:
        return 0
    stated = _DRAFTED.search(flags["draft"])
    return int(stated[1]) if stated else _count(flags, "draft-steps", 64) or 1
