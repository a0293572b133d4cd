"""Keys that releases of one structure add: no tensor depends on them."""

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.base.errors import DataError
from planner.models.catalog import resolve_model
from planner.quality.sensitivity.features import structure_of

CONFIGS = Path(planner.__file__).parent / "models" / "configs"


def written(folder: Path, name: str, **changes: Any) -> str:
    """The bundled configuration with keys added: ``inside`` its text part, ``outside`` it."""
    config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    config["text_config"] |= changes.get("inside", {})
    config |= changes.get("outside", {})
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def test_a_later_qwen_with_new_keys_has_the_same_structure(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "qwen3.5-27b",
        inside={"partial_rotary_factor": 0.25, "output_gate_type": "swish"},
        outside={"language_model_only": False},
    )
    assert structure_of(resolve_model(path)) == structure_of(resolve_model("qwen3.5-27b"))


def test_a_kimi_whose_text_calls_itself_deepseek_is_one(tmp_path: Path) -> None:
    path = written(tmp_path, "kimi-k2.5", inside={"model_type": "deepseek_v3"})
    assert structure_of(resolve_model(path)) == structure_of(resolve_model("kimi-k2.5"))


def test_a_key_that_nobody_knows_is_still_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "qwen3.5-27b", inside={"output_gate_kind": "swish"})
    with pytest.raises(DataError, match="output_gate_kind"):
        resolve_model(path)
