"""Every own family: its releases as they are, and ten configurations drawn of each type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.meta.compare import Compared, compared
from evaluation.meta.perturb import draws
from planner.models import catalog, configuration
from planner.models.families import FAMILY_OF
from planner.models.through_transformers.worker import built

_CONFIGS = Path(catalog.__file__).parent / "configs"
_TYPE_OF = {"deepseek_ref": "", "kimi_k2": "deepseek_v3", "mimo": "qwen2"}
"""Types of releases that transformers has under another name, "" for none. MiMo's layers are
Qwen 2's (vLLM 0.32: its class takes Qwen 2's decoder); what predicts is left out on both sides."""
STATED: dict[str, dict[str, Any]] = {
    "dots1": {
        "n_routed_experts": 16,
        "n_shared_experts": 2,
        "head_dim": 128,
        "num_experts_per_tok": 4,
    },
    "exaone4": {"sliding_window_pattern": 4},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 16, "moe_topk": 4},
    "nemotron": {"num_key_value_heads": 8},
    "ministral": {"head_dim": 128},
    "lfm2_moe": {
        "num_hidden_layers": 8,
        "layer_types": ["conv", "conv", "full_attention", "conv"] * 2,
    },
    "qwen3_omni_moe": {
        "talker_config": {
            "spatial_merge_size": 2,
            "text_config": {"shared_expert_intermediate_size": 768},
        }
    },
    "whisper": {"architectures": ["WhisperForConditionalGeneration"]},
    "step3p7": {"text_config": {"sliding_window": 512}},
}
"""What a class needs beside its defaults to be built."""


def releases() -> dict[str, dict[str, Any]]:
    """Bundled configurations by id, without the quantisation they were released in."""
    found = {}
    for path in sorted(_CONFIGS.glob("*.json")):
        if not path.name.endswith(configuration.QUANT_NAME):
            found[path.stem] = plain(json.loads(path.read_bytes()))
    return found


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` as plain elements, and the same of its text model."""
    text = config.get("text_config")
    inner = (
        {}
        if not isinstance(text, dict)
        else {
            "text_config": {
                key: value for key, value in text.items() if key != "quantization_config"
            }
        }
    )
    return {
        **{key: value for key, value in config.items() if key != "quantization_config"},
        **inner,
    }


def references(
    known: dict[str, dict[str, Any]],
    defaults: dict[str, dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """One configuration of each own type: the first release, else the class's defaults."""
    found: dict[str, dict[str, Any]] = {}
    for config in known.values():
        found.setdefault(str(config["model_type"]), config)
    return {kind: found.get(kind) or defaults[kind] for kind in sorted(FAMILY_OF)
            if kind in found or kind in defaults}  # fmt: skip


def defaults(transformers: Any) -> dict[str, dict[str, Any]]:
    """What classes assume, of the own types that transformers has."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    found = {}
    for kind in sorted(set(FAMILY_OF) & set(CONFIG_MAPPING_NAMES)):
        config = transformers.AutoConfig.for_model(kind, **STATED.get(kind, {}))
        config.dtype = "bfloat16"
        found[kind] = {**json.loads(config.to_json_string(use_diff=False)), "model_type": kind}
    return found


def answer_of(config: dict[str, Any], torch: Any, transformers: Any) -> dict[str, Any]:
    """The worker's answer, or its error, in this process."""
    kind = _TYPE_OF.get(config["model_type"], config["model_type"])
    try:
        return built({**understood(config), "model_type": kind}, "bfloat16", torch, transformers)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def understood(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` as this transformers reads it: EXAONE 4's class takes remainders by a pattern of
    letters, which its release states, instead of by their number; Step 3.7's reads no text model
    but one inside it."""
    if config.get("model_type") == "step3p7" and "text_config" not in config:
        return {"model_type": "step3p7", "text_config": config | {"model_type": "step3p5"}}
    pattern = config.get("sliding_window_pattern")
    if not isinstance(pattern, str):
        return config
    return {**config, "sliding_window_pattern": len(pattern)}


def cases(
    transformers: Any,
    only: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(type, release id or number of the draw, configuration) of everything to compare."""
    known = releases()
    for name, config in known.items():
        if not only or config["model_type"] in only:
            yield str(config["model_type"]), name, config
    for kind, config in references(known, defaults(transformers)).items():
        if not only or kind in only:
            for number, other in draws(config):
                yield kind, str(number), other


def compare_own(
    kind: str,
    name: str,
    config: dict[str, Any],
    torch: Any,
    transformers: Any,
) -> Compared:
    """One of :func:`cases`, counted by both."""
    return compared(config, answer_of(config, torch, transformers),
                    f"{kind} {name}" if name.isdigit() else name)  # fmt: skip
