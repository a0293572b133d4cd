"""Element casts beside ml_dtypes, gfloat and torch."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.numerics.rows import Row, compared
from planner.formats.elements import element
from planner.numerics import decode, encode
from planner.numerics.views import ML_DTYPES

Floats = npt.NDArray[np.float32]
TORCH = {
    "e4m3fn": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "e4m3fnuz": "float8_e4m3fnuz",
    "e5m2fnuz": "float8_e5m2fnuz",
}
GFLOAT = {
    "e4m3fn": "format_info_ocp_e4m3",
    "e5m2": "format_info_ocp_e5m2",
    "e3m2": "format_info_ocp_e3m2",
    "e2m3": "format_info_ocp_e2m3",
    "e2m1": "format_info_ocp_e2m1",
}


def inputs(seed: int) -> Floats:
    """Bit patterns: every upper half of a float32 alone and with its lower half barely and fully
    set, random ones, and the neighbours of ties of every format."""
    rng = np.random.default_rng(seed)
    upper = np.arange(65536, dtype=np.uint32) << np.uint32(16)
    ties = rng.integers(0, 1 << 16, 1 << 16, dtype=np.uint32) << np.uint32(16)
    near = ties + rng.integers(-2, 3, ties.size).astype(np.int32).view(np.uint32)
    parts = [
        upper,
        upper | np.uint32(1),
        upper | np.uint32(0x8000),
        upper | np.uint32(0xFFFF),
        near,
        rng.integers(0, 1 << 32, 1 << 18, dtype=np.uint32),
    ]
    bits: Floats = np.concatenate(parts).view(np.float32)
    return bits


def rows(seed: int) -> Iterator[Row]:
    """Encoding under the policy of each library, decoding of every code."""
    x = inputs(seed)
    yield from _ml_dtypes(x)
    yield from _torch(x)
    yield from _gfloat(x)


def _ml_dtypes(x: Floats) -> Iterator[Row]:
    import ml_dtypes

    for id, name in ML_DTYPES.items():
        dtype: Any = getattr(ml_dtypes, name)
        with np.errstate(all="ignore"):
            theirs = x.astype(dtype).view(np.uint8 if element(id).bits <= 8 else np.uint16)
        for engine in ("numpy", "numba"):
            yield compared(
                f"encode {id}",
                f"ml_dtypes {ml_dtypes.__version__}",
                encode(x, id, policy="ml_dtypes", engine=engine),
                theirs,
            )
        if element(id).bits <= 8:
            codes = np.arange(1 << element(id).bits, dtype=np.uint8)
            yield compared(
                f"decode {id}",
                f"ml_dtypes {ml_dtypes.__version__}",
                decode(codes, id),
                codes.view(dtype).astype(np.float32),
            )


def _torch(x: Floats) -> Iterator[Row]:
    import torch

    version = torch.__version__.split("+")[0]
    for id, name in TORCH.items():
        theirs = torch.from_numpy(x).to(getattr(torch, name)).view(torch.uint8).numpy()
        yield compared(
            f"encode {id}", f"torch {version}", encode(x, id, policy="torch>=2.12"), theirs
        )


def _gfloat(x: Floats) -> Iterator[Row]:
    import gfloat
    from gfloat import formats

    sample = x[np.isfinite(x)][::37].astype(np.float64)
    for id, name in GFLOAT.items():
        info = getattr(formats, name)
        theirs = gfloat.round_ndarray(info, sample, gfloat.RoundMode.TiesToEven, sat=True)
        yield compared(
            f"encode {id}",
            f"gfloat {version('gfloat')}",
            decode(encode(sample, id, policy="ocp-saturating"), id),
            np.asarray(theirs, np.float32),
        )
