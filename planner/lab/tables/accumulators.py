"""What the accumulators of matrix units add to a layer's error, emulated on synthetic tensors.

``python -m planner.lab.tables.accumulators`` rewrites data/accumulators.json. For the operands
X̂ and Ŵ that a unit multiplies, and Y the sums it returns:

    added = ‖Y − X̂·Ŵᵀ‖² / ‖X·Wᵀ‖²

on a few positions and outputs over all inputs, by kind of module and number of inputs. The tensors
are those of the error tables, so that outlier channels and gated inputs are in them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from planner.lab.probe.accumulate import accumulator_error
from planner.lab.tables.errors import SEED, six
from planner.quality import synthetic
from planner.quality.synthetic import LINEAR_KINDS

VERSION = 1
INPUTS = (512, 2048, 8192, 32768)
POSITIONS, OUTPUTS = 16, 32
PATH = Path(__file__).resolve().parents[2] / "quality" / "data" / "accumulators.json"
SAMPLED = {
    "hopper-wgmma": ("fp8-channel", "hopper-wgmma", None),
    "hopper-wgmma/128": ("fp8-block", "hopper-wgmma", None),
    "ada": ("fp8-channel", "ada", None),
    "blackwell-tcgen05": ("fp8-channel", "blackwell-tcgen05", None),
    "blackwell-geforce": ("fp8-channel", "blackwell-geforce", None),
    "blackwell-block-scaled": ("nvfp4", "blackwell-block-scaled", None),
    "cdna3": ("fp8-channel", "cdna4", None),
    "cdna4": ("fp8-channel", "cdna4", None),
}
"""(scheme, unit, promotion) by path; /128: the scales of fp8-block take sums out every 128.

CDNA3 multiplies the codes of E4M3FN as FNUZ, which halves both operands: CDNA4's rule, which is
CDNA3's, on the codes as they are returns the same sums times four."""
METHOD = (
    "Relative output error power that a matrix unit adds to the exact product of the same rounded "
    "operands, on seeded synthetic tensors (planner/quality/synthetic.py), 16 positions and 32 "
    "outputs over all inputs, by path (unit, /128 with partial sums added in FP32 every 128 "
    "inputs), kind of module and number of inputs. Integer units are exact."
)


def build_tables(seed: int) -> dict[str, Any]:
    """``added[path][kind]``, one figure for each of ``inputs``."""
    return {
        "seed": seed,
        "version": VERSION,
        "method": METHOD,
        "inputs": list(INPUTS),
        "added": {
            path: {
                kind: [_added(kind, inputs, path, seed) for inputs in INPUTS]
                for kind in LINEAR_KINDS
            }
            for path in SAMPLED
        },
    }


def _added(kind: str, inputs: int, path: str, seed: int) -> float:
    spec = synthetic.linear_kind(kind, inputs, OUTPUTS)
    x = synthetic.activations(kind, seed, spec, tokens=POSITIONS)
    w = synthetic.weights(kind, seed, spec)
    scheme, unit, promote = SAMPLED[path]
    return six(
        accumulator_error(
            x, w, scheme, unit=unit, promote=promote, positions=POSITIONS, outputs=OUTPUTS
        ).added
    )


def to_json(tables: dict[str, Any]) -> str:
    """One line a path and kind."""
    head = {k: v for k, v in tables.items() if k != "added"}
    paths = ",\n".join(
        f"  {json.dumps(path)}: {{\n"
        + ",\n".join(f"   {json.dumps(kind)}: {json.dumps(row)}" for kind, row in kinds.items())
        + "\n  }"
        for path, kinds in tables["added"].items()
    )
    return json.dumps(head, indent=1)[:-2] + f',\n "added": {{\n{paths}\n }}\n}}\n'


def main() -> None:
    """Write the shipped table."""
    PATH.write_text(to_json(build_tables(SEED)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
