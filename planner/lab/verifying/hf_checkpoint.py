"""A GGUF file as a folder that PyTorch and vLLM load: config.json and BF16 safetensors.

Values are those of the file's blocks rounded to BF16, to the nearest, ties to even. There is no
tokeniser in the folder: engines are given token ids. llama.cpp's converter permutes the rows of
queries and keys of LLaMA models for its rotary embedding, and adds 1 to Gemma's norms; both are
undone here (ggml-org/llama.cpp convert_hf_to_gguf.py, LlamaModel.permute, Gemma3Model).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.atomic_files import draft
from planner.base.errors import DataError, InputError, UnsupportedError
from planner.lab.verifying.safetensors_file import (
    HeaderEntry,
    TensorGroup,
    bf16_codes,
    write_safetensors,
)
from planner.models.gguf_header import GgufFile, GgufTensor, read_gguf
from planner.models.storage import GGML_BLOCKS
from planner.numerics import decode, ggml_decode

Floats = npt.NDArray[np.float32]
WEIGHTS = "model.safetensors"
_DAMAGED = "the file is damaged or incomplete: convert or download it again"
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NORMS = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}
_NORMS |= {"qwen2": _NORMS["llama"], "qwen3": _NORMS["llama"]}
_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_DATA = ("rope_freqs.weight",)
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
}
"""``general.architecture`` of a file → the class that its folder names."""


def folder_of_gguf(path: Path, folder: Path) -> None:
    """Write ``folder`` with the model of the GGUF file ``path``, which is whole or not there.

    Raises:
        InputError: the folder is there, or cannot be made.
        DataError: an invalid file, or metadata that is missing.
        UnsupportedError: an architecture whose names are not known here, or a scaled rotary
            embedding, which the metadata does not say in full.
    """
    gguf = read_gguf(path)
    config = config_of_gguf(gguf, path)
    if folder.exists():
        raise InputError(f"folder {str(folder)!r} exists", hint="name a new folder")
    beside = folder.with_name(f".{folder.name}.part")
    with draft(beside):
        beside.mkdir(parents=True)
        try:
            write_safetensors(beside / WEIGHTS, _parts(gguf, path))
            (beside / "config.json").write_text(
                json.dumps(config, indent=2) + "\n", encoding="utf-8", newline="\n"
            )
            beside.rename(folder)
        except OSError as error:
            raise InputError(
                f"folder {str(folder)!r} cannot be written: {error.strerror}",
                hint="nothing was kept: free some room, or name another place",
            ) from None


def config_of_gguf(gguf: GgufFile, path: Path) -> dict[str, Any]:
    """``config.json`` of the model of a GGUF file.

    Raises:
        DataError: metadata that is missing.
        UnsupportedError: an architecture that is not known here.
    """
    kind = gguf.metadata.get("general.architecture")
    if kind not in ARCHITECTURES or gguf.metadata.get(f"{kind}.expert_count"):
        raise UnsupportedError(
            f"{path}: architecture {kind!r} is not written as a folder",
            hint="give the model's safetensors folder; of GGUF files, "
            + ", ".join(ARCHITECTURES)
            + " without experts are known",
        )
    if gguf.metadata.get(f"{kind}.rope.scaling.type", "none") not in ("none", "") or any(
        tensor.name in _DATA for tensor in gguf.tensors
    ):
        raise UnsupportedError(
            f"{path}: a scaled rotary embedding, which a GGUF file does not say in full",
            hint="give the model's safetensors folder",
        )
    return _config(gguf, str(kind), path)


def _config(gguf: GgufFile, kind: str, path: Path) -> dict[str, Any]:
    shapes = {tensor.name: tensor.shape for tensor in gguf.tensors}
    width, heads = (
        _positive_int(gguf, kind, "embedding_length", path),
        _positive_int(gguf, kind, "attention.head_count", path),
    )
    head = gguf.metadata.get(f"{kind}.attention.key_length", width // heads)
    config: dict[str, Any] = {
        "architectures": [ARCHITECTURES[str(kind)]],
        "model_type": {"gemma3": "gemma3_text"}.get(kind, kind),
        "hidden_size": width,
        "num_hidden_layers": _positive_int(gguf, kind, "block_count", path),
        "num_attention_heads": heads,
        "head_dim": head,
        "num_key_value_heads": _positive_int(gguf, kind, "attention.head_count_kv", path),
        "intermediate_size": _positive_int(gguf, kind, "feed_forward_length", path),
        "max_position_embeddings": _positive_int(gguf, kind, "context_length", path),
        "rms_norm_eps": _epsilon(gguf, kind, path),
        "rope_theta": float(gguf.metadata.get(f"{kind}.rope.freq_base", 10000.0)),  # type: ignore[arg-type]
        "vocab_size": shapes["token_embd.weight"][0],
        "tie_word_embeddings": "output.weight" not in shapes,
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
        "bos_token_id": gguf.metadata.get("tokenizer.ggml.bos_token_id", 1),
        "eos_token_id": gguf.metadata.get("tokenizer.ggml.eos_token_id", 2),
    }
    if kind == "llama":
        config |= {"attention_bias": "blk.0.attn_q.bias" in shapes, "mlp_bias": False}
    if kind == "gemma3":
        config |= _gemma(gguf, int(head))  # type: ignore[arg-type]
    return config


def _gemma(gguf: GgufFile, head: int) -> dict[str, Any]:
    """What Gemma 3 has beside LLaMA: every sixth layer full, the others windows, with a base of
    their own. Source: huggingface/transformers configuration_gemma3.py."""
    layers = int(gguf.metadata["gemma3.block_count"])  # type: ignore[arg-type]
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": head,
        "sliding_window": gguf.metadata.get("gemma3.attention.sliding_window", 512),
        "rope_local_base_freq": 10000.0,
        "sliding_window_pattern": 6,
        "layer_types": [
            "full_attention" if (n + 1) % 6 == 0 else "sliding_attention" for n in range(layers)
        ],
    }


def hf_name(name: str, kind: str) -> str:
    """The checkpoint name of a GGUF tensor; empty for data that is no parameter.

    Raises:
        UnsupportedError: a tensor that is not known.
    """
    if name in _DATA:
        return ""
    stem, _, end = name.rpartition(".")
    if stem in _TOP_NAMES:
        return f"{_TOP_NAMES[stem]}.{end}"
    block, _, inside = stem.removeprefix("blk.").partition(".")
    target = (_LAYER_NAMES | _NORMS[kind]).get(inside)
    if target is None or not block.isdigit():
        raise UnsupportedError(
            f"tensor {name} has no known name in checkpoints of {kind}",
            hint="give the model's safetensors folder",
        )
    return f"model.layers.{block}.{target}.{end}"


def _parts(gguf: GgufFile, path: Path) -> Iterator[TensorGroup]:
    kind = str(gguf.metadata["general.architecture"])
    for tensor in gguf.tensors:
        name = hf_name(tensor.name, kind)
        if name:
            yield TensorGroup(
                (HeaderEntry(name, "BF16", tensor.shape),), _maker(gguf, tensor, kind, path)
            )


def _maker(
    gguf: GgufFile,
    tensor: GgufTensor,
    kind: str,
    path: Path,
) -> Callable[[], list[npt.NDArray[Any]]]:
    def make() -> list[npt.NDArray[Any]]:
        return [bf16_codes(_undone(_values(gguf, tensor, path), tensor.name, gguf, kind, path))]

    return make


def _undone(values: Floats, name: str, gguf: GgufFile, kind: str, path: Path) -> Floats:
    """What llama.cpp's converter did to a tensor, undone."""
    if kind == "gemma3" and name.endswith("norm.weight"):
        return values - np.float32(1)
    roles = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}
    role = roles.get(name.split(".")[-2])
    if kind != "llama" or role is None:
        return values
    heads = _positive_int(gguf, kind, role, path)
    shape = values.shape
    halves = values.reshape(heads, shape[0] // heads // 2, 2, *shape[1:])
    return halves.swapaxes(1, 2).reshape(shape)


def _values(gguf: GgufFile, tensor: GgufTensor, path: Path) -> Floats:
    with path.open("rb") as file:
        file.seek(gguf.data_begin + tensor.offset)
        raw = np.frombuffer(file.read(tensor.bytes), np.uint8)
    if raw.size != tensor.bytes:
        raise DataError(f"{path}: {tensor.name} is truncated", hint=_DAMAGED)
    if tensor.type == "F32":
        return raw.view("<f4").astype(np.float32).reshape(tensor.shape)
    if tensor.type in ("F16", "BF16"):
        return decode(
            raw.view("<u2"), tensor.type.lower().replace("f16", "fp16").replace("bfp16", "bf16")
        ).reshape(tensor.shape)
    if tensor.type not in GGML_BLOCKS:
        raise UnsupportedError(
            f"{path}: {tensor.name} is stored as {tensor.type}",
            hint="give the model's safetensors folder",
        )
    rows = int(np.prod(tensor.shape[:-1], dtype=np.int64))
    return ggml_decode(raw.reshape(rows, -1), tensor.type).reshape(tensor.shape)


def _positive_int(gguf: GgufFile, kind: str, key: str, path: Path) -> int:
    value = gguf.metadata.get(f"{kind}.{key}")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"{path}: {kind}.{key} is {value!r}", hint=_DAMAGED)
    return value


def _epsilon(gguf: GgufFile, kind: str, path: Path) -> float:
    key = f"{kind}.attention.layer_norm_rms_epsilon"
    value = gguf.metadata.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise DataError(f"{path}: {key} is {value!r}", hint=_DAMAGED)
    return float(np.float64(f"{value:.6g}"))
