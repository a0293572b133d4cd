"""A matrix measured tile by tile has the errors of the whole matrix quantised at once."""

from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import as_bf16, values_of

from planner.lab.profiling import source
from planner.lab.profiling.emulate import default_schemes
from planner.lab.profiling.jobs import MatrixJob
from planner.lab.profiling.measure import ScanSettings, measure, six
from planner.models.checkpoint_places import Place
from planner.numerics import error, quantize

SCHEMES = default_schemes()


def bf16_job(path: Path, codes: np.ndarray, kind: str = "mlp-down") -> MatrixJob:
    codes.astype("<u2").tofile(path)
    place = Place(str(path), 0, "BF16", codes.shape)
    return MatrixJob("w", "w", kind, 0, -1, *codes.shape, "plain", "BF16", "bf16", place)


def heavy_tailed(rows: int, columns: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(4, (rows, columns)).astype(np.float32)


@pytest.mark.parametrize(("rows", "columns"), [(300, 160), (129, 256), (1, 96), (128, 32)])
def test_errors_are_those_of_the_whole_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, columns: int
) -> None:
    monkeypatch.setattr(source, "TILE_ELEMENTS", 1)  # tiles of 128 rows
    monkeypatch.setattr(source, "TILE_COLUMNS", 128)
    codes = as_bf16(heavy_tailed(rows, columns))
    w = values_of(codes)
    record = measure(bf16_job(tmp_path / "w", codes), ScanSettings(SCHEMES, "numpy"))
    for name in SCHEMES:
        expected = error(w, quantize(w, name).dequantize())
        assert record["weight_error"][name] == pytest.approx(
            expected.relative_power, rel=2e-5, abs=1e-30
        ), name
    assert record["amax"] == six(float(np.abs(w).max()))
    kurtosis = float((w.astype(float) ** 4).mean() / (w.astype(float) ** 2).mean() ** 2)
    assert record["kurtosis"] == pytest.approx(kurtosis, rel=2e-5)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "some",
    [("fp8-block",), pytest.param(("fp16", "int8-w8a8", "nvfp4"), marks=pytest.mark.exhaustive)],
    ids=",".join,
)
def test_numba_and_numpy_give_one_record(tmp_path: Path, some: tuple[str, ...]) -> None:
    pytest.importorskip("numba", reason="needs the [fast] extra")
    job = bf16_job(tmp_path / "w", as_bf16(heavy_tailed(260, 192)))
    assert measure(job, ScanSettings(some, "numba")) == measure(job, ScanSettings(some, "numpy"))


def test_formats_that_keep_the_stored_values_have_no_error(tmp_path: Path) -> None:
    record = measure(
        bf16_job(tmp_path / "w", as_bf16(heavy_tailed(64, 64))),
        ScanSettings(("bf16", "fp32", "fp16", "fp8-block"), "numpy"),
    )
    assert record["weight_error"]["bf16"] == record["weight_error"]["fp32"] == 0
    assert record["weight_error"]["fp8-block"] > 0


def test_range_failures_are_counted(tmp_path: Path) -> None:
    w = heavy_tailed(64, 64)
    w[0, :4] = [1e6, -2e5, 7e4, 1e-30]
    codes = as_bf16(w)
    record = measure(bf16_job(tmp_path / "w", codes), ScanSettings(("fp16", "fp8-tensor"), "numpy"))
    assert record["overflow"]["fp16"] == six(3 / w.size)
    flushed = error(values_of(codes), quantize(values_of(codes), "fp8-tensor").dequantize()).flushed
    assert flushed > w.size / 2  # most values are tiny beside 1e6
    assert record["flushed"]["fp8-tensor"] == six(flushed / w.size)


def test_outlier_channels_are_found(tmp_path: Path) -> None:
    w = heavy_tailed(256, 64)
    w[:, [5, 40]] *= 30
    record = measure(bf16_job(tmp_path / "w", as_bf16(w)), ScanSettings((), "numpy"))
    assert record["outlier_channels"] == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "holds NaN or infinities"), (np.inf, "holds NaN or infinities"), (None, "all zero")],
)
def test_what_cannot_be_measured_is_a_recorded_skip(
    tmp_path: Path, value: float | None, reason: str
) -> None:
    w = heavy_tailed(200, 64)
    if value is None:
        w[:] = 0
    else:
        w[150, 3] = value
    record = measure(bf16_job(tmp_path / "w", as_bf16(w)), ScanSettings(SCHEMES, "numpy"))
    assert record == {"id": "w", "skipped": reason}


def test_a_file_that_ends_too_early_is_a_recorded_skip(tmp_path: Path) -> None:
    job = bf16_job(tmp_path / "w", as_bf16(heavy_tailed(64, 64)))
    with (tmp_path / "w").open("r+b") as file:
        file.truncate(5000)
    record = measure(job, ScanSettings(SCHEMES, "numpy"))
    assert "ends at byte 5000" in record["skipped"]
    (tmp_path / "w").unlink()
    assert "No such file" in measure(job, ScanSettings(SCHEMES, "numpy"))["skipped"]


def test_rows_that_are_not_whole_blocks_leave_the_scheme_out(tmp_path: Path) -> None:
    record = measure(
        bf16_job(tmp_path / "w", as_bf16(heavy_tailed(8, 40))), ScanSettings(SCHEMES, "numpy")
    )
    assert record["unfit"] == ["ggml-q4_0", "ggml-q8_0"]
    assert set(record["weight_error"]) == set(SCHEMES) - {"ggml-q4_0", "ggml-q8_0"}


def test_routers_have_statistics_alone(tmp_path: Path) -> None:
    record = measure(
        bf16_job(tmp_path / "w", as_bf16(heavy_tailed(8, 64)), "router"),
        ScanSettings(SCHEMES, "numpy"),
    )
    assert "weight_error" not in record
    assert record["amax"] > 0


def test_output_errors_follow_their_definition(tmp_path: Path) -> None:
    codes = as_bf16(heavy_tailed(160, 64))
    w = values_of(codes).astype(np.float64)
    x = heavy_tailed(24, 64, seed=9)
    some = ("bf16", "fp8-block", "fp8-w8a16", "int8-w8a8", "nvfp4", "mxfp4-w4a8")
    record = measure(bf16_job(tmp_path / "w", codes), ScanSettings(some, "numpy"), x)
    y = x @ w.T
    for name in some:
        w_hat = quantize(values_of(codes), name).dequantize().astype(np.float64)
        fmt = (
            quantize(x, name, role="activation").dequantize()
            if "a16" not in name and name != "bf16"
            else x
        )
        e = np.sum((fmt.astype(np.float64) @ w_hat.T - y) ** 2) / np.sum(y * y)
        assert record["output_error"][name] == pytest.approx(e, rel=1e-3, abs=1e-9), name
    assert record["output_power"] == pytest.approx(np.sum(y * y) / 24, rel=1e-4)
