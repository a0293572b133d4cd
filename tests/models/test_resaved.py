"""The bundled models as transformers writes them anew, as a fine-tune or a quantiser does."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.models.catalog import resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.spec import ModelSpec

CONFIGS = Path(planner.__file__).parent / "models" / "configs"
RECORDED = json.loads((Path(__file__).parent / "data" / "resaved.json").read_text("utf-8"))
"""What transformers changed, written down: a key gone, its value now, or changes inside it."""


def changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The configuration after the changes."""
    found = dict(config)
    for key, change in changes.items():
        if "gone" in change:
            del found[key]
        else:
            found[key] = change["now"] if "now" in change else changed(found[key], change["inside"])
    return found


def read(config: dict[str, Any], name: str) -> ModelSpec:
    quant = CONFIGS / f"{name}.hf_quant_config.json"
    return spec_from_bytes(
        json.dumps(config).encode(),
        f"{name}/config.json",
        model_id=name,
        public_name=name,
        source="",
        source_kind="file",
        quant_text=quant.read_bytes() if quant.exists() else None,
    )


def same(found: ModelSpec, name: str) -> None:
    own = resolve_model(name)
    assert found.rows == own.rows
    assert (found.attention, found.experts, found.max_context, found.tied_embeddings) == (
        own.attention,
        own.experts,
        own.max_context,
        own.tied_embeddings,
    )
    assert (found.kv_scheme, found.quantization) == (own.kv_scheme, own.quantization)
    assert found.ignored_keys == ()


@pytest.mark.parametrize("name", RECORDED["models"])
def test_a_model_written_anew_is_the_same_model(name: str) -> None:
    config = json.loads((CONFIGS / f"{name}.json").read_text("utf-8"))
    same(read(changed(config, RECORDED["models"][name]), name), name)


def test_the_record_is_of_bundled_models() -> None:
    known = {path.name.removesuffix(".json") for path in CONFIGS.glob("*.json")}
    assert set(RECORDED["models"]) <= known
    assert len(RECORDED["models"]) > 140


@pytest.mark.oracle
@pytest.mark.parametrize("name", RECORDED["models"])
def test_a_model_that_the_installed_transformers_writes_is_the_same(
    name: str, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = json.loads((CONFIGS / f"{name}.json").read_text("utf-8"))
    config.pop("auto_map", None)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = transformers.AutoConfig.from_pretrained(tmp_path)
        except (ValueError, TypeError) as error:
            pytest.skip(f"this transformers does not read it: {error}")
        loaded.save_pretrained(tmp_path / "anew")
    same(read(json.loads((tmp_path / "anew" / "config.json").read_text("utf-8")), name), name)
