"""What a configuration leaves out takes what its class assumes, and says so."""

import json
import tomllib
import warnings
from pathlib import Path

import pytest

import planner
from planner.base.errors import DataError
from planner.models.configuration import spec_from_bytes
from planner.models.defaults import class_defaults, defaults_version
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec

MODELS = Path(planner.__file__).parent / "models"
WHOLE = tomllib.loads((MODELS / "data" / "class_defaults.toml").read_text(encoding="utf-8"))


def bundled(name: str, *gone: str, **changes: object) -> ModelSpec:
    """A bundled configuration without the keys ``gone``, with ``changes``."""
    config = json.loads((MODELS / "configs" / f"{name}.json").read_text(encoding="utf-8"))
    where = config.get("text_config", config)
    for key in gone:
        where.pop(key, None)
        config.pop(key, None)
    return spec_from_bytes(
        json.dumps(config | changes).encode(),
        "config.json",
        model_id="x",
        public_name="x",
        source="x",
        source_kind="file",
    )


def test_a_gemma_without_the_key_is_tied_as_its_class_is() -> None:
    found = bundled("gemma-3-1b", "tie_word_embeddings")
    assert found.tied_embeddings
    assert Inventory(found).parameters_total == 999_885_952
    assert dict(found.assumed_keys)["tie_word_embeddings"] == (
        "true (default of gemma3_text in transformers 5.24)"
    )
    assert any(
        key == "class defaults" and "tie_word_embeddings true" in value
        for key, value, _ in found.remarks
    )


@pytest.mark.parametrize(("name", "key", "total"), [
    ("gpt-oss-20b", "head_dim", 20_914_757_184), ("minimax-m2", "head_dim", 228_689_764_864),
    ("llama-4-scout", "head_dim", 107_769_861_120),
    ("mistral-7b-v0.1", "num_key_value_heads", 7_241_732_096),
    ("gemma-4-26b-a4b", "global_head_dim", 25_233_141_760),
    ("gemma-4-26b-a4b", "tie_word_embeddings", 25_233_141_760),
])  # fmt: skip
def test_the_release_without_a_key_counts_as_with_it(name: str, key: str, total: int) -> None:
    assert Inventory(bundled(name, key)).parameters_total == total


def test_a_window_that_is_not_stated_is_the_classs_and_null_is_none() -> None:
    assert bundled("mistral-7b-v0.3", "sliding_window").attention[0].window == 4096
    assert bundled("mistral-7b-v0.3", sliding_window=None).attention[0].window == 0


def test_sizes_are_taken_from_the_class_inside_a_larger_model_alone() -> None:
    with pytest.raises(DataError, match="hidden_size is missing"):
        bundled("llama-3.1-8b", "hidden_size")
    assert "hidden_size" not in class_defaults("gemma4_text")
    assert class_defaults("gemma4_text", nested=True)["hidden_size"] == 2304


def test_sections_are_read_alone_as_the_whole_file_has_them() -> None:
    for name, values in WHOLE.items():
        flat = {k: v for k, v in values.items() if not isinstance(v, dict)}
        assert flat.pop("version") == defaults_version(name)
        assert class_defaults(name) == flat
        assert class_defaults(name, nested=True) == flat | values.get("nested", {})
    assert class_defaults("no_such_type") == class_defaults("a]\n[llama") == {}


@pytest.mark.oracle
@pytest.mark.parametrize("name", sorted(WHOLE))
def test_the_installed_transformers_assumes_the_same(name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from evaluation.configurations.defaults import declared

    if name not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers does not know {name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = {**class_defaults(name, nested=True)}
        theirs = declared(name)
    assert {key: ours.get(key) for key in theirs} == theirs
