"""FP4 × FP4 by both instructions of Blackwell beside MMA-Sim, on random bits."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from evaluation.numerics.rows import Row, compared
from planner.numerics import matmul

M, N = 64, 8
CASES = (
    ("blackwell-mxf8f6f4", "m128n8k32.kind::mxf8f6f4.block32.f32.e2m1.e2m1.ue8m0", 32),
    ("blackwell-block-scaled", "m128n8k64.kind::mxf4.block32.f32.e2m1.e2m1.ue8m0", 64),
)


def rows(seed: int) -> Iterator[Row]:
    """Chains of two instructions with an accumulator."""
    import torch
    from mmasim.nv_ptx import sim

    rng = np.random.default_rng(seed)
    for unit, instruction, k in CASES:
        operation = sim.TCGen05MMABlockScale("Blackwell", instruction)
        a = rng.integers(0, 16, (M, 2 * k)).astype(np.uint8)
        b = rng.integers(0, 16, (2 * k, N)).astype(np.uint8)
        sa = rng.integers(110, 140, (M, 2 * k // 32)).astype(np.uint8)
        sb = rng.integers(110, 140, (2 * k // 32, N)).astype(np.uint8)
        c = rng.normal(0, 8, (M, N)).astype(np.float32)
        out = torch.from_numpy(c.copy())
        for start in range(0, 2 * k, k):
            part, scales = slice(start, start + k), slice(start // 32, (start + k) // 32)
            left, right = a[:, part], b[part].T
            if k == 64:  # two codes to a byte, the first in the high half
                left, right = ((x[:, ::2] << np.uint8(4)) | x[:, 1::2] for x in (left, right))
            else:  # FP4 sits in bits 5:2 of its byte
                left, right = left << np.uint8(2), right << np.uint8(2)
            out = operation(
                torch.from_numpy(left.copy()),
                torch.from_numpy(right.copy()).T,
                out,
                torch.from_numpy(sa[:, scales].copy()).view(torch.float8_e8m0fnu),
                torch.from_numpy(sb[scales].copy()).view(torch.float8_e8m0fnu),
            )
        ours = matmul(
            a, b, a_format="e2m1", b_format="e2m1", unit=unit, c=c, a_scales=sa, b_scales=sb
        )
        yield compared(
            f"FP4 × FP4, {unit}",
            f"mmasim {version('mmasim')}",
            ours.view(np.uint32),
            out.numpy().view(np.uint32),
        )
