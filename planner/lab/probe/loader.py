"""Read a checkpoint that runs here: LLaMA-type GGUF or safetensors, BERT-type safetensors.

A loader: it reads files and nothing else in this package does. Weights become float32, whole, so
that this is for models that fit in memory; scans of large checkpoints go tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from planner.base.errors import DataError, UnsupportedError
from planner.base.strict_json import parse_object, read_config_bytes
from planner.lab.probe.decoder import Decoder, DecoderShape
from planner.lab.probe.encoder import Encoder
from planner.lab.probe.model import Floats, ProbeModel, Tokens, as_is, exact
from planner.models.gguf_header import GgufFile, read_gguf
from planner.models.headers import read_checkpoint, read_extents
from planner.models.storage import GGML_BLOCKS, STORED_TYPES
from planner.numerics import decode, ggml_decode

_PROBED = "probe the F32, BF16 or F16 checkpoint; `plan profile` without --tier measures this one"

_GGUF_NAMES = {
    "embedding": "token_embd.weight", "attention_norm": "blk.{}.attn_norm.weight",
    "q": "blk.{}.attn_q.weight", "k": "blk.{}.attn_k.weight", "v": "blk.{}.attn_v.weight",
    "o": "blk.{}.attn_output.weight", "mlp_norm": "blk.{}.ffn_norm.weight",
    "gate": "blk.{}.ffn_gate.weight", "up": "blk.{}.ffn_up.weight",
    "down": "blk.{}.ffn_down.weight", "output_norm": "output_norm.weight",
    "head": "output.weight",
}  # fmt: skip
_HF = "model.layers.{}."
_HF_NAMES = {
    "embedding": "model.embed_tokens.weight", "attention_norm": _HF + "input_layernorm.weight",
    "q": _HF + "self_attn.q_proj.weight", "k": _HF + "self_attn.k_proj.weight",
    "v": _HF + "self_attn.v_proj.weight", "o": _HF + "self_attn.o_proj.weight",
    "mlp_norm": _HF + "post_attention_layernorm.weight", "gate": _HF + "mlp.gate_proj.weight",
    "up": _HF + "mlp.up_proj.weight", "down": _HF + "mlp.down_proj.weight",
    "output_norm": "model.norm.weight", "head": "lm_head.weight",
}  # fmt: skip
_HF_OPTIONAL = {
    "q_bias": _HF + "self_attn.q_proj.bias", "k_bias": _HF + "self_attn.k_proj.bias",
    "v_bias": _HF + "self_attn.v_proj.bias", "q_norm": _HF + "self_attn.q_norm.weight",
    "k_norm": _HF + "self_attn.k_norm.weight",
}  # fmt: skip
_PLAIN_TYPES = {"F32": ("<f4", "fp32"), "F16": ("<u2", "fp16"), "BF16": ("<u2", "bf16")}
_DECODERS = ("llama", "qwen2", "qwen3", "mistral")


def load_probe_model(checkpoint: Path) -> ProbeModel:
    """The model in ``checkpoint``, a .gguf file or a folder of safetensors with config.json.

    Raises:
        DataError: an invalid or incomplete checkpoint.
        UnsupportedError: a family or a type that does not run here.
    """
    if checkpoint.suffix == ".gguf":
        return _gguf(checkpoint)
    place = checkpoint / "config.json"
    config: Mapping[str, Any] = parse_object(read_config_bytes(place), str(place))
    family = config.get("model_type")
    if family == "bert":
        return _bert(config, _safetensors(checkpoint))
    if family in _DECODERS:
        return _llama(config, _safetensors(checkpoint), str(checkpoint))
    raise UnsupportedError(
        f"{checkpoint}: models of type {family!r} do not run here",
        hint="probes run " + ", ".join((*_DECODERS, "bert")),
    )


def activations(checkpoint: Path, tokens: Tokens) -> Iterator[tuple[str, Floats]]:
    """(stored weight name, its inputs (positions, inputs)) of every linear layer, in order.

    ``tokens`` (chunks, length) are ids of the model's own vocabulary. Raises as
    :func:`load_probe_model`; InputError for ids outside the vocabulary.
    """
    model = load_probe_model(checkpoint)
    yield from layer_inputs(model, tokens)


def layer_inputs(model: ProbeModel, tokens: Tokens) -> Iterator[tuple[str, Floats]]:
    """As :func:`activations`, of a model in memory; one layer's inputs are held at a time."""
    plain, h = exact(model), model.embed(tokens)
    for index in range(model.layers):
        seen: dict[str, Floats] = {}

        def record(unit: str, x: Any, seen: dict[str, Floats] = seen) -> Any:
            seen[unit] = x.reshape(-1, x.shape[-1])
            return plain(unit, x)

        h = model.layer(index, h, record, as_is)
        yield from seen.items()


def _gguf(path: Path) -> Decoder:
    gguf = read_gguf(path)
    if gguf.metadata.get("general.architecture") != "llama":
        raise UnsupportedError(
            f"{path}: architecture {gguf.metadata.get('general.architecture')!r} does not run here",
            hint="of GGUF files, probes run the llama architecture",
        )
    heads = _positive_int(gguf, "attention.head_count", path)
    width = _positive_int(gguf, "embedding_length", path)
    shape = DecoderShape(
        layers=_positive_int(gguf, "block_count", path),
        heads=heads,
        kv_heads=_positive_int(gguf, "attention.head_count_kv", path),
        head_width=width // heads,
        rope_base=_number(gguf, "rope.freq_base", path),
        norm_epsilon=_number(gguf, "attention.layer_norm_rms_epsilon", path),
        interleaved=True,
    )
    weights = _gguf_weights(path, gguf)
    names = dict(_GGUF_NAMES)
    if names["head"] not in weights:
        names["head"] = names["embedding"]
    return _checked(Decoder(shape, names, weights), str(path))


def _gguf_weights(path: Path, gguf: GgufFile) -> dict[str, Floats]:
    weights: dict[str, Floats] = {}
    with path.open("rb") as file:
        for tensor in gguf.tensors:
            file.seek(gguf.data_begin + tensor.offset)
            raw = np.frombuffer(file.read(tensor.bytes), np.uint8)
            if tensor.type in GGML_BLOCKS:
                values = ggml_decode(raw, tensor.type)
            elif tensor.type in _PLAIN_TYPES:
                words, element = _PLAIN_TYPES[tensor.type]
                values = raw.view(words) if element == "fp32" else decode(raw.view(words), element)
            else:
                raise UnsupportedError(
                    f"{path}: no decoder for ggml type {tensor.type}", hint=_PROBED
                )
            weights[tensor.name] = values.astype(np.float32).reshape(tensor.shape)
    return weights


def _number(gguf: GgufFile, key: str, path: Path) -> float:
    value = gguf.metadata.get(f"llama.{key}")
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise DataError(
            f"{path}: llama.{key} is {value!r}",
            hint="the file is damaged or incomplete: convert or download it again",
        )
    return float(value)


def _positive_int(gguf: GgufFile, key: str, path: Path) -> int:
    value = _number(gguf, key, path)
    if value != int(value):
        raise DataError(
            f"{path}: llama.{key} is {value!r}",
            hint="the file is damaged or incomplete: convert or download it again",
        )
    return int(value)


def _safetensors(directory: Path) -> dict[str, Floats]:
    weights: dict[str, Floats] = {}
    for name in sorted({t.file for t in read_checkpoint(directory)}):
        with (directory / name).open("rb") as file:
            for extent in read_extents(directory / name)[0]:
                tensor = extent.tensor
                if tensor.dtype == "I64":
                    continue  # position ids, which are 0, 1, 2 …
                file.seek(extent.begin)
                raw = file.read(extent.end - extent.begin)
                weights[tensor.name] = _values(raw, tensor.dtype, tensor.name).reshape(tensor.shape)
    return weights


def _values(raw: bytes, dtype: str, name: str) -> Floats:
    if dtype == "F32":
        return np.frombuffer(raw, "<f4").astype(np.float32)
    if dtype in ("BF16", "F16"):
        element = STORED_TYPES[dtype].format
        assert element is not None
        return decode(np.frombuffer(raw, "<u2"), element)
    raise UnsupportedError(
        f"tensor {name} is stored as {dtype}; probes run F32, BF16 and F16", hint=_PROBED
    )


def _bert(config: Mapping[str, Any], weights: dict[str, Floats]) -> Encoder:
    if config.get("hidden_act") != "gelu":
        raise UnsupportedError(
            f"activation {config.get('hidden_act')!r} does not run here",
            hint="BERT-type probes run gelu",
        )
    return Encoder(
        int(config["num_hidden_layers"]),
        int(config["num_attention_heads"]),
        float(config["layer_norm_eps"]),
        weights,
    )


def _llama(config: Mapping[str, Any], weights: dict[str, Floats], place: str) -> Decoder:
    rope = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", rope.get("rope_type", "default")))
    if kind != "default":
        raise UnsupportedError(f"{place}: rotary scaling {kind!r} does not run here", hint=_PROBED)
    heads = int(config["num_attention_heads"])
    shape = DecoderShape(
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads", heads)),
        head_width=int(config.get("head_dim") or config["hidden_size"] // heads),
        rope_base=float(rope.get("rope_theta", config.get("rope_theta", 10000.0))),
        norm_epsilon=float(config["rms_norm_eps"]),
        interleaved=False,
    )
    names = _HF_NAMES | {
        role: name for role, name in _HF_OPTIONAL.items() if name.format(0) in weights
    }
    if names["head"] not in weights:
        names["head"] = names["embedding"]
    return _checked(Decoder(shape, names, weights), place)


def _checked(model: Decoder, place: str) -> Decoder:
    wanted = {name.format(n) for name in model.names.values() for n in range(model.layers)}
    missing = sorted(wanted - set(model.weights))
    if missing:
        raise DataError(
            f"{place}: tensor {missing[0]} is missing ({len(missing)} in all)",
            hint="the checkpoint is incomplete: download it again",
        )
    return model
