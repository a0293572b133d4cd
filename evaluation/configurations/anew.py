"""Bundled configurations that the installed transformers reads and writes anew."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import planner
from planner.base.errors import PlannerError
from planner.models import catalog, configuration
from planner.models.spec import ModelSpec

CONFIGS = Path(catalog.__file__).parent / "configs"
SAME = "the same"


def written_anew() -> Iterator[tuple[str, str]]:
    """Name and what became of every bundled model that transformers knows."""
    for name in catalog.model_ids():
        with tempfile.TemporaryDirectory() as folder:
            reason = _write(name, Path(folder))
            yield name, reason or _compared(name, Path(folder))


def _write(name: str, folder: Path) -> str:
    """Why transformers does not read it; "" where ``folder`` has what it wrote."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    config.pop("auto_map", None)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            transformers.AutoConfig.from_pretrained(folder).save_pretrained(folder)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        known = config["model_type"] in transformers.CONFIG_MAPPING
        return (
            f"transformers cannot read it: {type(error).__name__}"
            if known
            else f"transformers does not know {config['model_type']}"
        )
    quant = CONFIGS / f"{name}.{configuration.QUANT_NAME}"
    if quant.exists():
        shutil.copy(quant, folder / configuration.QUANT_NAME)
    return ""


def _compared(name: str, folder: Path) -> str:
    try:
        found = planner.load_model(str(folder))
    except PlannerError as error:
        return "refused: " + error.message.partition(": ")[2]
    own = planner.load_model(name)
    parts = [
        part
        for part in (
            "rows",
            "attention",
            "experts",
            "max_context",
            "tied_embeddings",
            "quantization",
            "kv_scheme",
        )
        if _differs(part, found, own)
    ]
    return f"differs in {', '.join(parts)}" if parts else SAME


def _differs(part: str, one: ModelSpec, other: ModelSpec) -> bool:
    return bool(getattr(one, part) != getattr(other, part))
