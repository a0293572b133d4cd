"""What vLLM gave a module, in the planner's words, and how it stands beside the plan."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Format = tuple[str, str, str]
"""Number format of weights, run of weights that share a scale, number format of activations."""
PLAIN: Format = ("16 bits", "", "16 bits")
SCHEMES: dict[str, Format] = {
    "bf16": PLAIN,
    "fp16": PLAIN,
    "fp32": PLAIN,
    "fp8-tensor": ("e4m3", "tensor", "e4m3"),
    "fp8-channel": ("e4m3", "channel", "e4m3"),
    "fp8-block": ("e4m3", "128x128", "e4m3"),
    "fp8-block-ue8m0": ("e4m3", "128x128", "e4m3"),
    "fp8-w8a16": ("e4m3", "128x128", "16 bits"),
    "int8-w8a8": ("int8", "channel", "int8"),
    "int8-w8a16": ("int8", "channel", "16 bits"),
    "int4-w4a16": ("int4", "128", "16 bits"),
    "int4-w4a16-g32": ("int4", "32", "16 bits"),
    "nvfp4": ("nvfp4", "16", "nvfp4"),
    "nvfp4-w4a16": ("nvfp4", "16", "16 bits"),
    "mxfp4": ("mxfp4", "32", "mxfp4"),
    "mxfp4-w4a16": ("mxfp4", "32", "16 bits"),
    "mxfp8": ("mxfp8", "32", "mxfp8"),
}
STORED = {
    "e4m3": {"float8_e4m3fn"},
    "int8": {"int8", "int32"},
    "int4": {"int32"},
    "nvfp4": {"uint8"},
    "mxfp4": {"uint8"},
    "mxfp8": {"float8_e4m3fn"},
    "16 bits": {"bfloat16", "float16", "float32"},
}
"""Types of parameters that hold weights of a format: packed integers lie in 32-bit words."""
WEIGHT_ONLY = re.compile("marlin|humming", re.IGNORECASE)
_WEIGHTS = re.compile(r"^(w13_|w2_)?(q?weight|weight_packed|qweight)$")
_ONLINE = re.compile("Online")


@dataclass(frozen=True)
class Judged:
    """One case. ``differing`` are (module, the plan's scheme, what the engine has); ``kernels``
    (scheme, kind of module) → kernels by modules; ``flags`` what the parser read otherwise."""

    id: str
    command: str = ""
    method: str = ""
    matrices: int = 0
    modules: int = 0
    differing: tuple[tuple[str, str, str], ...] = ()
    flags: tuple[str, ...] = ()
    kernels: Mapping[tuple[str, str], Counter[str]] = field(default_factory=dict)
    error: str = ""


def means(facts: Mapping[str, Any]) -> Format:
    """The format of a module from its method's and scheme's own fields.

    Raises:
        ValueError: a method that is not known here.
    """
    method, scheme, asked = facts["method"], facts["scheme"], facts["asked"]
    if "Unquantized" in method:
        return PLAIN
    if "weight_quant" in asked and "input_quant" in asked:
        return _of_arguments(asked)
    if scheme.endswith(("W4A4Fp4",)) or "Nvfp4" in method or "NvFp4" in method:
        return ("nvfp4", "16", "16 bits" if asked.get("use_a16") == "True" else "nvfp4")
    if "Mxfp4" in scheme + method:
        narrow = not WEIGHT_ONLY.search(facts["kernel"]) and facts["kernel"] != ""
        return ("mxfp4", "32", "mxfp4" if narrow else "16 bits")
    if "Mxfp8" in scheme + method or "MxFp8" in method:
        return ("mxfp8", "32", "mxfp8")
    if scheme.endswith("W8A8Int8"):
        return ("int8", asked["strategy"], "int8")
    if "WNA16" in scheme + method or "GPTQ" in method:
        bits, group = asked.get("num_bits") or asked["weight_bits"], asked["group_size"]
        return (f"int{bits}", "channel" if group in ("-1", "None") else group, "16 bits")
    if asked.get("block_quant") == "True" and "weight_quant_key" not in asked:
        return ("e4m3", _block(asked["weight_block_size"]), "e4m3")
    if method == "ModelOptFp8MoEMethod":
        return ("e4m3", "tensor", "e4m3")
    if asked.get("per_out_ch_quant") == "True":
        return ("e4m3", "channel", "e4m3")
    if "weight_quant_key" in asked:
        wide = scheme.endswith("W8A16Fp8") or asked["activation_quant_key"] == "None"
        if "scale2" in asked["weight_quant_key"]:  # E4M3 scales of 16 under one of the matrix
            return ("nvfp4", "16", "16 bits" if wide else "nvfp4")
        return ("e4m3", _shared(asked["weight_quant_key"]), "16 bits" if wide else "e4m3")
    raise ValueError(f"{method} {scheme}: {asked}")


def _of_arguments(asked: Mapping[str, Any]) -> Format:
    """From compressed-tensors' own arguments, which experts keep."""
    weights, inputs = asked["weight_quant"], asked["input_quant"]
    kind = (
        "e4m3"
        if weights["type"] == "float" and weights["bits"] == 8
        else (f"{weights['type']}{weights['bits']}")
    )
    shared = (
        "x".join(map(str, weights["block"]))
        if weights["block"]
        else (str(weights["group"] or "") or weights["strategy"])
    )
    return (kind, shared, "e4m3" if inputs["type"] == "float" else f"int{inputs['bits']}")


def _block(text: str) -> str:
    return "x".join(re.findall(r"\d+", text))


def _shared(key: str) -> str:
    """Weights that share a scale, of a QuantKey: per_channel, per_tensor or a group's shape."""
    shape = re.search(r"GroupShape\(row=(\d+), col=(\d+)\)", key)
    if shape:
        return f"{shape[1]}x{shape[2]}"
    return "channel" if "per_channel" in key else "tensor"


def against(facts: Mapping[str, Any], scheme: str) -> str:
    """What the engine has where that is not ``scheme``; empty where it is."""
    try:
        found = means(facts)
    except (ValueError, KeyError) as error:
        return f"unknown: {error}"
    if found != SCHEMES[scheme]:
        return " · ".join(filter(None, found)) + f" ({facts['scheme'] or facts['method']})"
    types = {kind for name, (kind, _) in facts["parameters"].items() if _WEIGHTS.match(name)}
    if not types:
        return "no parameter that holds weights"
    if not _ONLINE.search(facts["method"]) and not types <= STORED[found[0]]:
        return f"stored in {', '.join(sorted(types))}"
    return ""


def compared(
    verdict: Mapping[str, Any], expected: Mapping[str, tuple[str, int]], words: list[str]
) -> Judged:
    """One case's verdict beside its plan: ``expected`` is module → (scheme, matrices)."""
    command = " ".join(["vllm", "serve", "CHECKPOINT", *words[3:]])
    if "error" in verdict:
        return Judged(verdict["id"], command, error=verdict["error"])
    differing, kernels, matrices = [], {}, 0
    for name, (scheme, count) in expected.items():
        matrices += count
        place = verdict["names"][name]
        if not place:
            differing.append((name, scheme, "no such module"))
            continue
        facts = verdict["modules"][place]
        why = against(facts, scheme)
        if why:
            differing.append((name, scheme, why))
        if facts["kernel"]:
            kind = "experts" if "Expert" in facts["class"] else "dense"
            kernels.setdefault((scheme, kind), Counter())[facts["kernel"]] += count
    for name, method in verdict["unnamed"].items():
        differing.append((name, "not in the plan", method))
    return Judged(
        verdict["id"],
        command,
        verdict["parsed"]["method"] or "as released",
        matrices,
        len(verdict["modules"]),
        tuple(differing),
        tuple(misread(verdict, words)),
        kernels,
    )


def misread(verdict: Mapping[str, Any], words: list[str]) -> list[str]:
    """Flags of the command whose value the parser's configuration does not have."""
    given = {
        word: value
        for word, value in zip(words, [*words[1:], ""], strict=True)
        if word.startswith("--")
    }
    names = {
        "--tensor-parallel-size": "tp",
        "--pipeline-parallel-size": "pp",
        "--data-parallel-size": "dp",
        "--max-model-len": "context",
        "--max-num-seqs": "sequences",
        "--max-num-batched-tokens": "tokens",
        "--kv-cache-dtype": "cache",
        "--quantization": "method",
    }
    out = []
    for flag, value in given.items():
        read = verdict["parsed"].get(names.get(flag, ""))
        if read is not None and str(read) != value:
            out.append(f"{flag} {value} was read as {read}")
    if ("--enable-expert-parallel" in given) != verdict["parsed"]["ep"]:
        out.append("expert parallelism was read otherwise")
    return out
