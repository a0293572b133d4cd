"""Recipes beside their sources: Four Over Six restated in torch from its reference implementation,
Hadamard matrices of scipy, stochastic rounding with few bits of gfloat."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.numerics.libraries import matrix
from evaluation.numerics.rows import Row, compared
from planner.numerics import Policy, decode, encode, hadamard, quantize

NEAR = "errors of 4 and 6 that are equal to float32's rounding: torch adds 16 squares in its order"


def rows(seed: int) -> Iterator[Row]:
    """Four Over Six, rotations, eight random bits."""
    yield from _four_over_six(matrix(seed))
    yield from _rotation(matrix(seed))
    yield from _stochastic(seed)


def _four_over_six(x: npt.NDArray[np.float32]) -> Iterator[Row]:
    import torch

    t, ours = torch.from_numpy(x), quantize(x, "nvfp4", scale_rule="four-over-six")
    largest, blocks = t.abs().max(), torch.from_numpy(x).reshape(-1, 16)
    whole = torch.tensor(6.0 * 256.0)
    decoded = 1 / (whole / largest)
    candidates = []
    for factor in (1.0, 1.5):
        raw = blocks.abs().amax(-1) / 6.0 * (whole / largest) * factor
        scale = raw.to(torch.float8_e4m3fn).float()
        scaled = torch.where(scale[:, None] != 0, blocks * (1 / (decoded * scale[:, None])), 0)
        value = _e2m1(scaled)
        back = value * scale[:, None] * largest / whole
        candidates.append((scale, value, ((back - blocks) ** 2).sum(-1)))
    four = candidates[1][2] < candidates[0][2]
    scale = torch.where(four, candidates[1][0], candidates[0][0])
    values = torch.where(four[:, None], candidates[1][1], candidates[0][1])
    near = (np.abs(candidates[1][2] - candidates[0][2]) <= 1e-6 * candidates[0][2]).numpy()
    source = "Four Over Six, reference of mit-han-lab/fouroversix restated"
    yield compared("tensor scale", source, np.float32(ours.tensor_scale), decoded.numpy())
    yield compared("block scales", source, ours.scales.reshape(-1), scale.numpy(), near, NEAR)
    yield compared(
        "values",
        source,
        decode(ours.codes, "e2m1").reshape(-1, 16),
        values.numpy(),
        near[:, None],
        NEAR,
    )


def _e2m1(x: Any) -> Any:
    """To nearest, ties to even, as the reference rounds: by halves, wholes and twos."""
    import torch

    size = x.abs()
    value = torch.where(
        size < 2,
        torch.round(2 * size) / 2,
        torch.where(size < 4, torch.round(size), 2 * torch.round(size / 2)),
    )
    return x.sign() * value


def _rotation(x: npt.NDArray[np.float32]) -> Iterator[Row]:
    import scipy
    from scipy.linalg import hadamard as matrix_of

    for size in (16, 32, 128):
        wide = x.astype(np.float64).reshape(-1, size) @ matrix_of(size) / np.sqrt(size)
        exact = wide.reshape(x.shape)
        ours = hadamard(x, size)
        close = np.abs(ours - exact) <= np.spacing(np.abs(ours)) + 1e-14 * np.abs(x).max()
        yield compared(
            f"rotation of {size}, within one unit in the last place",
            f"scipy {scipy.__version__}",
            close,
            np.ones_like(close),
        )


def _stochastic(seed: int) -> Iterator[Row]:
    import gfloat
    from gfloat import formats

    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(-7, 7, 4096), rng.standard_t(3, 4096)]).astype(np.float32)
    policy = Policy(
        "rs", overflow="saturate", infinity="saturate", rounding="stochastic", random_bits=8
    )
    for id, name in (
        ("e2m1", "format_info_ocp_e2m1"),
        ("e4m3fn", "format_info_ocp_e4m3"),
        ("e5m2", "format_info_ocp_e5m2"),
    ):
        draws = np.random.default_rng(seed + 1).integers(0, 256, x.shape, dtype=np.uint32)
        info = getattr(formats, name)
        rounded = gfloat.round_ndarray(
            info,
            x.astype(np.float64),
            gfloat.RoundMode.StochasticFastest,
            sat=True,
            srbits=draws.astype(np.int64),
            srnumbits=8,
        )
        ours = decode(encode(x, id, policy=policy, rng=np.random.default_rng(seed + 1)), id)
        yield compared(
            f"stochastic rounding to {id}, 8 bits",
            f"gfloat {version('gfloat')}",
            ours,
            np.asarray(rounded, np.float32),
        )
