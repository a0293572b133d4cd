"""Matrices that ggml quantisers are tried on."""

import numpy as np

F = np.float32


def values(rows=40, seed=0) -> np.ndarray:
    """Heavy tails; one-sided, constant, zero, tiny and mixed groups."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(3, (rows, 256)).astype(F)
    x[1] = np.abs(x[1])
    x[2] = -np.abs(x[2])
    x[3, ::2] = 0
    x[4, :64] = 1.5
    x[5, 32:96] = 0
    x[6] = 0
    x[7] *= F(1e-7)
    x[8, :128] *= F(1e-6)
    x[9] = rng.integers(-9, 9, 256)
    x[10, :32] = -2
    return x


def seeded(rows: int) -> np.ndarray:
    """(rows, 1024), the same everywhere: sums of three uniforms, rows of very different size."""
    raw = np.random.PCG64(11).random_raw(rows * 1024 * 3).reshape(3, rows, 1024)
    x = (raw >> np.uint64(40)).astype(np.float64).sum(axis=0) / 2**23 - 3
    return (x * 2.0 ** (np.arange(rows) % 9 - 4)[:, None]).astype(F)


def edges() -> np.ndarray:
    """(22, 256), the same everywhere: zeros, one outlier of either sign, constants, one-sided rows,
    a ramp of integers, ties, tiny and near-denormal rows, single live groups."""
    x = np.zeros((22, 256), F)
    x[1:] = seeded(21)[:, :256]
    x[1, :], x[1, 5], x[2, :], x[2, 7] = 0, 3, 0, -3
    x[3], x[4], x[5, ::16] = -1.5, 2.5, F(1)
    x[6], x[7] = np.arange(256) - 128, np.arange(256) % 8 / 2
    x[8, 3], x[9, 3], x[10, ::32] = 200, -200, -100
    x[11], x[12] = np.abs(x[11]) + 5, -np.abs(x[12]) - 5
    x[13, 16:], x[14, :240] = 0, 0
    for row, power in ((15, -20), (16, -30), (17, -60), (18, -100)):
        x[row] *= F(2.0**power)
    x[19, :128] *= F(2.0**-24)
    x[20] = np.where(x[20] > 0, F(1), F(-1))
    return x


def importance(columns: int) -> np.ndarray:
    """(columns,), the same everywhere: from 2^-20 to 2^19, every ninth column of none."""
    raw = np.random.PCG64(5).random_raw(columns)
    found = (raw >> np.uint64(40)).astype(F) * F(2.0**-24)
    found *= F(2.0) ** (np.arange(columns) % 40 - 20)
    found[::9] = 0
    return found.astype(F)
