"""Reads the vector sets of this folder; needs numpy and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


def read(kind: str, folder: Path = HERE) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """(description, arrays by name) of every set of ``kind``: codes, casts, blocks …"""
    data = (folder / f"{kind}.bin").read_bytes()
    for entry in json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))["sets"]:
        arrays = {}
        for name, (dtype, offset, *shape) in entry["arrays"].items():
            count = int(np.prod(shape))
            arrays[name] = np.frombuffer(data, dtype, count, offset).reshape(shape)
        yield {k: v for k, v in entry.items() if k != "arrays"}, arrays


if __name__ == "__main__":
    for path in sorted(HERE.glob("*.json")):
        for description, found in read(path.stem):
            shapes = {name: array.shape for name, array in found.items()}
            print(path.stem, json.dumps(description), shapes)
