"""The instructions of :mod:`support.mmasim_instructions` as MMA-Sim computes them.

``python tests/support/mmasim_runs.py`` (with the [oracle] extra and ``tests`` on PYTHONPATH) writes
the digests of its outputs to tests/golden/mmasim.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from support.mmasim_instructions import INSTRUCTIONS, KINDS, Inputs, Instruction, digest, inputs

DIGESTS = Path(__file__).resolve().parents[1] / "golden" / "mmasim.json"
TORCH = {"e4m3fn": "float8_e4m3fn", "e5m2": "float8_e5m2", "fp16": "float16", "bf16": "bfloat16",
         "tf32": "float32", "fp32": "float32", "fp64": "float64", "e4m3fnuz": "float8_e4m3fnuz",
         "e5m2fnuz": "float8_e5m2fnuz"}  # fmt: skip


def theirs(one: Instruction, given: Inputs) -> np.ndarray:
    """The outputs of MMA-Sim, which is imported (and its library built) here."""
    import torch
    from mmasim.amd import sim as amd
    from mmasim.nv_ptx import sim as nvidia

    operation = getattr(amd if one.operation == "MFMA" else nvidia, one.operation)(
        one.arch, one.name
    )
    c = torch.from_numpy(given.c.copy())
    if not one.scale:
        out = operation(_tensor(given.a, one.a), _tensor(given.b, one.b), c)
        return np.asarray((out if one.c == "fp64" else out.float()).numpy())
    if one.k == 64:  # two codes to a byte, the first in the high half
        a, b = (
            torch.from_numpy((x[:, ::2] << np.uint8(4)) | x[:, 1::2]) for x in (given.a, given.b.T)
        )
        b = b.T
    else:
        a, b = _tensor(given.a, one.a), _tensor(given.b, one.b)
    dtype = torch.float8_e8m0fnu if one.scale == "e8m0" else torch.float8_e4m3fn
    scales = [
        torch.from_numpy(np.ascontiguousarray(s)).view(dtype)
        for s in (given.a_scales, given.b_scales)
    ]
    return np.asarray(operation(a, b, c, *scales).numpy())


def _tensor(codes: np.ndarray, format: str) -> Any:
    import torch

    if format not in TORCH:  # FP6 in bits 5:0 of its byte, FP4 in bits 5:2
        return torch.from_numpy(codes << np.uint8(2 if format == "e2m1" else 0))
    plain = np.ascontiguousarray(codes)
    return torch.from_numpy(plain.view(f"i{plain.itemsize}")).view(getattr(torch, TORCH[format]))


def modelled() -> set[str]:
    """The ids of all instructions that the installed MMA-Sim has, whatever their M and N."""
    from mmasim.amd import isa_mfma
    from mmasim.nv_ptx import isa_mma, isa_tcgen05mma, isa_wgmma

    tables = {"MMA": isa_mma.mma_shape_and_type,
              "MMABlockScale": isa_mma.mma_block_scale_shape_and_type,
              "WGMMA": isa_wgmma.wgmma_shape_and_type,
              "TCGen05MMA": isa_tcgen05mma.tcgen05mma_shape_and_type,
              "TCGen05MMABlockScale": isa_tcgen05mma.tcgen05mma_block_scale_shape_and_type,
              "MFMA": isa_mfma.arch_mfma_suffix}  # fmt: skip
    fixed = {"WGMMA": "m64n16k", "TCGen05MMA": "m64n16k", "TCGen05MMABlockScale": "m128n16k"}
    return {
        f"{operation} {arch} {name}"
        for operation, archs in tables.items()
        for arch, names in archs.items()
        for name in names
        if name.startswith(fixed.get(operation, ""))
    }


def main() -> None:
    """Write the digests."""
    found = {
        one.id: [digest(theirs(one, inputs(one, kind))) for kind in KINDS]
        for one in INSTRUCTIONS.values()
    }
    DIGESTS.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    print(f"{len(found)} instructions, {len(KINDS)} digests each")


if __name__ == "__main__":
    sys.exit(main())
