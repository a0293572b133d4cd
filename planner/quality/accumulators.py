"""What a device's matrix unit adds to the error of a scheme, from data/accumulators.json.

The accumulator of Hopper's FP8 instructions keeps 13 fraction bits; kernels with block scales take
partial sums out every 128 inputs and add them in FP32. Integer sums are exact. The unit is known by
compute capability, or by AMD's target; what is not in the table is not guessed: Turing and Ampere
multiply no FP8, and block scales of CDNA4 are not modelled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from planner.base.records import record
from planner.formats.elements import element
from planner.formats.spec import Scheme

_DATA = Path(__file__).resolve().parent / "data" / "accumulators.json"
_BLOCK = 128
_UNITS = {
    "8.9": "ada",
    "9.0": "hopper-wgmma",
    "10.0": "blackwell-tcgen05",
    "10.3": "blackwell-tcgen05",
    "11.0": "blackwell-tcgen05",
    "12.0": "blackwell-geforce",
    "12.1": "blackwell-geforce",
    "gfx942": "cdna3",
    "gfx950": "cdna4",
}
_PROMOTED = ("hopper-wgmma",)
EXACT, UNKNOWN = "exact", ""


@record
class Accumulators:
    """``added[path][kind]``: relative error power at each of ``inputs``."""

    inputs: tuple[int, ...]
    added: Mapping[str, Mapping[str, tuple[float, ...]]]

    def error(self, path: str, kind: str, inputs: int) -> float:
        """Added error power of a product over ``inputs``; log-log between the tabulated numbers,
        the last one's beyond."""
        row = self.added[path][kind]
        # math's logarithm and exponential: the last bit of numpy's depends on its version.
        return math.exp(
            np.interp(
                math.log(inputs),
                [math.log(n) for n in self.inputs],
                [math.log(added) for added in row],
            )
        )


@cache
def load_accumulators() -> Accumulators:
    """The shipped table (read once)."""
    table = json.loads(_DATA.read_text(encoding="utf-8"))
    return Accumulators(
        tuple(table["inputs"]),
        {
            path: {kind: tuple(row) for kind, row in kinds.items()}
            for path, kinds in table["added"].items()
        },
    )


def path_of(compute_capability: str | None, scheme: Scheme, target: str = "") -> str:
    """The path in the table that a scheme's sums take on a device of NVIDIA's compute capability or
    of AMD's ``target`` (``gfx942``); EXACT for integers and for
    inputs of 16 bits and more, whose sums are part of the reference; UNKNOWN without a unit."""
    fmt = scheme.activation
    numbers = element(fmt.element)
    if fmt.scale is None or numbers.bits > 8 or numbers.kind != "float":
        return EXACT
    unit = _UNITS.get(compute_capability or target, UNKNOWN)
    if fmt.scale.block_columns in (0, _BLOCK):
        promoted = fmt.scale.block_columns == _BLOCK and unit in _PROMOTED
        return f"{unit}/{_BLOCK}" if promoted else unit
    return "blackwell-block-scaled" if unit.startswith("blackwell") else UNKNOWN
