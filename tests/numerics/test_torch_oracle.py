"""torch's own casts as an oracle, on all upper halves and random patterns."""

import numpy as np
import pytest

from planner.numerics import encode, quantize

torch = pytest.importorskip("torch", reason="torch is not installed (the [oracle] extra)")

pytestmark = pytest.mark.oracle


def version() -> tuple[int, int]:
    major, minor = torch.__version__.split(".")[:2]
    return int(major), int(minor)


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("e4m3fn", "float8_e4m3fn"),
        ("e5m2", "float8_e5m2"),
        ("bf16", "bfloat16"),
        ("fp16", "float16"),
        ("e8m0", "float8_e8m0fnu"),
    ],
)
def test_casts_equal_torch(format, name):
    policy = "torch>=2.12" if version() >= (2, 12) else "torch<2.12"
    with np.errstate(invalid="ignore"):
        halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    bits = np.concatenate(
        [
            np.arange(65536, dtype=np.uint32) << 16,
            halves.view(np.uint32),
            np.random.default_rng(0).integers(0, 2**32, 1 << 18).astype(np.uint32),
        ]
    )
    x = bits.view(np.float32)
    cast = torch.from_numpy(x.copy()).to(getattr(torch, name))
    theirs = cast.view(torch.int16 if format in ("bf16", "fp16") else torch.uint8).numpy()
    number = ~np.isnan(x) if format in ("bf16", "fp16") else np.ones(x.shape, bool)
    ours = encode(x, format, policy=policy).view(theirs.dtype)
    assert (ours == theirs)[number].all()


@pytest.mark.parametrize("reciprocal", [False, True])
def test_block_activations_equal_eager_torch(reciprocal):
    """DeepGEMM multiplies by 1/s, DeepSeek-V3's kernel divides; both clamp amax at 1e-4."""
    x = np.random.default_rng(1).standard_t(3, (64, 1024)).astype(np.float32)
    x[3], x[4] = 0, x[4] * np.float32(1e-6)
    blocks = torch.from_numpy(x).view(-1, 128)
    scale = blocks.abs().amax(dim=1, keepdim=True).clamp(1e-4) / 448.0
    scaled = blocks * (1.0 / scale) if reciprocal else blocks / scale
    codes = scaled.to(torch.float8_e4m3fn)
    q = quantize(x, "fp8-block", role="activation", reciprocal=reciprocal)
    assert (q.codes.reshape(-1, 128) == codes.view(torch.uint8).numpy()).all()
    assert (q.scales.reshape(-1, 1) == scale.numpy()).all()
    assert (q.dequantize().reshape(-1, 128) == (codes.float() * scale).numpy()).all()
