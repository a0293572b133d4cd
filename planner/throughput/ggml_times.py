"""Seconds of products in ggml's block types: kernels as arrays over schemes, and their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.throughput.calibration import Certainty
from planner.throughput.ggml import (
    BY_MEAN,
    BY_STEP,
    FP32_BYTES,
    cpu_unit,
    engine_runs,
    ggml_certainty,
    ggml_kernel,
    ggml_refusal,
    on_cpu,
    rules,
    runs_on_ggml,
)
from planner.throughput.ggml_fitted import GgmlKernel, certainty_of
from planner.throughput.roofline import Parts, from_every, parts

Array = NDArray[np.float64]
WIDEST_TILE = 128.0
"""Columns of the widest tile of an integer product."""


@record
class GgmlArrays:
    """The kernels at the ``places`` of a list of schemes, arrays over them. ``by_step``: the tokens
    of a step, not those of an expert, decide between vector kernels and tiles."""

    places: NDArray[np.int64]
    by_step: bool
    of: Mapping[str, Array]
    certainty: tuple[Certainty, ...] = ()

    def sure(self) -> dict[int, Certainty]:
        """How sure the times are, by place."""
        return dict(zip(self.places.tolist(), self.certainty, strict=True))


def ggml_arrays(
    device: DeviceProfile, schemes: Sequence[str], *, experts: bool, engine: str
) -> GgmlArrays | None:
    """The kernels of what ggml multiplies among ``schemes``, None without any: its own types, and
    on CPUs what ``engine`` keeps plain, if that is one of ggml's."""
    unit = cpu_unit(device) if on_cpu(device) and engine_runs(engine) else None
    plain = unit[1]["products"] if unit is not None else {}
    names = [_stored_as(device, name, engine) for name in schemes]
    places = [
        i for i, name in enumerate(names) if runs_on_ggml(scheme_by_id(name)) or name in plain
    ]
    if not places:
        return None
    ggml_kernels = [ggml_kernel(device, names[i], experts=experts) for i in places]
    sure = tuple(certainty_of(device, names[i], ggml_certainty(device)) for i in places)
    return GgmlArrays(
        np.array(places, dtype=np.int64), not on_cpu(device), as_arrays(ggml_kernels), sure
    )


def _stored_as(device: DeviceProfile, name: str, engine: str) -> str:
    """The type of ggml that ``engine`` holds a scheme in: MXFP4 as released is its MXFP4."""
    own = rules()["released"].get(name, "") if engine_runs(engine) else ""
    return own if own and not ggml_refusal(device, scheme_by_id(own)) else name


def as_arrays(kernels: Sequence[GgmlKernel]) -> dict[str, Array]:
    """Fields by name, arrays [kernels] over ``kernels``."""
    return {
        f.name: np.array([getattr(kernel, f.name) for kernel in kernels])
        for f in fields(GgmlKernel)
    }


def ggml_parts(
    kernels: GgmlArrays,
    *,
    rows: Array,
    judged: Array,
    matrices: Array,
    outputs: Array,
    inputs: Array,
    stored: Array,
    kinds: Array | int,
) -> Parts:
    """Seconds of products by mechanism, [C, types].

    Args:
        rows: tokens that each matrix multiplies [C, 1]; ``judged`` is the number that decides
            between vector kernels and tiles.
        matrices: how many matrices of this shape are multiplied (1, or the experts touched).
        outputs, inputs: of one matrix on one rank. ``kinds`` matrices of the file make it up (q, k
            and v are three): each is a launch, and quantises its inputs.
        stored: bytes of all their weights [C, types].
    """
    k = kernels.of
    products = matrices * outputs * inputs
    tiled, unpacked = _tiled(k, rows, judged)
    tiles = products * (tiled * k["tile"] + unpacked * k["unpack"])
    one_by_one = products * rows * k["vector"]
    few = judged <= k["vector_rows"]
    at_limit = one_by_one * k["vector_rows"] / np.maximum(judged, 1e-300)
    fewest = products * (
        np.maximum(k["vector_rows"] + 1.0, k["least_rows"]) * k["tile"] + k["unpack"]
    )
    alone = products * k["vector"]
    on_gpu = k["step"] > 0
    compute = np.where(
        few,
        np.where(on_gpu, one_by_one, np.minimum(one_by_one, np.maximum(fewest, alone))),
        np.maximum(tiles, np.where(on_gpu, at_limit, alone)),
    )
    all_rows = rows * matrices
    moved = stored + all_rows * (inputs * k["activation_bytes"] * kinds + FP32_BYTES * outputs)
    memory = moved * k["memory"]
    quantise = kinds * (
        k["quantise_launch"] + inputs * k["quantise"] * np.maximum(all_rows, k["least_quantised"])
    )
    return parts(
        compute=compute,
        memory=memory,
        launch=k["launch"] * kinds,
        quantise=quantise,
        busy=np.maximum(compute, memory),
        overlap=True,
    )


def _tiled(k: Mapping[str, Array], rows: Array, judged: Array) -> tuple[Array, Array]:
    """(rows that tiles compute, times that they unpack a weight) of a matrix of ``rows``.

    Tiles of experts are as wide as the tokens of the step, up to the widest, whatever share of them
    an expert has; or as the mean of its rows, with the last of its tiles half empty. Beyond the
    widest tile the engine takes narrower ones that fill evenly: what they save is left out, so that
    more tokens never take less time.
    """
    step = np.where(k["step"] > 0, k["step"], 1.0)
    dense = np.maximum(
        np.where(k["step"] > 0, np.ceil(rows / step) * k["step"], rows), k["least_rows"]
    )
    most = np.minimum(k["tile_rows"], WIDEST_TILE)
    by_mean = k["expert_tile"] == BY_MEAN
    columns = np.where(by_mean, rows, judged)
    width = np.minimum(np.ceil(np.maximum(columns, 1.0) / step) * step, most)
    tiles = np.ceil(rows / width)
    half_empty = np.maximum(np.minimum(1.5, rows / step + 0.5), rows / most + 0.5)
    expert = np.where(by_mean, np.maximum(width, rows + width / 2.0), tiles * width)
    whole = (k["expert_tile"] == BY_STEP) | by_mean
    unpacked = np.maximum(np.where(by_mean, half_empty, tiles), 1.0)
    return (
        np.where(whole, expert, dense),
        np.where(whole, unpacked, np.ceil(rows / k["tile_rows"])),
    )


def in_scheme_columns(kernels: GgmlArrays, parts: Parts, other: Parts, schemes: int) -> Parts:
    """``parts`` in the columns of the ggml types, ``other`` elsewhere: [C, schemes]."""
    out = []
    for mine, rest in zip(parts.every(), other.every(), strict=True):
        rows = max(len(mine), len(rest))
        all_columns = np.array(np.broadcast_to(rest, (rows, schemes)))
        all_columns[:, kernels.places] = mine
        out.append(all_columns)
    return from_every(out)
