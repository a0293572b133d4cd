"""Builders that the model tests share: small configurations and small checkpoint files."""

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest

from planner.models.configuration import spec_from_bytes
from planner.models.spec import ModelSpec

FACTS = Path(__file__).resolve().parents[2] / ".." / "shared" / "facts"
BITS = {"F32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "F8_E8M0": 8, "U8": 8, "I8": 8,
        "I32": 32, "I64": 64}  # fmt: skip

_TINY: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 100,
        "max_position_embeddings": 2048, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 160, "torch_dtype": "bfloat16",
    },
    "qwen3": {
        "model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 100,
        "max_position_embeddings": 2048, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 32, "intermediate_size": 160, "torch_dtype": "bfloat16",
    },
    "qwen3_moe": {
        "model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 100,
        "max_position_embeddings": 2048, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 160, "moe_intermediate_size": 48, "num_experts": 8,
        "num_experts_per_tok": 2, "torch_dtype": "bfloat16",
    },
    "mixtral": {
        "model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
        "max_position_embeddings": 2048, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 96, "num_local_experts": 4, "num_experts_per_tok": 2,
        "torch_dtype": "bfloat16",
    },
    "deepseek_v3": {
        "model_type": "deepseek_v3", "hidden_size": 256, "num_hidden_layers": 3,
        "vocab_size": 300, "max_position_embeddings": 4096, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 384, "moe_intermediate_size": 128,
        "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 4,
        "topk_group": 2, "first_k_dense_replace": 1, "num_nextn_predict_layers": 1,
        "q_lora_rank": 96, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16,
        "v_head_dim": 32, "torch_dtype": "bfloat16",
        "quantization_config": {
            "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
            "weight_block_size": [128, 128],
        },
    },
}  # fmt: skip
_TINY["deepseek_v2"] = {
    key: value for key, value in _TINY["deepseek_v3"].items()
    if key not in ("quantization_config", "num_nextn_predict_layers")
} | {"model_type": "deepseek_v2", "q_lora_rank": None}  # fmt: skip
_TINY["deepseek_v32"] = _TINY["deepseek_v3"] | {
    "model_type": "deepseek_v32", "index_n_heads": 4, "index_head_dim": 32, "index_topk": 64,
}  # fmt: skip


@pytest.fixture(scope="session")
def facts() -> Path:
    """The folder of published figures beside the repository."""
    if not FACTS.is_dir():
        pytest.skip("no folder of published figures beside the repository")
    return FACTS


@pytest.fixture(scope="session")
def tiny() -> Callable[..., dict[str, Any]]:
    """A small configuration of a family, with changes; a value of ``...`` drops the key."""

    def make(family: str, /, **changes: Any) -> dict[str, Any]:
        merged = _TINY[family] | changes
        return {key: value for key, value in merged.items() if value is not ...}

    return make


@pytest.fixture(scope="session")
def build() -> Callable[[dict[str, Any]], ModelSpec]:
    """The ModelSpec of a configuration given as a dict."""

    def make(config: dict[str, Any]) -> ModelSpec:
        return spec_from_bytes(
            json.dumps(config).encode(), "config.json", model_id="tiny", public_name="tiny",
            source="test", source_kind="file",
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def write_safetensors() -> Callable[..., None]:
    """Write a safetensors file whose data is a hole: (name, dtype, shape) triples."""

    def write(path: Path, tensors: list[tuple[str, str, tuple[int, ...]]]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, dtype, shape in tensors:
            begin, end = end, end + prod(shape) * BITS[dtype] // 8
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + end)

    return write
