"""Every stored form comes back as the values it stands for, tile by tile."""

from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import as_bf16, write_safetensors

from planner.lab.profiling import source
from planner.lab.profiling.jobs import MatrixJob, jobs_of
from planner.lab.profiling.source import MatrixSource, tiles_of
from planner.models.checkpoint_places import Checkpoint, Place, read_places
from planner.models.spec import ModelSpec, StoredAs, TensorRow
from planner.models.storage import GGML_BLOCKS
from planner.numerics import encode, ggml_decode, pack4, quantize
from planner.numerics.engines import Engine

RNG = np.random.default_rng(4)


def read(job: MatrixJob, engine: Engine = "numpy") -> np.ndarray:
    out = np.full((job.rows, job.columns), np.nan, np.float32)
    with MatrixSource(job, engine) as data:
        for tile in tiles_of(job):
            tile.of(out)[...] = data.tile(tile)
    return out


def row(shape: tuple[int, int], **changes: object) -> TensorRow:
    fields: dict[str, object] = {
        "name": "w.{layer}.weight",
        "kind": "mlp-down",
        "shape": shape,
        "layers": (0,),
        "experts": 1,
        "fused": "down",
        "shard": "row",
        "dtype": "bf16",
        "scale_name": None,
        "scale_shape": None,
        "scale_dtype": None,
        "part": "main",
        **changes,
    }
    return TensorRow(**fields)  # type: ignore[arg-type]


class OneRow:
    """As much of a model as jobs are made of."""

    def __init__(self, only: TensorRow) -> None:
        self.rows = (only,)


def jobs(
    folder: Path,
    only: TensorRow,
    tensors: dict[str, tuple[str, np.ndarray]],
) -> tuple[MatrixJob, ...]:
    write_safetensors(folder / "model.safetensors", tensors)
    spec: ModelSpec = OneRow(only)  # type: ignore[assignment]
    found: Checkpoint = read_places(folder)
    return jobs_of(spec, found)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "TILE_ELEMENTS", 1)
    monkeypatch.setattr(source, "TILE_COLUMNS", 64)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64"])
def test_plain_types(tmp_path: Path, dtype: str) -> None:
    w = RNG.standard_normal((200, 96)).astype(np.float32)
    stored = {
        "BF16": as_bf16(w),
        "F16": w.astype(np.float16),
        "F32": w,
        "F64": w.astype(np.float64),
    }[dtype]
    element = {"BF16": "bf16", "F16": "fp16"}.get(dtype, "fp32")
    [job] = jobs(tmp_path, row(w.shape, dtype=element), {"w.0.weight": (dtype, stored)})
    expected = (
        (as_bf16(w).astype(np.uint32) << 16).view(np.float32)
        if dtype == "BF16"
        else stored.astype(np.float32)
    )
    assert np.array_equal(read(job), expected)


@pytest.mark.parametrize(
    ("scheme", "grid"), [("fp8-block", (2, 2)), ("fp8-channel", (200, 1)), ("fp8-tensor", ())]
)
def test_fp8_with_scales(tmp_path: Path, scheme: str, grid: tuple[int, ...]) -> None:
    w = RNG.standard_normal((200, 192)).astype(np.float32)
    q = quantize(w, scheme)
    assert q.scales is not None
    only = row(
        w.shape,
        dtype="e4m3fn",
        scale_name="w.{layer}.scale",
        scale_shape=grid,
        scale_dtype="fp32",
        scheme=scheme,
    )
    [job] = jobs(
        tmp_path,
        only,
        {
            "w.0.weight": ("F8_E4M3", q.codes),
            "w.0.scale": ("F32", np.asarray(q.scales, np.float32).reshape(grid)),
        },
    )
    assert np.array_equal(read(job), q.dequantize())


def test_fp8_with_power_of_two_scales(tmp_path: Path) -> None:
    w = RNG.standard_normal((130, 128)).astype(np.float32)
    q = quantize(w, "fp8-block-ue8m0")
    only = row(
        w.shape,
        dtype="e4m3fn",
        scale_name="w.{layer}.scale",
        scale_shape=(2, 1),
        scale_dtype="e8m0",
        scheme="fp8-block-ue8m0",
    )
    scales = encode(np.asarray(q.scales, np.float32), "e8m0")
    [job] = jobs(
        tmp_path, only, {"w.0.weight": ("F8_E4M3", q.codes), "w.0.scale": ("F8_E8M0", scales)}
    )
    assert np.array_equal(read(job), q.dequantize())


def test_nvfp4_with_two_levels_of_scales(tmp_path: Path) -> None:
    w = RNG.standard_normal((64, 128)).astype(np.float32)
    q = quantize(w, "nvfp4")
    only = row(
        w.shape,
        dtype="e2m1",
        scale_name="w.{layer}.weight_scale",
        scale_shape=(64, 8),
        scale_dtype="e4m3fn",
        scheme="nvfp4",
        stored=StoredAs("w.{layer}.weight", "U8", (64, 64)),
        extras=(StoredAs("w.{layer}.weight_scale_2", "F32", ()),),
    )
    [job] = jobs(
        tmp_path,
        only,
        {
            "w.0.weight": ("U8", pack4(q.codes)),
            "w.0.weight_scale": ("F8_E4M3", encode(np.asarray(q.scales, np.float32), "e4m3fn")),
            "w.0.weight_scale_2": ("F32", np.array(q.tensor_scale, np.float32)),
        },
    )
    assert np.array_equal(read(job), q.dequantize())


def test_experts_in_one_transposed_tensor(tmp_path: Path) -> None:
    w = RNG.standard_normal((3, 96, 160)).astype(np.float32)  # experts, inputs, outputs
    only = row(
        (160, 96),
        kind="experts-down",
        experts=3,
        stacked=True,
        stored=StoredAs("w.{layer}.weight", "BF16", (3, 96, 160)),
    )
    found = jobs(tmp_path, only, {"w.0.weight": ("BF16", as_bf16(w))})
    assert [job.id for job in found] == [f"w.0.weight[{n}]" for n in range(3)]
    for job, matrix in zip(found, w, strict=True):
        cut = (as_bf16(matrix).astype(np.uint32) << 16).view(np.float32)
        assert np.array_equal(read(job), cut.T)


def test_packed_integers_are_refused_with_the_reason(tmp_path: Path) -> None:
    only = row(
        (64, 64),
        dtype="int4",
        scale_name="w.{layer}.scales",
        scale_shape=(1, 64),
        scale_dtype="fp16",
        scheme="int4-w4a16",
        stored=StoredAs("w.{layer}.qweight", "I32", (8, 64)),
    )
    [job] = jobs(
        tmp_path,
        only,
        {
            "w.0.qweight": ("I32", np.zeros((8, 64), np.int32)),
            "w.0.scales": ("F16", np.ones((1, 64), np.float16)),
        },
    )
    assert "I32 words of int4-w4a16 are not decoded" in job.refused


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_1", "Q6_K", "IQ3_S", "TQ1_0", "MXFP4"])
def test_ggml_blocks_are_read_tile_by_tile(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any block type of a GGUF file, as numerics reads the whole matrix."""
    monkeypatch.setattr(source, "TILE_COLUMNS", 256)
    elements, size = GGML_BLOCKS[kind]
    raw = RNG.integers(0, 60, (130, 512 // elements * size), dtype=np.uint8)
    place = tmp_path / "blocks"
    place.write_bytes(bytes(7) + raw.tobytes())
    job = MatrixJob(
        "w",
        "w",
        "mlp-down",
        0,
        0,
        130,
        512,
        "ggml",
        kind,
        f"ggml-{kind.lower()}",
        Place(str(place), 7, kind, (130, 512)),
    )
    assert np.array_equal(read(job), ggml_decode(raw, kind))


def test_fp8_and_bf16_read_alike_with_numba(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="needs the [fast] extra")
    w = RNG.standard_normal((130, 96)).astype(np.float32)
    [job] = jobs(tmp_path, row(w.shape), {"w.0.weight": ("BF16", as_bf16(w))})
    assert np.array_equal(read(job, "numba"), read(job))
