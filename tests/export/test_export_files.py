"""The bytes of every export, and the README beside it."""

from pathlib import Path

import pytest
from support.exports import golden_exports

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.export.run import export_plan
from planner.models.catalog import bundled_model

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "exports"


def test_bytes() -> None:
    """Anew with ``python tests/golden/make_exports.py``."""
    found = golden_exports()
    kept = {
        str(path.relative_to(GOLDEN)): path.read_bytes()
        for path in GOLDEN.rglob("*")
        if path.is_file()
    }
    assert set(found) == set(kept)
    for name, text in found.items():
        assert text.encode() == kept[name], name


def test_the_readme_says_what_to_run() -> None:
    spec, device = bundled_model("deepseek-v3.1"), planner.load_device("h200-sxm")
    plan = planner.estimate(
        spec,
        device,
        scheme="fp8-block",
        kv="fp8",
        devices=16,
        tp=4,
        dp=4,
        ep=16,
        batch=64,
        engine="any",
    )
    files = export_plan(plan, spec, device, "compressed-tensors").files
    text = files["README.md"]
    for words in (
        "tp 4, dp 4, pp 1, ep 16",
        "--tensor-parallel-size 4 --data-parallel-size 4",
        "--enable-expert-parallel",
        "--max-num-seqs 16",
        "| kv-latent | 0-60 | fp8 |",
        "sglang",
        "prediction layers",
        "recipe.yaml",
    ):
        assert words in text, words
    for name in files:
        assert Path(name).name == name


def test_other_targets_and_models_are_refused() -> None:
    spec, device = bundled_model("llama-3.2-1b"), planner.load_device("h100-sxm")
    plan = planner.estimate(spec, device, scheme="bf16", devices=1, batch=1, engine="any")
    with pytest.raises(UnknownNameError, match="export target"):
        export_plan(plan, spec, device, "onnx")
    with pytest.raises(InputError, match="another configuration"):
        export_plan(plan, bundled_model("llama-3.1-8b"), device, "fp8")
    nothing = export_plan(plan, spec, device, "modelopt").files
    assert "hf_quant_config.json" not in nothing
    assert "No linear layer is quantised" in nothing["README.md"]
