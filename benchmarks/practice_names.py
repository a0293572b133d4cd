"""Names of published deployments in the words of this package: models, devices, formats, drafts."""

from __future__ import annotations

import re
from functools import cache

from planner.hardware.catalog import device_ids
from planner.models.catalog import catalog, is_model, resolve_model
from planner.planning.engines.mixes import engine_mixes
from planner.planning.engines.published import published_weights

ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "mlx")
SAME_MODEL = {
    "kimi-k2": "kimi-k2-instruct",
    "r1": "deepseek-r1",
    "mimo-mimo-v2-flash": "mimo-v2-flash",
    "deepseek-v3.2-speciale": "deepseek-v3.2",
    "deepseek-v4-flash-0731": "deepseek-v4-flash",
    "deepseek-v4-pro-0813": "deepseek-v4-pro",
    "deepseek-v4-pro-dspark": "deepseek-v4-pro",
    "kimi-k2.6": "kimi-k2.6-nvfp4",
    "gemma-4-31b": "gemma-4-31b-nvfp4",
    "mistral-nemo-12b-instruct-v1": "mistral-nemo",
    "qwen3-235b-a22b-instruct-2507": "qwen3-235b-a22b",
    "qwen3-235b-a22b-thinking-2507": "qwen3-235b-a22b",
    "c4ai-command-r-08-2024": "command-r",
    "c4ai-command-r-plus-08-2024": "command-r-plus",
    "gemma-3-12b-instruct": "gemma-3-12b",
}
"""Names that the catalogue does not have: later weights of the same shapes, and a bundled release
that stands for its base."""
OWN_LAYERS = ("qwen3-next-80b-a3b", "glm-4.6")
"""Models released with prediction layers that their bundled configurations do not state."""
SAME_SHAPES = {"gemma-3-27b": "gemma-3-27b-text", "gemma-3-4b": "gemma-3-4b-text"}
_VARIANT = re.compile(r"[-_](?:instruct|it|chat|thinking|base|pt|hf)$")
_FORMAT = re.compile(
    r"[-_.](?:bf16|fp8|nvfp4|fp4|mxfp4|mxfp8|awq|gptq|int4|int8|gguf|4bit|w4a16|w8a8|v2|mtp|kv|"
    r"preview|dynamic|block|ptpc|moefp4|attnfp8|quantized\.w4a16|quantized\.w8a8|fp8-mxfp4)$"
)
_DEVICES = {
    "h100": "h100-sxm", "h200": "h200-sxm", "b200": "b200-sxm", "b300": "b300-sxm",
    "h800": "h800-sxm", "a100": "a100-sxm", "gb10": "dgx-spark", "jetson-thor":
    "jetson-agx-thor-t5000", "jetson-orin": "jetson-agx-orin-64gb",
}  # fmt: skip
_FAMILY = re.compile(r"unspecified|any\b|single|gpu-\d+gb|^$|^blackwell$|^hopper$|guide|SM\d+")
_FAMILIES = ("nvidia", "amd")
_INT4 = ("int4", "int4-w4a16", "awq", "gptq")
_WORD_OF = {"fp8": "fp8", "nvf": "nvfp4", "mxfp4": "mxfp4", "mxfp8": "mxfp8", "int4": "int4"}


@cache
def model_of(name: str) -> str:
    """The bundled id of a model's or repository's name; "" for none. Formats in it are passed over
    first, then what an instruction-tuned release has behind its base's name."""
    bare = re.sub(r"\s*\(.*\)$", "", name.split("/")[-1]).lower().replace(" ", "-").split(":")[0]
    for ending in (_FORMAT, _VARIANT):
        known = ""
        while True:
            known = _bundled(bare) or known
            shorter = ending.sub("", bare)
            if shorter == bare:
                break
            bare = shorter
        if known:
            return known
    return ""


def _bundled(name: str) -> str:
    word = name if is_model(name) else SAME_MODEL.get(name, "")
    return resolve_model(word).id if word else ""


@cache
def release_of(checkpoint: str) -> str:
    """The bundled id of that very repository; "" where it is not bundled by itself."""
    known = {entry.public_name.lower(): entry.id for entry in catalog().values()}
    return known.get(checkpoint.lower(), "")


def models_of(name: str, checkpoint: str) -> tuple[str, ...]:
    """Every bundled id that a row speaks of: the base model's, and that of the release itself."""
    base = model_of(name) or model_of(checkpoint)
    ids = (base, release_of(checkpoint), SAME_SHAPES.get(base, ""))
    return tuple(dict.fromkeys(i for i in ids if i))


def devices_of(text: str, source: str) -> tuple[tuple[str, ...], int]:
    """Bundled ids or family words of a row's devices, and how many named ones are not bundled."""
    brackets = re.search(r"\(([a-z0-9-]+(?:/[a-z0-9-]+)+|gb300)\)", text)
    words = (brackets.group(1) if brackets else re.sub(r"\s*\(.*\)", "", text)).split("/")
    ids = [_DEVICES.get(word.strip(), word.strip()) for word in words]
    bundled = tuple(dict.fromkeys(i for i in ids if i in device_ids()))
    if bundled:
        return bundled, len(ids) - len(bundled)
    if not _FAMILY.search(text) and not set(words) & {"hopper", "blackwell"}:
        return (), len(ids)
    amd = "amd" in text.lower() or "amd" in source.lower() or "rocm" in source.lower()
    return (_FAMILIES[amd],), 0


def weights_of(model: str, checkpoint: str, word: str, device: str) -> str:
    """The scheme of the weights: that of the known checkpoint where the words agree, else the word
    itself; "" where nothing says."""
    word = word.strip()
    if word.upper().startswith(("UD-", "GGUF", "DYNAMIC")) or "bit" in word:
        return "gguf"
    if word in engine_mixes():
        return word
    word = word.split(" ")[0].lower()
    if word == "fp8+fp4":
        word = ""
    word = "int4" if word in _INT4 else word
    known = _stored(model, checkpoint)
    if known and (not word or _class(known) == word or (word == "fp4" and "fp4" in known)):
        return known
    if word == "fp4":
        return "mxfp4" if device.startswith(("mi3", "amd")) else "nvfp4"
    return {"int4": "int4-w4a16", "int8": "int8-w8a8"}.get(word, word)


def _stored(model: str, checkpoint: str) -> str:
    """The scheme that a repository is stored in, where it is bundled or a known release."""
    release = release_of(checkpoint)
    if release:
        return resolve_model(release).quantization
    for row in published_weights(model):
        if row.repository.lower() == checkpoint.lower():
            return row.experts or row.dense or row.attention
    named = checkpoint.split("/")[-1].lower()
    if not named or is_model(named) or _FORMAT.sub("", named) == named:
        return resolve_model(model).quantization
    return ""


def _class(scheme: str) -> str:
    return next((word for start, word in _WORD_OF.items() if scheme.startswith(start)), scheme)


def cache_of(word: str) -> str:
    """The cache's format: "" for the engine's default, bf16, fp8."""
    word = word.lower()
    return "fp8" if "fp8" in word else "bf16" if word in ("bf16", "bfloat16") else ""


def draft_of(text: str, model: str) -> str:
    """How tokens are drafted, and how many: ``mtp:3``, ``eagle3:3``, ``dflash``; "" for none. Where
    the number changes with concurrency, that of the lowest. EAGLE without a draft's name is the
    model's own prediction layers, where it has some."""
    if " D:" in text or text.startswith("D:"):
        text = text.rpartition("D:")[2]
    text = text.split(" | ")[0].strip()
    low = text.lower()
    if not low or low.startswith("p:") or "with and without" in low:
        return ""
    layers = "mtp" if resolve_model(model).mtp_layers or model in OWN_LAYERS else "eagle"
    own = "draft_model=" not in low or "nextn" in low.partition("draft_model=")[2]
    kinds = (
        ("eagle-3", "eagle3"),
        ("eagle3", "eagle3"),
        ("dspark", "dspark"),
        ("dflash", "dflash"),
        ("draft-target", "draft"),
        ("mtp", "mtp"),
        ("nextn", layers if own else "draft"),
        ("eagle", layers if own and "(" not in low else "eagle"),
        ("steps=", layers),
    )
    kind = next((name for sign, name in kinds if sign in low), "")
    if not kind:
        raise ValueError(f"a way to draft that is not known: {text!r}")
    number = re.search(
        r"(?:num_speculative_tokens=|max_draft_len=|n_max=|steps=|block )(\d+)"
        r"|^(?:[a-z0-9_]*mtp|draft-mtp|eagle3?|dspark|dflash|nextn)\s(\d+)"
        r"|(\d+)[- ](?:steps|token|additional)",
        low,
    )
    return f"{kind}:{next(filter(None, number.groups()))}" if number else kind
