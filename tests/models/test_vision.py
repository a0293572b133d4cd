"""Vision encoders against published totals and closed forms; what is left out is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.base.errors import DataError
from planner.models import catalog
from planner.models.catalog import resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec

CONFIGS = Path(catalog.__file__).parent / "configs"
LLAMA4: dict[str, Any] = {
    "model_type": "llama4_vision_model", "hidden_size": 1408, "num_hidden_layers": 34,
    "num_attention_heads": 16, "intermediate_size": 5632, "image_size": 336, "patch_size": 14,
    "num_channels": 3, "vision_output_dim": 4096, "projector_input_dim": 4096,
    "projector_output_dim": 4096, "pixel_shuffle_ratio": 0.5,
}  # fmt: skip


def build(name: str, **vision: Any) -> ModelSpec:
    config = json.loads((CONFIGS / f"{name}.json").read_text())
    config["vision_config"] = {**(config.get("vision_config") or {}), **vision}
    return spec_from_bytes(json.dumps(config).encode(), "config.json", model_id="m",
                           public_name="m", source="here", source_kind="file")  # fmt: skip


def test_llama_4_scout_with_its_encoder_is_the_published_total() -> None:
    """108,641,793,536 parameters in the release; the text model has 107,769,861,120."""
    found = Inventory(build("llama-4-scout", **LLAMA4))
    assert found.parameters_vision == 871_932_416
    assert found.parameters_total + found.parameters_vision == 108_641_793_536
    assert found.spec.not_counted == ()


def test_the_bundled_llama_4_says_what_it_leaves_out() -> None:
    for name in ("llama-4-scout", "llama-4-maverick"):
        found = Inventory(resolve_model(name))
        assert found.parameters_vision == 0
        assert found.spec.not_counted
        assert "vision" in found.to_dict()["not_counted"][0]
    assert Inventory(resolve_model("qwen3-8b")).to_dict()["not_counted"] == []


def test_encoders_by_closed_form() -> None:
    d, inner, layers = 1152, 4304, 27
    gemma = (
        layers * (4 * d * d + 3 * d * inner + 4 * d + 2 * 72)
        + d * 3 * 16 * 16
        + 2 * 10240 * d
        + 2816 * d
    )
    assert Inventory(resolve_model("gemma-4-26b-a4b")).parameters_vision == gemma
    kimi = (
        layers * (4 * d * d + 2 * d * inner + 4 * d + inner + d + 4 * d)
        + d * 3 * 14 * 14
        + d
        + 64 * 64 * d
        + 2 * d
        + 2 * d
        + 4608 * 4608
        + 4608
        + 7168 * 4608
        + 7168
    )
    assert Inventory(resolve_model("kimi-k2.5")).parameters_vision == kimi


def test_encoders_stay_out_of_the_counts_of_the_text_model() -> None:
    assert Inventory(resolve_model("gemma-4-26b-a4b")).parameters_total == 25_233_141_760
    text, whole = resolve_model("llama-4-scout"), build("llama-4-scout", **LLAMA4)
    for name in ("parameters_total", "parameters_active", "parameters_by_kind"):
        assert getattr(Inventory(text), name) == getattr(Inventory(whole), name)
    extra = Inventory(whole).payload_bytes - Inventory(text).payload_bytes
    assert extra == 2 * 871_932_416


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("llama-4-scout", LLAMA4 | {"patch_size": 15}, "must divide 336"),
        ("llama-4-scout", LLAMA4 | {"vision_output_dim": 7680}, "projector_output_dim"),
        ("llama-4-scout", LLAMA4 | {"hidden_size": None}, "hidden_size is missing"),
        ("gemma-4-26b-a4b", {"use_clipped_linears": 1}, "use_clipped_linears"),
        ("gemma-4-26b-a4b", {"tower": 2}, "not understood: 'tower'"),
        ("kimi-k2.5", {"merge_kernel_size": [2]}, "height and a width"),
        ("kimi-k2.5", {"text_hidden_size": 4096}, "7168"),
        ("kimi-k2.5", {"mm_projector_type": "patchmergerv3"}, "mm_projector_type"),
    ],
)
def test_an_encoder_that_is_not_understood(name: str, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        build(name, **change)
