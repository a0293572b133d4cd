"""All public tensor-core results of real GPUs: 240,000 outputs, no mismatch. `make exhaustive` asks
for all of them, `make test` for every 19th of each set.

The file is read where it lies, beside the repository; its layout: for DEVICE/FORMAT the rows
``a`` (5000, K) and ``b`` (5000, K) of codes, ``c_f32bits`` (5000,), and per accumulator
``d_fp32_as_f32bits`` or ``d_fp16_as_f32bits``. Output i is row i of a times row i of b plus c[i].
Source: north-numerical-computing/MATLAB-tensor-core (BSD-2-Clause), arXiv 2512.07004.
"""

from pathlib import Path

import numpy as np
import pytest

from planner.numerics import matmul
from planner.numerics.fast_fused import numba_available

PATH = Path(__file__).resolve().parents[2] / ".." / "shared" / "hw_vectors" / "tc_hw_vectors.npz"
FORMATS = {"fp16": "fp16", "bf16": "bf16", "tf32": "tf32", "E4M3": "e4m3fn", "E5M2": "e5m2"}
UNITS = {
    "V100": "volta",
    "A100": "ampere",
    "A2": "ampere",
    "Ada": "ada",
    "L40S": "ada",
    "H100": "hopper-mma",
    "H200": "hopper-mma",
    "B200": "blackwell-mma",
}
ROWS = 25
STEP = 19  # a prime: it falls in with no order of the rows


@pytest.fixture(scope="module")
def vectors():
    if not PATH.exists():
        pytest.skip(f"the vectors of real GPUs are not at {PATH}")
    with np.load(PATH) as file:
        return {name: file[name] for name in file.files}


def results(vectors):
    """(device, format, accumulator, key) of every set of outputs."""
    for name in sorted(vectors):
        device, format, field = name.split("/")
        if field.startswith("d_"):
            yield device, format, field.split("_")[1], name


def mismatches(vectors, device, format, accumulator, unit, engine, step):
    a, b, c = (vectors[f"{device}/{format}/{x}"][::step] for x in ("a", "b", "c_f32bits"))
    want = vectors[f"{device}/{format}/d_{accumulator}_as_f32bits"][::step]
    # FP8 into FP32 was measured on Hopper without an accumulator.
    if device in ("H100", "H200") and format.startswith("E") and accumulator == "fp32":
        c = np.zeros_like(c)
    wrong = 0
    for start in range(0, len(a), ROWS):
        rows = slice(start, start + ROWS)
        square = np.zeros((len(want[rows]),) * 2, dtype=np.float32)
        np.fill_diagonal(square, c[rows].view(np.float32))
        got = matmul(
            a[rows],
            b[rows].T,
            a_format=FORMATS[format],
            b_format=FORMATS[format],
            unit=unit,
            c=square,
            accumulator_format=accumulator,
            engine=engine,
        )
        wrong += int((got.diagonal().copy().view(np.uint32) != want[rows]).sum())
    return wrong, len(a)


EACH = pytest.mark.parametrize("step", [STEP, pytest.param(1, marks=pytest.mark.exhaustive)])


@EACH
def test_every_result_of_real_gpus(vectors, step):
    total, wrong = 0, {}
    for device, format, accumulator, name in results(vectors):
        bad, count = mismatches(vectors, device, format, accumulator, UNITS[device], "numpy", step)
        total += count
        if bad:
            wrong[name] = bad
    assert wrong == {}
    assert total == sum(len(vectors[name][::step]) for *_, name in results(vectors))
    assert total == 240_000 if step == 1 else total > 12_000


@EACH
def test_the_compiled_engine_too(vectors, step):
    if not numba_available():
        pytest.skip("numba is not installed (the [fast] extra)")
    for device, format, accumulator, name in results(vectors):
        if accumulator == "fp32":
            bad, _ = mismatches(vectors, device, format, accumulator, UNITS[device], "numba", step)
            assert bad == 0, name


@EACH
@pytest.mark.parametrize(
    ("device", "unit"),
    [("H100", "hopper-wgmma"), ("H200", "hopper-wgmma"), ("B200", "blackwell-tcgen05")],
)
def test_units_that_share_an_arithmetic(vectors, device, unit, step):
    for found, format, accumulator, name in results(vectors):
        fp8 = format.startswith("E")
        if found != device or (fp8 and (accumulator == "fp16" or device == "B200")):
            continue
        bad, _ = mismatches(vectors, device, format, accumulator, unit, "numpy", step)
        assert bad == 0, name


@EACH
def test_the_vectors_tell_units_apart(vectors, step):
    """A wrong unit is noticed: the check can fail."""
    for device, format, accumulator, unit in [
        ("H100", "E4M3", "fp32", "blackwell-tcgen05"),
        ("H100", "E4M3", "fp16", "hopper-wgmma"),
        ("B200", "E5M2", "fp32", "blackwell-tcgen05"),
        ("A100", "fp16", "fp32", "volta"),
        ("L40S", "E4M3", "fp32", "hopper-wgmma"),
    ]:
        bad, count = mismatches(vectors, device, format, accumulator, unit, "numpy", step)
        assert bad > count / 50
