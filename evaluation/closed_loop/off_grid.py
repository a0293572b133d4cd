"""A base model in BF16 from a quantised release: weights off the grid they were stored on.

Small real weights that packages carry are quantised already (Q4_1, Q4_K_M). Quantised again in the
same format they would lose nothing, and any comparison of formats would favour that one. So each
weight moves by an independent uniform draw of half a step of its own grid to either side: what it
may have been before it was rounded. The draw's seed is the tensor's name, so that the file is the
same everywhere. The result is a model of its own, near the release, and the reference of the loop.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import gguf
import numpy as np

BLOCK = 16
"""Weights over which a step is looked for: no ggml type has a scale for fewer."""
SEED = "precision-planner closed loop 1"


def steps_of(values: np.ndarray) -> np.ndarray:
    """The step of the grid of each run of BLOCK values [rows × blocks], read off the values: the
    least difference between two that are not the same; 0 where all are alike."""
    blocks = np.sort(values.reshape(-1, BLOCK), axis=1)
    gaps = np.diff(blocks, axis=1)
    # Codes times a scale in float32 repeat to a few units in the last place.
    same = gaps <= 1e-4 * np.abs(blocks).max(axis=1, keepdims=True)
    least = np.where(same, np.inf, gaps).min(axis=1)
    return np.where(np.isfinite(least), least, 0.0).reshape(*values.shape[:-1], -1)


def moved(name: str, values: np.ndarray) -> np.ndarray:
    """``values`` [float32, rows × columns] off their grid; the draw depends on ``name`` alone."""
    digest = hashlib.sha256(f"{SEED} {name}".encode()).digest()
    draws = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
    shift = draws.random(values.shape, dtype=np.float32) - np.float32(0.5)
    return values + shift * np.repeat(steps_of(values), BLOCK, axis=-1).astype(np.float32)


def write_base(source: Path, target: Path) -> int:
    """Write ``target``, the GGUF file ``source`` with its quantised matrices off their grid in BF16
    and the rest as it was; the number of matrices that moved. Nothing is left half written.

    Raises:
        ValueError: a quantised matrix whose rows are no multiple of BLOCK.
    """
    reader = gguf.GGUFReader(source)
    half = target.with_suffix(".part")
    writer = gguf.GGUFWriter(half, str(reader.fields["general.architecture"].contents()))
    _copy_fields(reader, writer)
    count = 0
    for tensor in reader.tensors:
        kind = tensor.tensor_type
        if kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.BF16):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=kind)
            continue
        values = gguf.quants.dequantize(tensor.data, kind).astype(np.float32)
        if values.shape[-1] % BLOCK:
            raise ValueError(f"{tensor.name}: rows of {values.shape[-1]} weights")
        stored = gguf.quants.quantize(moved(tensor.name, values), gguf.GGMLQuantizationType.BF16)
        writer.add_tensor(tensor.name, stored, raw_dtype=gguf.GGMLQuantizationType.BF16)
        count += 1
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shutil.move(half, target)
    return count


def _copy_fields(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, inner)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
