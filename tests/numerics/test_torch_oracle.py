"""torch's own casts as an oracle, on all upper halves and random patterns."""

import numpy as np
import pytest

from planner.numerics import encode

torch = pytest.importorskip("torch", reason="torch is not installed (the [oracle] extra)")

pytestmark = pytest.mark.oracle


def version() -> tuple[int, int]:
    major, minor = torch.__version__.split(".")[:2]
    return int(major), int(minor)


@pytest.mark.parametrize(("format", "name"), [
    ("e4m3fn", "float8_e4m3fn"), ("e5m2", "float8_e5m2"), ("bf16", "bfloat16")])
def test_casts_equal_torch(format, name):
    policy = "torch>=2.12" if version() >= (2, 12) else "torch<2.12"
    bits = np.concatenate([np.arange(65536, dtype=np.uint32) << 16,
                           np.random.default_rng(0).integers(0, 2**32, 1 << 18).astype(np.uint32)])
    x = bits.view(np.float32)
    cast = torch.from_numpy(x.copy()).to(getattr(torch, name))
    theirs = cast.view(torch.int16 if format == "bf16" else torch.uint8).numpy()
    number = ~np.isnan(x) if format == "bf16" else np.ones(x.shape, bool)
    ours = encode(x, format, policy=policy).view(theirs.dtype)
    assert (ours == theirs)[number].all()
