"""The metadata of a GGUF file by key, and what every family reads of it.

Source: ggml-org/llama.cpp gguf-py/gguf/constants.py (keys) and convert_hf_to_gguf.py.
"""

from __future__ import annotations

from pathlib import Path

from planner.errors import DataError
from planner.models.fields import MAX_LAYERS
from planner.models.gguf_header import GgufFile
from planner.models.strict_json import shown

Config = dict[str, object]
DAMAGED = "the file is damaged or incomplete: convert or download it again"


class Metadata:
    """The keys of one architecture, and the tensors by name."""

    def __init__(self, file: GgufFile, architecture: str, path: Path) -> None:
        self._values, self._architecture, self._path = file.metadata, architecture, path
        self.shapes = {tensor.name: tensor.shape for tensor in file.tensors}

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number; the largest where every layer has its own.

        Raises:
            DataError: it is missing without a default, or no number.
        """
        value = self._values.get(f"{self._architecture}.{key}", default)
        if isinstance(value, tuple) and value:
            value = max(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(
                f"{self._path}: {self._architecture}.{key} is {shown(value)}; a whole "
                "number is needed",
                hint=DAMAGED,
            )
        return value

    def each(self, key: str, layers: int) -> tuple[int, ...]:
        """A number of every layer; one for all is repeated.

        Raises:
            DataError: it is missing, no whole number, or there are fewer than layers.
        """
        value = self._values.get(f"{self._architecture}.{key}")
        if not isinstance(value, tuple):
            return (self.whole(key),) * layers
        if len(value) < layers or not all(isinstance(one, int) for one in value):
            raise DataError(
                f"{self._path}: {self._architecture}.{key} is {shown(value)}; a whole "
                f"number for each of {layers} layers is needed",
                hint=DAMAGED,
            )
        return tuple(int(one) for one in value[:layers])

    def has(self, key: str) -> bool:
        """Whether the key is there, and not 0."""
        return bool(self._values.get(f"{self._architecture}.{key}"))

    def listed(self, key: str) -> bool:
        """Whether the key has a value for every layer."""
        return isinstance(self._values.get(f"{self._architecture}.{key}"), tuple)

    @property
    def place(self) -> str:
        """The file, in errors."""
        return str(self._path)

    def holds(self, name: str) -> bool:
        """Whether the file has a tensor of that name in any layer."""
        return any(one.endswith(f".{name}") for one in self.shapes)

    def width(self, name: str, axis: int = 0) -> int:
        """The size of a tensor along ``axis``, 0 where the file lacks it."""
        shape = self.shapes.get(name, ())
        return shape[axis] if len(shape) > axis else 0

    @property
    def prediction(self) -> int:
        """Prediction layers that the file holds; the count of blocks includes those it names."""
        named = self.whole("nextn_predict_layers", 0)
        return named if self.holds("nextn.eh_proj.weight") else 0

    @property
    def layers(self) -> int:
        """Layers of the model without those that predict.

        Raises:
            DataError: more than any model has, or fewer than none.
        """
        found = self.whole("block_count") - self.whole("nextn_predict_layers", 0)
        if not 0 <= found <= MAX_LAYERS:
            raise DataError(
                f"{self._path}: {self._architecture}.block_count gives {found} layers", hint=DAMAGED
            )
        return found


def sizes(meta: Metadata) -> Config:
    """Sizes that every family reads."""
    embedding = meta.shapes.get("token_embd.weight", (0,))
    return {
        "hidden_size": meta.whole("embedding_length"), "num_hidden_layers": meta.layers,
        "vocab_size": embedding[0], "max_position_embeddings": meta.whole("context_length"),
        "torch_dtype": "bfloat16", "tie_word_embeddings": "output.weight" not in meta.shapes,
    }  # fmt: skip


def heads(meta: Metadata) -> Config:
    """Query heads, key and value heads, and their width where it is stated."""
    count = meta.whole("attention.head_count")
    found: Config = {
        "num_attention_heads": count,
        "num_key_value_heads": meta.whole("attention.head_count_kv", count),
    }
    if meta.has("attention.key_length"):
        found["head_dim"] = meta.whole("attention.key_length")
    return found


def shared_routing(meta: Metadata) -> Config:
    """Routed and shared experts in the keys of DeepSeek and GLM."""
    return {
        "n_routed_experts": meta.whole("expert_count"),
        "num_experts_per_tok": meta.whole("expert_used_count"),
        "moe_intermediate_size": meta.whole("expert_feed_forward_length"),
        "n_shared_experts": meta.whole("expert_shared_count", 0),
        "first_k_dense_replace": meta.whole("leading_dense_block_count", 0),
        "n_group": meta.whole("expert_group_count", 1),
        "topk_group": meta.whole("expert_group_used_count", 1),
        "intermediate_size": meta.whole("feed_forward_length"),
        "num_nextn_predict_layers": meta.prediction,
    }  # fmt: skip
