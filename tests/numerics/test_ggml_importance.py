"""Quantisers of IQ1, IQ2 and IQ3, and of every type with an importance matrix, against ggml itself.

Where libggml-base is named by the variable GGML_LIBRARY, blocks are compared with it one by one.
"""

import ctypes
import hashlib
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ggml_blocks import edges, importance, seeded, values

from planner.base.errors import InputError, UnsupportedError
from planner.formats.ggml_types import GGML_WEIGHTS
from planner.numerics import ggml_grids
from planner.numerics.ggml import ggml_decode, ggml_encode, ggml_round_trip
from planner.numerics.ggml_grids import GRIDS, best_neighbour, iq_lattice, states_of

F = np.float32
LATTICES = ("iq3_s", "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s")
NEEDING = ("iq2_xs", "iq2_xxs", "iq1_s")
CASES = {"seeded": lambda: seeded(18), "edges": edges}

# sha256 of the bytes that ggml 0.25.3 itself (ggml_quantize_chunk, a build without fused
# multiply-adds) writes; "weighted" with the importance of support.ggml_blocks.
LIBRARY = {
    "iq3_s": {
        "seeded": "fec8d533b7db8f0b531b5d617b711c3a",
        "seeded weighted": "8db47a696dd97be1350ca5d05d14114a",
        "edges": "670a05c2299e3f2cda36c205e27ef91e",
        "edges weighted": "21a4c2f2f10efdc7d20065445aabb4d2"},
    "iq3_xxs": {
        "seeded": "76a103de942ba26c1590d81cd851b3d8",
        "seeded weighted": "40c38b213c226c39d9d0cb8ce1429223",
        "edges": "6348da7d7ecba9d2862dd4b32cf87c56",
        "edges weighted": "9f8bcb781d6430214801c92ab1d6e6e7"},
    "iq2_s": {
        "seeded": "06752a17e58b304f917834515194543a",
        "seeded weighted": "c279911a7ebed7e2df4cf1327c25284c",
        "edges": "060bb3c356ad6cd3ea2a34257a5441d0",
        "edges weighted": "c551937ada336b6c09e3107d1b56e745"},
    "iq2_xs": {
        "seeded weighted": "fbe8ffa8fe1c67701ed4a979bf865a29",
        "edges weighted": "cd52d9dc0906ac48c2c6ba5aa5a6c13a"},
    "iq2_xxs": {
        "seeded weighted": "b787d2fa8e8b41573f9ee4ce3528486d",
        "edges weighted": "7753bf32288379e1e2223d5da9621267"},
    "iq1_m": {
        "seeded": "4f75efacbac8ca82bc863a2a32d4cddb",
        "seeded weighted": "2e907043162a89a0d6564b502e019ab3",
        "edges": "6166a5818bd0b00fca117c925e96299d",
        "edges weighted": "65e91c28b5c2bf07c40daada498ee4d9"},
    "iq1_s": {
        "seeded weighted": "665550a6b257703dda6148ff7c52a5d6",
        "edges weighted": "11b3fc541b7ae74675d8fa6c96972389"},
    "q4_0": {
        "seeded weighted": "a68e037358dd287b3359d343e627affd",
        "edges weighted": "bb61af56d7e64505560812f81cdb3e13"},
    "q4_1": {
        "seeded weighted": "5e233d12a3c819b21a155b4cee776dae",
        "edges weighted": "ba961c89fcadc795babcf9fd9f9c5fbb"},
    "q5_0": {
        "seeded weighted": "abf173a0a585f8d22b1af6bef2d583f3",
        "edges weighted": "e889d0e23f165bd3ce3894f87363e89f"},
    "q5_1": {
        "seeded weighted": "44ce51e1b033b0b1b163af829c7e1424",
        "edges weighted": "2fbe07b9ec5e4ceef4781772fc8266b9"},
    "iq4_nl": {
        "seeded weighted": "5f4fbf4dc0269349fb8585c77b5508e5",
        "edges weighted": "f4c8ac6d3413f23f0bdaa7f6ca4708a2"},
    "iq4_xs": {
        "seeded weighted": "ec0e3237e084ce47f63d0e08f582590a",
        "edges weighted": "f4d6b75134d7643f0618441fcaa6ec0c"},
    "q2_k": {
        "seeded weighted": "0e45593a6bc09a6424aa8531cfbf7836",
        "edges weighted": "06c00190bdb0acef3e4a4681d2e111cc"},
    "q3_k": {
        "seeded weighted": "446137b62ec0a7a2f2156018c1a0f580",
        "edges weighted": "8b4a97f4f5cb833e3d2f290c11b1039b"},
    "q4_k": {
        "seeded weighted": "6b837a3e92de9c067bedb966ce69c16d",
        "edges weighted": "0d8974f26fc10161c34c16b09594895f"},
    "q5_k": {
        "seeded weighted": "ccfcc86ce9da3bd4204e539d1b6415e8",
        "edges weighted": "a8df45fa59963f032d544a3fe0252e11"},
    "q6_k": {
        "seeded weighted": "3f53e495e9f6b958e858d92ffd9a3779",
        "edges weighted": "6c0450dd028be2a69db4cc7b6544693d"},
}  # fmt: skip
WEIGHTED = tuple(LIBRARY)


@pytest.mark.sample(22)
@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, row in LIBRARY.items() for case in row]
)
def test_bytes_equal_those_of_the_library(name, case):
    which, _, weighted = case.partition(" ")
    x = CASES[which]()
    ours = ggml_encode(x, name, importance=importance(x.shape[1]) if weighted else None)
    assert hashlib.sha256(ours.tobytes()).hexdigest()[:32] == LIBRARY[name][case]


@pytest.mark.skipif(
    "GGML_LIBRARY" not in os.environ,
    reason="GGML_LIBRARY names no libggml-base.so; recorded digests stand for it",
)
@pytest.mark.parametrize("name", WEIGHTED)
def test_blocks_equal_those_of_a_library_at_hand(name):
    library = ctypes.CDLL(os.environ["GGML_LIBRARY"])
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        *[ctypes.c_int64] * 3,
        ctypes.c_void_p,
    ]
    kind, weights = GGML_WEIGHTS[name], importance(256)
    library.ggml_quantize_init(kind.number)
    for seed in range(4):
        x = np.ascontiguousarray(values(64, seed=seed))
        ours = ggml_encode(x, name, importance=weights)
        theirs = np.zeros_like(ours)
        library.ggml_quantize_chunk(
            kind.number, x.ctypes.data, theirs.ctypes.data, 0, *x.shape, weights.ctypes.data
        )
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", LATTICES)
def test_the_gguf_package_reads_what_is_written(name):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed (a test tool)")
    x = values(40, seed=3)
    stored = ggml_encode(x, name, importance=importance(256))
    theirs = gguf.quants.dequantize(stored, getattr(gguf.GGMLQuantizationType, name.upper()))
    np.testing.assert_array_equal(ggml_decode(stored, name), theirs)


@pytest.mark.sample(6)
@pytest.mark.parametrize("name", WEIGHTED)
def test_the_weighted_error_is_no_larger_with_importance(name):
    """What importance is for; the other way round, columns without importance lose more."""
    x, weights = seeded(18), importance(1024)
    even = np.ones(1024, F) if name in NEEDING else None

    def error(given):
        change = ggml_round_trip(x, name, importance=given).astype(np.float64) - x
        return float((weights * change**2).sum() / (weights * x.astype(np.float64) ** 2).sum())

    assert error(weights) < error(even)


@given(st.sampled_from(sorted(WEIGHTED)), st.integers(-6, 6), st.integers(0, 17))
@settings(max_examples=30)
def test_only_the_ratio_of_importance_counts(name, power, row):
    x, weights = seeded(row + 1)[row:, :256], importance(256)
    np.testing.assert_array_equal(
        ggml_encode(x, name, importance=weights),
        ggml_encode(x, name, importance=weights * F(4.0**power)),
    )


@pytest.mark.parametrize("name", ["q8_0", "mxfp4", "nvfp4", "tq2_0"])
def test_types_that_take_no_importance_are_written_alike(name):
    x = seeded(3)
    np.testing.assert_array_equal(
        ggml_encode(x, name, importance=importance(1024)), ggml_encode(x, name)
    )


@pytest.mark.parametrize("name", NEEDING)
def test_types_that_need_importance_say_so(name):
    with pytest.raises(UnsupportedError, match="with an importance matrix only"):
        ggml_encode(seeded(1), name)


@pytest.mark.parametrize("bad", [[1.0] * 3, [-1.0] * 1024, [np.nan] * 1024])
def test_importance_of_another_shape_or_sign_is_refused(bad):
    with pytest.raises(InputError, match="importance"):
        ggml_encode(seeded(1), "q4_k", importance=np.array(bad, F))


@pytest.mark.parametrize("name", GRIDS)
def test_neighbours_are_all_points_at_the_smallest_distances(name):
    lattice = iq_lattice(name)
    rng = np.random.default_rng(1)
    for state in rng.choice(np.flatnonzero(lattice.of_state < 0), 20):
        digits = np.array(
            [state // lattice.levels**k % lattice.levels for k in range(lattice.width)]
        )
        distance = ((lattice.points.T - digits) ** 2).sum(axis=1)
        start = lattice.start[state]
        ours = lattice.neighbours[start : start + lattice.count[state]]
        shells = np.unique(distance[ours])
        assert set(ours) == set(np.flatnonzero(distance <= shells.max()))
        assert (np.diff(distance[ours]) >= 0).all()
        assert list(shells) == sorted(set(distance))[: shells.size]


def test_numba_finds_the_same_points(monkeypatch):
    pytest.importorskip("numba", reason="numba is not installed (an extra)")
    lattice, rng = iq_lattice("iq2_s"), np.random.default_rng(4)
    levels = rng.integers(0, 3, (8, 3000))
    states = states_of(levels, 3)
    states = states[lattice.of_state[states] < 0]
    x, w = rng.random((2, 8, states.size), F)
    scale, tables = rng.random(states.size, F), np.array([[1, 3, 5], [2, 3, 4]], F)
    which = rng.integers(0, 2, states.size).astype(np.int32)
    found = []
    for least in (1, 1 << 30):
        monkeypatch.setattr(ggml_grids, "WORTH_COMPILING", least)
        found.append(best_neighbour(lattice, states, x, w, scale, tables, which))
    np.testing.assert_array_equal(*found)


def test_a_group_of_zeros_moves_those_after_it_in_iq3_s():
    """As in ggml, where the pointers to indices and signs do not move on: the values that come back
    are of the group before."""
    x = seeded(1)[:, :256].copy()
    x[:, :32] = 0
    stored = ggml_encode(x, "iq3_s")
    assert stored[0, 2 + 56 : 2 + 64].tolist() == [0] * 8
    assert (ggml_decode(stored, "iq3_s")[0, :32] != 0).any()
