"""Every own family: its releases as they are, and ten configurations drawn of each type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.meta.compare import Compared, compared
from evaluation.meta.perturb import draws
from planner.models import catalog
from planner.models.families import FAMILY_OF
from planner.models.through_transformers.worker import built

_CONFIGS = Path(catalog.__file__).parent / "configs"
_TYPE_OF = {"deepseek_ref": "", "kimi_k2": "deepseek_v3"}
"""Types of releases that transformers has under another name, "" for none."""


def releases() -> dict[str, dict[str, Any]]:
    """Bundled configurations by id, without the quantisation they were released in."""
    found = {}
    for path in sorted(_CONFIGS.glob("*.json")):
        if not path.name.endswith(catalog.QUANT_NAME):
            found[path.stem] = plain(json.loads(path.read_bytes()))
    return found


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` as plain elements, and the same of its text model."""
    text = config.get("text_config")
    inner = {} if not isinstance(text, dict) else {"text_config": {
        key: value for key, value in text.items() if key != "quantization_config"}}
    return {**{key: value for key, value in config.items() if key != "quantization_config"},
            **inner}


def references(known: dict[str, dict[str, Any]], defaults: dict[str, dict[str, Any]],
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
        config = transformers.AutoConfig.for_model(kind)
        config.dtype = "bfloat16"
        found[kind] = {**json.loads(config.to_json_string(use_diff=False)), "model_type": kind}
    return found


def answer_of(config: dict[str, Any], torch: Any, transformers: Any) -> dict[str, Any]:
    """The worker's answer, or its error, in this process."""
    kind = _TYPE_OF.get(config["model_type"], config["model_type"])
    try:
        return built({**config, "model_type": kind}, "bfloat16", torch, transformers)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def compare_own(torch: Any, transformers: Any, only: frozenset[str] = frozenset(),
                ) -> Iterator[tuple[str, str, Compared]]:
    """(type, release id or number of the draw, what was found)."""
    known = releases()
    for name, config in known.items():
        if not only or config["model_type"] in only:
            answer = answer_of(config, torch, transformers)
            yield str(config["model_type"]), name, compared(config, answer, name)
    for kind, config in references(known, defaults(transformers)).items():
        if only and kind not in only:
            continue
        for number, other in draws(config):
            answer = answer_of(other, torch, transformers)
            yield kind, str(number), compared(other, answer, f"{kind} {number}")


def as_line(kind: str, name: str, found: Compared) -> str:
    """One line of JSON."""
    return json.dumps({"type": kind, "name": name, **asdict(found)})
