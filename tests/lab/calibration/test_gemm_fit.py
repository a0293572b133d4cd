"""GEMM and quantise fits: known parameters come back; public tables stay within their gates."""

import csv
from pathlib import Path

import numpy as np
import pytest

from planner.base.errors import DataError
from planner.hardware.catalog import resolve_device
from planner.lab.calibration import gemm, quantise
from planner.lab.calibration.problem import FitProblem, refit, solve, spanning
from planner.throughput.forms.gemm import Operands, gemm_form, gemm_parts, mechanisms
from planner.throughput.silicon import chip

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "measured"
TRUE = {
    "launch_seconds": 3e-6,
    "compute_fraction": 0.7,
    "bandwidth_fraction": 0.8,
    "fill_elements": 300.0,
    "wave_weight": 0.6,
    "narrow_penalty": 0.2,
    "quantise_passes": 2.0,
    "row_elements": 300.0,
    "load_intensity": 60.0,
    "cached_factor": 1.5,
    "long_slowdown": 0.05,
    "shortest_tile": 128.0,
    "narrowest_tile": 32.0,
    "least_rows": 128.0,
}
GATES = {  # mean, median [%] on shapes kept back
    ("trtllm", "bf16"): (7.5, 5.5),
    ("vllm", "bf16"): (6.5, 5),
    ("trtllm", "fp8-tensor"): (5.5, 4.6),
    ("vllm", "fp8-tensor"): (7.5, 5.5),
    ("trtllm", "fp8-block"): (5.3, 4),
    ("trtllm", "nvfp4"): (3.5, 2.5),
    ("vllm", "nvfp4"): (7.5, 6.3),
}
CARRIED = {"bf16": 14, "fp8-tensor": 16, "fp8-block": 20}
"""H100's parameters on B200: mean error [%]."""


def made_up(device: str = "h100_sxm") -> list[dict[str, str]]:
    """A table whose times follow the form at TRUE exactly."""
    figures = chip(resolve_device(device.replace("_", "-")))
    assert figures is not None
    form = gemm_form(TRUE, figures, Operands("fp8", 1.0, 1.0), mechanisms("vllm", "fp8-tensor"))
    shapes = [
        (m, n, k)
        for m in (1, 16, 128, 500, 4096, 20000)
        for n in (512, 1536, 4096, 12288)
        for k in (1024, 2048, 7168, 16384)
    ]
    m, n, k = np.array(shapes, dtype=np.float64).T
    seconds = gemm_parts(form, m=m, n=n, k=k, cold=False).total()
    return [
        {
            "device": device,
            "software": "vllm 9.9",
            "w_a_dtype": "fp8",
            "m": str(a),
            "n": str(b),
            "k": str(c),
            "latency_us": repr(t * 1e6),
        }
        for (a, b, c), t in zip(shapes, seconds.tolist(), strict=True)
    ]


def test_known_parameters_come_back() -> None:
    [(device, fit)] = gemm.fit_tables(made_up())
    assert (device, fit.stack, fit.software, fit.variant) == (
        "h100-sxm",
        "vllm",
        "9.9",
        "fp8-tensor",
    )
    assert fit.error.mean < 0.005
    for name in ("launch_seconds", "compute_fraction", "bandwidth_fraction"):
        assert fit.parameters[name] == pytest.approx(TRUE[name], rel=0.1), name
    assert fit.error.rows + fit.error.held_out == 96


def test_a_third_of_the_shapes_is_kept_back_whole() -> None:
    [problem] = gemm.problems(made_up())
    seen = {(row[1], row[2]) for row in np.rint(np.exp(problem.features[problem.train]))}
    kept = {(row[1], row[2]) for row in np.rint(np.exp(problem.features[problem.test]))}
    assert seen
    assert kept
    assert not seen & kept


@pytest.mark.exhaustive
def test_few_rows_refit_the_device_only() -> None:
    [(_, base)] = gemm.fit_tables(made_up("h100_sxm"))
    [problem] = gemm.problems(made_up("b200_sxm"))
    found = refit(problem, base, 24)
    assert found.error.rows == 24
    assert found.error.held_out == 96 - 24
    assert found.error.mean < 0.03
    for name in ("fill_elements", "wave_weight", "narrow_penalty", "long_slowdown"):
        assert found.parameters[name] == base.parameters[name]
    with pytest.raises(DataError, match="cannot be fitted"):
        refit(problem, base, 2)
    with pytest.raises(DataError, match="cannot be fitted"):
        refit(problem, base, 96)


def test_rows_that_span_are_spread_and_the_same_every_time() -> None:
    grid = np.array([(a, b) for a in range(10) for b in range(10)], dtype=np.float64)
    chosen = spanning(grid, 20)
    assert len(set(chosen.tolist())) == 20
    np.testing.assert_array_equal(chosen, spanning(grid, 20))
    quadrants = (grid[chosen] >= 5) @ [1, 2]
    assert all(3 <= (quadrants == q).sum() <= 7 for q in range(4))


@pytest.mark.exhaustive
def test_too_few_rows_are_an_error() -> None:
    [problem] = gemm.problems(made_up()[:20])
    with pytest.raises(DataError, match="too few"):
        solve(problem)


def rows(name: str, *devices: str) -> list[dict[str, str]]:
    path = DATA / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"{name}.csv is not beside the repository")
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["device"] in devices]


@pytest.fixture(scope="module")
def public() -> list[FitProblem]:
    devices = ("h100_sxm", "b200_sxm")
    return gemm.problems(rows("op_gemm", *devices))


def error(problem: FitProblem, parameters: dict[str, float]) -> tuple[float, float]:
    test = problem.test
    off = np.abs(problem.predict(parameters, test) / problem.measured[test] - 1) * 100
    return float(off.mean()), float(np.median(off))


def test_packaged_sets_keep_their_gates_on_shapes_kept_back(public: list[FitProblem]) -> None:
    assert len(public) == 12
    for problem in public:
        fit = resolve_device(problem.device).fitted["gemm", problem.stack, problem.variant]
        mean, median = error(problem, dict(fit.parameters))
        assert (mean, median) <= GATES[problem.stack, problem.variant], problem.name
        assert median <= GATES[problem.stack, problem.variant][1], problem.name
        assert mean == pytest.approx(100 * fit.error.mean, abs=0.1)


def test_a_spec_sheet_carries_h100_to_b200(public: list[FitProblem]) -> None:
    h100 = resolve_device("h100-sxm")
    for problem in public:
        if problem.device == "b200-sxm" and problem.variant in CARRIED:
            base = h100.fitted["gemm", problem.stack, problem.variant]
            assert error(problem, dict(base.parameters))[0] <= CARRIED[problem.variant]


def test_24_rows_of_b200_bring_fp8_within_9_percent(public: list[FitProblem]) -> None:
    problem = next(
        p for p in public if (p.device, p.stack, p.variant) == ("b200-sxm", "trtllm", "fp8-tensor")
    )
    base = resolve_device("h100-sxm").fitted["gemm", "trtllm", "fp8-tensor"]
    assert refit(problem, base, 24).error.mean <= 0.09


def test_quantise_kernels_of_trtllm_within_8_percent() -> None:
    fits = quantise.fit_tables(rows("op_quantize", "h100_sxm"))
    assert {(f.stack, f.variant) for _, f in fits} == {
        ("trtllm", "compute-scale"),
        ("trtllm", "scale-matrix"),
        ("vllm", "scale-matrix"),
    }
    assert all(f.error.mean <= 0.08 for _, f in fits if f.stack == "trtllm")
