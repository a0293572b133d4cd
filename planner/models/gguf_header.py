"""Headers of GGUF files: metadata and tensor infos, nothing allocated on a header's word.

A file is magic, version, counts, key-value pairs, tensor infos, then data from the next multiple
of the alignment. Source: the GGUF specification (ggml-org/ggml, docs/gguf.md), versions 2 and 3.
The gguf library maps the file and makes an array of every value before anything is checked; counts
and lengths of hostile files are bounded here, so that it is not used.

:class:`Metadata` is the metadata by key, and what every family reads of it. Source of its keys:
ggml-org/llama.cpp gguf-py/gguf/constants.py and convert_hf_to_gguf.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

from planner.base.errors import DataError
from planner.base.files import check_regular
from planner.base.strict_json import short_repr
from planner.formats.ggml_types import GGML_WEIGHTS
from planner.models.fields import MAX_LAYERS
from planner.models.headers import file_size
from planner.models.storage import GGML_BLOCKS, stored_bytes

_DAMAGED = "the file is damaged or incomplete: convert or download it again"

MAX_HEADER_BYTES = 64 * 2**20
_MAX_KEY = 2**16
_MAX_ITEMS = 2 * 10**5
_MAX_TEXT = 2**20
_MAX_KEPT = 4096
_MAX_DIMENSIONS = 4
_MAX_SIZE = 2**62
_MAGIC = b"GGUF"
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_TEXT, _ARRAY = 8, 9
_TYPES = {
    0: "F32", 1: "F16", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    30: "BF16",
} | {one.number: one.name.upper() for one in GGML_WEIGHTS.values()}  # fmt: skip

Value = int | float | bool | str | tuple[int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor: ggml type, shape with the fastest axis last, offset in the data section [B]."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        """Bytes of the data [B]."""
        return stored_bytes(self.type, prod(self.shape))


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What the header says. Arrays of texts, and long ones, are not kept in ``metadata``.

    ``data_begin`` is where the data section starts in the file [B], ``header_end`` where the header
    ends.
    """

    version: int
    metadata: dict[str, Value]
    tensors: tuple[GgufTensor, ...]
    data_begin: int = 0
    header_end: int = 0


class Readable(Protocol):
    """What a header is read from."""

    def read(self, count: int, /) -> bytes:
        """The next ``count`` bytes, fewer at the end."""


class _Reader:
    """Reads from the front of a file; refuses to go beyond it or beyond the header's limit."""

    def __init__(self, file: Readable, size: int, place: str) -> None:
        self._file, self._limit, self.place = file, min(size, MAX_HEADER_BYTES), place
        self.size, self.position = size, 0

    def take(self, count: int) -> bytes:
        if count > self._limit - self.position:
            what = "is truncated" if self._limit == self.size else "is longer than 64 MiB"
            raise DataError(
                f"{self.place}: the header {what} at byte {self.position}", hint=_DAMAGED
            )
        text = self._file.read(count)
        if len(text) != count:
            raise DataError(f"{self.place}: the file shrank while it was read", hint=_DAMAGED)
        self.position += count
        return text

    def number(self, code: str) -> int:
        value: int = struct.unpack(code, self.take(struct.calcsize(code)))[0]
        return value

    def text(self, limit: int) -> str:
        length = self.number("<Q")
        if length > limit:
            raise DataError(
                f"{self.place}: a text of {length} bytes; the limit is {limit}", hint=_DAMAGED
            )
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{self.place}: a text is not UTF-8", hint=_DAMAGED) from None

    def count(self, what: str, least: int) -> int:
        """A count of items that take at least ``least`` bytes each."""
        value = self.number("<Q")
        if value > (self._limit - self.position) // least:
            raise DataError(
                f"{self.place}: {value} {what} do not fit into the header", hint=_DAMAGED
            )
        return value


def read_gguf_stream(stream: Readable, size: int, place: str) -> GgufFile:
    """The header of a GGUF file of ``size`` bytes [B] whose first ones ``stream`` gives.

    Raises:
        DataError: as :func:`read_gguf`.
    """
    return _read(_Reader(stream, size, place))


def read_gguf(path: Path, size_of: Callable[[Path], int] = file_size) -> GgufFile:
    """The header of one GGUF file; ``size_of`` says its bytes where ``path`` has the head alone.

    Raises:
        DataError: not GGUF, truncated, longer than 64 MiB, a repeated name, an unknown type, or
            data that overlaps, is not aligned, or leaves the file.
    """
    try:
        check_regular(path, hint="name a .gguf file", there=True)
        size = size_of(path)
        with path.open("rb") as file:
            return _read(_Reader(file, size, str(path)))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None


def _read(reader: _Reader) -> GgufFile:
    if reader.size < 24 or reader.take(4) != _MAGIC:
        raise DataError(
            f"{reader.place}: not a GGUF file",
            hint="name a .gguf file, or the folder of a safetensors checkpoint",
        )
    version = reader.number("<I")
    if version not in (2, 3):
        raise DataError(f"{reader.place}: GGUF version {version}; understood: 2 and 3, "
                        "little-endian",
                        hint="convert the model again with a current llama.cpp "
                             "(convert_hf_to_gguf.py)")  # fmt: skip
    tensors, pairs = reader.count("tensors", 24), reader.count("pairs", 13)
    if max(tensors, pairs) > _MAX_ITEMS:
        raise DataError(
            f"{reader.place}: {max(tensors, pairs)} items; the limit is {_MAX_ITEMS}", hint=_DAMAGED
        )
    metadata: dict[str, Value] = {}
    seen: set[str] = set()
    for _ in range(pairs):
        key = reader.text(_MAX_KEY)
        if key in seen:
            raise DataError(f"{reader.place}: key {short_repr(key)} is given twice", hint=_DAMAGED)
        seen.add(key)
        value = _value(reader, reader.number("<I"))
        if value is not None:
            metadata[key] = value
    infos = [_info(reader) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 8 <= alignment <= 2**20 or alignment % 8:
        raise DataError(
            f"{reader.place}: general.alignment is {short_repr(alignment)}", hint=_DAMAGED
        )
    begin = -(-reader.position // alignment) * alignment
    _check_layout(infos, reader.size - begin, alignment, reader.place)
    return GgufFile(version, metadata, tuple(infos), begin, reader.position)


def _value(reader: _Reader, kind: int) -> Value | None:
    """A metadata value; None for an array that is read over."""
    if kind in _SCALARS:
        code = _SCALARS[kind]
        scalar: int | float | bool = struct.unpack(code, reader.take(struct.calcsize(code)))[0]
        return scalar
    if kind == _TEXT:
        return reader.text(_MAX_TEXT)
    if kind != _ARRAY:
        raise DataError(f"{reader.place}: unknown metadata type {kind}", hint=_DAMAGED)
    inner = reader.number("<I")
    if inner == _TEXT:
        for _ in range(reader.count("texts", 8)):
            reader.take(reader.number("<Q"))
        return None
    if inner not in _SCALARS:
        raise DataError(f"{reader.place}: unknown type {inner} of array elements", hint=_DAMAGED)
    width = struct.calcsize(_SCALARS[inner])
    number = reader.count("array elements", width)
    data = reader.take(number * width)
    if number > _MAX_KEPT:
        return None
    return tuple(item for (item,) in struct.iter_unpack(_SCALARS[inner], data))


def _info(reader: _Reader) -> GgufTensor:
    name = reader.text(_MAX_KEY)
    place = f"{reader.place}: tensor {short_repr(name)}"
    dimensions = reader.number("<I")
    if dimensions > _MAX_DIMENSIONS:
        raise DataError(
            f"{place}: {dimensions} dimensions; the limit is {_MAX_DIMENSIONS}", hint=_DAMAGED
        )
    shape = tuple(reader.number("<Q") for _ in range(dimensions))[::-1]
    code, offset = reader.number("<I"), reader.number("<Q")
    if code not in _TYPES:
        raise DataError(
            f"{place}: unknown ggml type {code}",
            hint="quantise it to a type that `plan list formats` lists (llama-quantize)",
        )
    if any(size < 1 for size in shape) or prod(shape) > _MAX_SIZE:
        raise DataError(
            f"{place}: shape {'x'.join(map(str, shape))} is empty or too large", hint=_DAMAGED
        )
    block = GGML_BLOCKS.get(_TYPES[code], (1, 0))[0]
    if block > 1 and (not shape or shape[-1] % block):
        raise DataError(
            f"{place}: rows are not whole blocks of {block}, as {_TYPES[code]} needs", hint=_DAMAGED
        )
    return GgufTensor(name, _TYPES[code], shape, offset)


def _check_layout(tensors: list[GgufTensor], size: int, alignment: int, place: str) -> None:
    """Data must be aligned, apart, inside the file; names must differ."""
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise DataError(f"{place}: a tensor name is given twice", hint=_DAMAGED)
    end = 0
    for tensor in sorted(tensors, key=lambda item: item.offset):
        if tensor.offset % alignment:
            raise DataError(
                f"{place}: tensor {short_repr(tensor.name)} is not aligned to {alignment}",
                hint=_DAMAGED,
            )
        if tensor.offset < end:
            raise DataError(
                f"{place}: tensor {short_repr(tensor.name)} overlaps the one before it",
                hint=_DAMAGED,
            )
        end = tensor.offset + tensor.bytes
        if end > size:
            raise DataError(
                f"{place}: tensor {short_repr(tensor.name)} ends at byte {end} of {size} bytes of "
                "data; the file is truncated",
                hint=_DAMAGED,
            )


Config = dict[str, object]
DAMAGED = "the file is damaged or incomplete: convert or download it again"


class Metadata:
    """The keys of one architecture, and the tensors by name."""

    def __init__(self, file: GgufFile, architecture: str, path: Path) -> None:
        self._values, self._architecture, self._path = file.metadata, architecture, path
        self.shapes = {tensor.name: tensor.shape for tensor in file.tensors}

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number; the largest where every layer has its own.

        Raises:
            DataError: it is missing without a default, or no number.
        """
        value = self._values.get(f"{self._architecture}.{key}", default)
        if isinstance(value, tuple) and value:
            value = max(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(
                f"{self._path}: {self._architecture}.{key} is {short_repr(value)}; a whole "
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
            return (self.integer(key),) * layers
        if len(value) < layers or not all(isinstance(item, int) for item in value):
            raise DataError(
                f"{self._path}: {self._architecture}.{key} is {short_repr(value)}; a whole "
                f"number for each of {layers} layers is needed",
                hint=DAMAGED,
            )
        return tuple(int(item) for item in value[:layers])

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
        return any(shape.endswith(f".{name}") for shape in self.shapes)

    def width(self, name: str, axis: int = 0) -> int:
        """The size of a tensor along ``axis``, 0 where the file lacks it."""
        shape = self.shapes.get(name, ())
        return shape[axis] if len(shape) > axis else 0

    @property
    def prediction(self) -> int:
        """Prediction layers that the file holds; the count of blocks includes those it names."""
        named = self.integer("nextn_predict_layers", 0)
        return named if self.holds("nextn.eh_proj.weight") else 0

    @property
    def layers(self) -> int:
        """Layers of the model without those that predict.

        Raises:
            DataError: more than any model has, or fewer than none.
        """
        layer_count = self.integer("block_count") - self.integer("nextn_predict_layers", 0)
        if not 0 <= layer_count <= MAX_LAYERS:
            raise DataError(
                f"{self._path}: {self._architecture}.block_count gives {layer_count} layers",
                hint=DAMAGED,
            )
        return layer_count


def sizes(meta: Metadata) -> Config:
    """Sizes that every family reads."""
    embedding = meta.shapes.get("token_embd.weight", (0,))
    return {
        "hidden_size": meta.integer("embedding_length"), "num_hidden_layers": meta.layers,
        "vocab_size": embedding[0], "max_position_embeddings": meta.integer("context_length"),
        "torch_dtype": "bfloat16", "tie_word_embeddings": "output.weight" not in meta.shapes,
    }  # fmt: skip


def heads(meta: Metadata) -> Config:
    """Query heads, key and value heads, and their width where it is stated."""
    count = meta.integer("attention.head_count")
    config: Config = {
        "num_attention_heads": count,
        "num_key_value_heads": meta.integer("attention.head_count_kv", count),
    }
    if meta.has("attention.key_length"):
        config["head_dim"] = meta.integer("attention.key_length")
    return config


def shared_routing(meta: Metadata) -> Config:
    """Routed and shared experts in the keys of DeepSeek and GLM."""
    return {
        "n_routed_experts": meta.integer("expert_count"),
        "num_experts_per_tok": meta.integer("expert_used_count"),
        "moe_intermediate_size": meta.integer("expert_feed_forward_length"),
        "n_shared_experts": meta.integer("expert_shared_count", 0),
        "first_k_dense_replace": meta.integer("leading_dense_block_count", 0),
        "n_group": meta.integer("expert_group_count", 1),
        "topk_group": meta.integer("expert_group_used_count", 1),
        "intermediate_size": meta.integer("feed_forward_length"),
        "num_nextn_predict_layers": meta.prediction,
    }  # fmt: skip
