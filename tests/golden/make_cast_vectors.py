"""Writes cast_vectors.json: codes of fixed float32 patterns, from the exact reference.

``inputs`` is a string of 8 hex digits a pattern; ``codes`` maps "format policy" to 2 (4 for 16-bit
formats) hex digits a code. Presets that agree on every input are listed once, joined by commas.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from planner.formats.elements import element
from planner.numerics.policies import policy_names
from planner.numerics.reference import encode_reference

PATH = Path(__file__).with_name("cast_vectors.json")
FORMATS = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1", "e8m0", "ue4m3", "int8", "int4",
           "bf16", "fp16", "e4m3fnuz", "e5m2fnuz", "e4m3b11fnuz", "e4m3", "e3m4",
           "mxint8")  # fmt: skip
EDGES = (
    0,
    0x80000000,
    1,
    0x007FFFFF,
    0x00800000,
    0x3FFFFFFF,
    0x7F7FFFFF,
    0x7F800000,
    0xFF800000,
    0x7FC00000,
    0xFFC00000,
    0x7F800001,
    0x43E80000,
    0x43E80001,
    0x47700000,
    0x476FFFFF,
    0x477FF000,
    0x477FEFFF,
    0x3E800000,
    0x3F400000,
    0x3FC00000,
    0x3FA00000,
    0x40A00000,
)


def patterns() -> list[int]:
    """Edges, random patterns, exact and barely missed ties in the range of narrow formats."""
    draw = random.Random(8)
    found = [*EDGES, *(e ^ 0x80000000 for e in EDGES)]
    found += [draw.getrandbits(32) for _ in range(60)]
    for _ in range(150):
        exponent, top = draw.randrange(110, 145), draw.randrange(32)
        tie = exponent << 23 | top << 18 | draw.getrandbits(1) << 31
        found += [tie, tie + draw.choice((-1, 1, 2))]
    return found


def vectors() -> dict[str, object]:
    """The content of the file."""
    inputs = patterns()
    codes: dict[str, str] = {}
    for format in FORMATS:
        digits = 4 if element(format).bits == 16 else 2
        by_codes: dict[str, list[str]] = {}
        for policy in policy_names():
            line = "".join(
                f"{encode_reference(b, format, policy=policy):0{digits}x}" for b in inputs
            )
            by_codes.setdefault(line, []).append(policy)
        codes |= {f"{format} {','.join(names)}": line for line, names in by_codes.items()}
    return {"inputs": "".join(f"{b:08x}" for b in inputs), "codes": codes}


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
