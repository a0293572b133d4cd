"""What there is to measure: one job a weight matrix, with the places of its tensors.

Jobs are plain records, so that they can be sent to another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from planner.base.errors import DataError
from planner.formats.schemes import SCHEMES
from planner.models.checkpoint_places import Checkpoint, Place
from planner.models.inventory import stored_scales, stored_weight
from planner.models.spec import ModelSpec, StoredAs, TensorRow
from planner.models.storage import GGML_BLOCKS, STORED_TYPES, stored_bytes
from planner.placement.modules import PLANNED_KINDS

STATISTICS_ONLY = ("router",)
_PLAIN = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class MatrixJob:
    """One matrix (outputs, inputs) as it is stored.

    ``form`` says how: plain, scaled, e2m1 (two in a byte), ggml, or a reason why it cannot be
    decoded in ``refused``. ``released`` is the scheme of the row, "" for plain elements.
    ``transposed``: stored (inputs, outputs). ``block`` is the scale block (0: the whole axis).
    ``group``: the GEMM it is part of.
    """

    id: str
    template: str
    kind: str
    layer: int
    expert: int
    rows: int
    columns: int
    form: str
    dtype: str
    released: str
    weight: Place
    scale: Place | None = None
    global_scale: Place | None = None
    divide_global: bool = False
    block: tuple[int, int] = (0, 0)
    transposed: bool = False
    refused: str = ""
    group: str = ""

    @property
    def elements(self) -> int:
        return self.rows * self.columns


def jobs_of(spec: ModelSpec, checkpoint: Checkpoint) -> tuple[MatrixJob, ...]:
    """All matrices of the decoder layers, in the order of layers, then rows, then experts.

    Raises:
        DataError: a tensor of the model that the checkpoint does not hold.
    """
    jobs = [
        job
        for row in spec.rows
        if row.part == "main"
        and row.copy_of is None
        and row.is_matrix
        and row.kind in (*PLANNED_KINDS, *STATISTICS_ONLY)
        for job in _jobs(row, checkpoint)
    ]
    order = {row.name: n for n, row in enumerate(spec.rows)}
    return tuple(sorted(jobs, key=lambda j: (j.layer, order[j.template], j.expert)))


def _jobs(row: TensorRow, checkpoint: Checkpoint) -> Iterator[MatrixJob]:
    for layer in row.layers or (-1,):
        for expert in range(row.experts):
            yield _job(row, layer, expert, checkpoint)


def _job(row: TensorRow, layer: int, expert: int, checkpoint: Checkpoint) -> MatrixJob:
    lies, scales = stored_weight(row), stored_scales(row)
    weight = _place(checkpoint, lies, layer, expert)
    name = lies.name.format(layer=layer, expert=expert)
    job = MatrixJob(
        id=f"{name}[{expert}]" if row.stacked else name,
        template=row.name,
        kind=row.kind,
        layer=layer,
        expert=expert if row.experts > 1 else -1,
        rows=row.shape[0],
        columns=row.shape[1],
        form="",
        dtype=weight.dtype,
        group=row.fused,
        released=row.scheme or (row.dtype if row.dtype in _PLAIN else ""),
        weight=weight,
    )
    if row.stacked:
        job = replace(
            job,
            weight=_slice(weight, expert),
            transposed=weight.shape[-2:] == (row.shape[1], row.shape[0])
            and row.shape[0] != row.shape[1],
        )
        if row.shape[0] == row.shape[1] and row.stored is not None and row.scheme is None:
            job = replace(job, transposed=True)
    scale = None if scales is None else _place(checkpoint, scales, layer, expert)
    if scale is not None and row.stacked:
        scale = _slice(scale, expert)
    second = next(
        (e for e in row.extras if "weight_scale_2" in e.name or "weight_global_scale" in e.name),
        None,
    )
    if second is not None:
        job = replace(
            job,
            global_scale=_place(checkpoint, second, layer, expert),
            divide_global="global" in second.name,
        )
    return _with_form(replace(job, scale=scale), row)


def _with_form(job: MatrixJob, row: TensorRow) -> MatrixJob:
    dtype = job.dtype
    if dtype in GGML_BLOCKS:
        return replace(job, form="ggml")
    if row.dtype == "e2m1":
        width = job.columns // job.scale.shape[-1] if job.scale is not None else 0
        return replace(job, form="e2m1", block=(1, width))
    element = STORED_TYPES[dtype].format
    if job.scale is None and element in _PLAIN:
        return replace(job, form="plain")
    if dtype == "F64" and job.scale is None:
        return replace(job, form="plain")
    if (
        job.scale is not None
        and dtype in ("F8_E4M3", "F8_E5M2", "I8")
        and row.stored is None
        and row.dtype != "int4"
    ):
        return replace(job, form="scaled", block=_block(job, row))
    return replace(job, refused=f"{dtype} words of {row.scheme or row.dtype} are not decoded")


def _block(job: MatrixJob, row: TensorRow) -> tuple[int, int]:
    """Rows and columns of a scale block: the scheme's, where it fits the stored scales."""
    assert job.scale is not None
    shape = tuple(job.scale.shape)
    grid = (1, 1) if shape in ((), (1,)) else shape if len(shape) == 2 else (*shape, 1)
    scheme = SCHEMES.get(row.scheme or "")
    known = None if scheme is None else scheme.weight.scale
    if known is not None:
        sides = (known.block_rows or job.rows, known.block_columns or job.columns)
        if (-(-job.rows // sides[0]), -(-job.columns // sides[1])) == grid:
            return sides
    rows, columns = (-(-size // n) for size, n in zip((job.rows, job.columns), grid, strict=True))
    if (-(-job.rows // rows), -(-job.columns // columns)) != grid:
        raise DataError(
            f"{job.id}: scales of shape {shape} do not cover {job.rows}x{job.columns}",
            hint="the file is damaged or incomplete: download it again",
        )
    return rows, columns


def _place(checkpoint: Checkpoint, stored: StoredAs, layer: int, expert: int) -> Place:
    name = stored.name.format(layer=layer, expert=expert)
    place = checkpoint.places.get(name)
    if place is None:
        raise DataError(
            f"tensor {name} is missing in the checkpoint",
            hint="check that config.json belongs to these files",
        )
    return place


def _slice(place: Place, expert: int) -> Place:
    """One expert of a stack: the first axis is experts."""
    inner = place.shape[1:]
    size = 1
    for side in inner:
        size *= side
    return Place(
        place.file, place.offset + expert * stored_bytes(place.dtype, size), place.dtype, inner
    )


def six(value: float) -> float:
    """Six significant digits: what a profile keeps."""
    return float(f"{value:.5e}")
