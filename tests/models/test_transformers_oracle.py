"""An independent count: the same configurations built by transformers on the meta device."""

import warnings

import pytest

from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory

pytestmark = pytest.mark.oracle

# The names of classes in transformers; deepseek_v32 is compared where the release has it.
MODELS = (
    "deepseek-v2-lite", "deepseek-v3", "deepseek-v3.2", "llama-3.1-8b", "llama-3.1-405b",
    "qwen3-8b", "qwen3-30b-a3b", "qwen3-235b-a22b", "mixtral-8x7b",
)  # fmt: skip


def _meta_count(model_id):
    torch = pytest.importorskip("torch", reason="torch is not installed ([oracle] extra)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from pathlib import Path

    from planner.models import catalog

    path = Path(catalog.__file__).parent / "configs" / f"{model_id}.json"
    try:
        config = transformers.AutoConfig.from_pretrained(path)
    except ValueError as error:
        pytest.skip(f"this transformers does not know the model type: {error}")
    config.quantization_config = None
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    biases = (b for name, b in model.named_buffers() if name.endswith("e_score_correction_bias"))
    return sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in biases)


@pytest.mark.parametrize("model_id", MODELS)
def test_transformers_counts_the_same_parameters(model_id):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted = _meta_count(model_id)
    assert Inventory(resolve_model(model_id)).parameters_total == counted
