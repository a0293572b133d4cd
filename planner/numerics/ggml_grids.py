"""The grids of IQ1, IQ2 and IQ3: which combinations of levels each of these types can store.

The points are data of ggml (data/ggml_grids.toml).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import UnknownNameError

_DATA = Path(__file__).resolve().parent / "data" / "ggml_grids.toml"
GRIDS = ("iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq1_s")


@cache
def _document() -> Mapping[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))


@cache
def packed_points(name: str) -> npt.NDArray[np.uint16]:
    """The points of a grid in GRIDS in order, the index of each element's level in ``bits`` bits,
    that of the first element lowest: (points,).

    Raises UnknownNameError for another grid.
    """
    if name not in GRIDS:
        raise UnknownNameError("grid", name, GRIDS)
    table = _document()[name]
    digits = -(-table["bits"] * table["dimensions"] // 4)
    text = "".join(table["points"].split())
    points = np.array(
        [int(text[i : i + digits], 16) for i in range(0, len(text), digits)], dtype=np.uint16
    )
    points.setflags(write=False)
    return points


@cache
def grid(name: str) -> npt.NDArray[np.int8]:
    """The levels of the points of a grid in GRIDS: int8 (points, dimensions)."""
    points, table = packed_points(name), _document()[name]
    bits, dimensions = table["bits"], table["dimensions"]
    shifts = np.arange(dimensions, dtype=np.uint16) * np.uint16(bits)
    indices = points[:, None] >> shifts & np.uint16((1 << bits) - 1)
    levels = np.array(table["levels"], dtype=np.int8)
    values: npt.NDArray[np.int8] = levels[indices]
    values.setflags(write=False)
    return values
