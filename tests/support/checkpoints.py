"""Small checkpoints written for a test: safetensors of given bytes, and a LLaMA-type model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
DTYPES = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}


def write_safetensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    """``tensors``: name → (checkpoint dtype, array of the stored items)."""
    header, blobs, at = {}, [], 0
    for name, (dtype, array) in tensors.items():
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        at += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def as_bf16(values: np.ndarray) -> np.ndarray:
    """Codes of float32 values cut to BF16."""
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def values_of(codes: np.ndarray) -> np.ndarray:
    """float32 values of BF16 codes."""
    return (codes.astype(np.uint32) << 16).view(np.float32)


def llama_config(**changes: Any) -> dict[str, Any]:
    """A decoder of two layers, width 64."""
    return {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 96,
        "vocab_size": 128,
        "max_position_embeddings": 2048,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        **changes,
    }


def llama_tensors(config: dict[str, Any], seed: int = 0) -> Arrays:
    """Float32 weights by name; norms are ones."""
    rng = np.random.default_rng(seed)
    h, kv = config["hidden_size"], config["num_key_value_heads"] * config["head_dim"]
    inner, vocab = config["intermediate_size"], config["vocab_size"]
    out: Arrays = {}

    def add(name: str, *shape: int) -> None:
        out[name] = (rng.standard_normal(shape) * 0.05).astype(np.float32)

    add("model.embed_tokens.weight", vocab, h)
    out["model.norm.weight"] = np.ones(h, np.float32)
    add("lm_head.weight", vocab, h)
    for n in range(config["num_hidden_layers"]):
        p = f"model.layers.{n}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            out[p + norm + ".weight"] = np.ones(h, np.float32)
        for name, rows, columns in (
            ("self_attn.q_proj", h, h),
            ("self_attn.k_proj", kv, h),
            ("self_attn.v_proj", kv, h),
            ("self_attn.o_proj", h, h),
            ("mlp.gate_proj", inner, h),
            ("mlp.up_proj", inner, h),
            ("mlp.down_proj", h, inner),
        ):
            add(f"{p}{name}.weight", rows, columns)
    return out


def write_llama(
    folder: Path, change: Callable[[Arrays], None] | None = None, *, seed: int = 0, **config: Any
) -> Path:
    """A checkpoint folder in BF16; ``change`` may alter the weights before they are stored."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = llama_config(**config)
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    tensors = llama_tensors(settings, seed)
    if change is not None:
        change(tensors)
    write_safetensors(
        folder / "model.safetensors",
        {name: ("BF16", as_bf16(values)) for name, values in tensors.items()},
    )
    return folder
