"""Fit ggml's kernels to a machine's own rows: products by type, and quantising of activations.

Rows are those of op_gemm whose software is llama.cpp's, of the most threads that the table has. A
third of the shapes is kept back (``is_held_out``); where the hash keeps none of the few that
there are, or as many as it leaves, each shape in turn. Types with too few rows, or of one shape
alone, count for the set ``any`` only: the ratio to what data/ggml.toml counts for them, by which
types without rows are priced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.formats.ggml_types import weight_type
from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile, FitError, FittedSet
from planner.lab.calibration.fit import Z80, assess, fit
from planner.lab.validation.cells import threads as threads_told
from planner.lab.validation.op_gemm import gemm_held
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows, batches
from planner.throughput.forms.base import Parameter, Parameters
from planner.throughput.ggml import counted_kernel, cpu_unit, ggml_refusal, on_cpu, runs_on_ggml
from planner.throughput.ggml_fitted import ANY_TYPE, OF_A_TYPE, OF_ANY, OPERATOR, STACK, GgmlKernel
from planner.throughput.ggml_times import GgmlArrays, as_arrays, ggml_parts

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
PLAIN = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
CACHED = "mul_mat_cached"
"""Kernel of rows whose weights a cache holds; all others read theirs from memory."""
LEAST_ROWS = 9
"""Rows of a type of its own set: three for each of vector kernels, tiles and the node."""
LEAST_TYPES = 2
ANY_SIGMA = 0.2
"""Least deviation of a type without rows: what types differ by between two generations of cores."""


@dataclass(frozen=True)
class TypeRows:
    """The rows of one type on one device: ``cold`` ones read their weights from memory."""

    device: DeviceProfile
    software: str
    scheme: str
    batch: Batch
    cold: Mask

    def seconds(self, kernel: GgmlKernel, where: NDArray[np.int64] | slice = slice(None)) -> Array:
        """What ``kernel`` takes for the rows at ``where`` [s]."""
        m, n, k = (self.batch.columns[name][where][:, None] for name in ("m", "n", "k"))
        stored_bytes = n * k * bits_per_element(scheme_by_id(self.scheme).weight) / 8
        arrays = GgmlArrays(np.zeros(1, dtype=np.int64), False, as_arrays([kernel]))
        parts = ggml_parts(
            arrays,
            rows=m,
            judged=m,
            matrices=np.ones_like(m),
            outputs=n,
            inputs=k,
            stored=np.where(self.cold[where][:, None], stored_bytes, 0.0),
            kinds=1,
        )
        return np.asarray(parts.total()[:, 0])


def fit_tables(
    rows: Rows, *, op_quantize: Rows = (), profiles: Profiles = NO_PROFILES
) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every type of ``rows`` with enough of them, and for all others."""
    sets: list[tuple[str, FittedSet]] = []
    for device, types in _latest(type_rows(rows, profiles)[0]).items():
        quantise = _quantising(op_quantize, types[0].device, _threads(types[0].batch))
        own = [
            fitted for rows_of_type in types if (fitted := _own(rows_of_type, quantise)) is not None
        ]
        sets += [(device, fitted) for fitted in own]
        if len(types) >= LEAST_TYPES:
            known = _median(np.array([fitted.error.sigma for fitted in own] or [0.0]))
            sets.append((device, _any(types, quantise, known)))
    return sets


def _latest(types: Sequence[TypeRows]) -> dict[str, list[TypeRows]]:
    """Device → types of the version of llama.cpp that comes last in the table."""
    groups: dict[tuple[str, str], list[TypeRows]] = {}
    for group in types:
        groups.setdefault((group.device.id, group.software), []).append(group)
    return {device: types for (device, _), types in groups.items()}


def left_out(rows: Rows, *, profiles: Profiles = NO_PROFILES, **_: Rows) -> list[tuple[str, str]]:
    """(what, why) of rows of llama.cpp that make no set of their own."""
    kept, refused = type_rows(rows, profiles)
    latest = _latest(kept)
    versions = {
        (group.device.id, group.software): latest[group.device.id][0].software for group in kept
    }
    refused += [
        (f"{OPERATOR} {STACK} {software} on {device}", f"rows of {last} come after it")
        for (device, software), last in versions.items()
        if software != last
    ]
    few = [
        (
            f"{OPERATOR} {STACK} {group.scheme} on {group.device.id}",
            f"{len(group.cold)} rows of {len(np.unique(_shape_of(group)))} shapes are too few for "
            "a set of its own: priced by the ratio of all types",
        )
        for types in latest.values()
        for group in types
        if not _enough(group)
    ]
    return refused + few


def type_rows(rows: Rows, profiles: Profiles) -> tuple[list[TypeRows], list[tuple[str, str]]]:
    """Rows of llama.cpp by device, software and type, and (what, why) of those left out."""
    kept, refused = [], []
    for batch, cold in _joined(of_most_threads(rows)[0], profiles):
        name = batch.words[0].lower()
        scheme = PLAIN.get(name, name if name.startswith("ggml-") else f"ggml-{name}")
        what = f"{OPERATOR} {STACK} {name} on {batch.device}"
        if why := _refusal(batch, scheme):
            refused.append((what, why))
            continue
        assert batch.profile is not None
        kept.append(TypeRows(batch.profile, batch.software.partition(" ")[2], scheme, batch, cold))
    return kept, refused


def of_most_threads(rows: Rows) -> tuple[list[Mapping[str, str]], int]:
    """(rows of llama.cpp of the most threads that there are, how many: 0 where none says). Rows
    that say no number of threads are malformed."""
    mine = [
        (row, threads_told(row.get("threads", "")))
        for row in rows
        if row.get("software", "").lower().startswith(STACK)
    ]
    with_threads = [(row, count) for row, count in mine if count is not None]
    most = max((threads for _, threads in with_threads), default=0)
    return [row for row, threads in with_threads if threads == most], most


def _joined(rows: Sequence[Mapping[str, str]], profiles: Profiles) -> list[tuple[Batch, Mask]]:
    """Rows by device, software and type, with which of them read weights from memory."""
    marked = [{**row, "cached": str(int(row.get("kernel", "") == CACHED))} for row in rows]
    joined = batches(
        marked,
        ("w_a_dtype", "threads"),
        ("m", "n", "k", "cached", "latency_us"),
        zero=("cached",),
        profiles=profiles,
    )[0]
    return [(batch, batch.columns["cached"] == 0.0) for batch in joined]


def _refusal(batch: Batch, scheme: str) -> str:
    if batch.profile is None:
        return "the device has no profile"
    if scheme not in SCHEMES:
        return "no scheme of this type"
    if not on_cpu(batch.profile):
        return "fits are of CPUs"
    chosen = cpu_unit(batch.profile)
    if chosen is None:
        return str(ggml_refusal(batch.profile, scheme_by_id("ggml-q8_0")))
    return "" if scheme in chosen[1]["products"] else "no count of its instructions to start from"


def _threads(batch: Batch) -> float:
    return max(1.0, float(batch.words[1] or 1))


def _shape_of(rows: TypeRows) -> NDArray[np.int64]:
    """A number for the weight shape of each row."""
    sizes = np.stack([rows.batch.columns["n"], rows.batch.columns["k"]])
    return np.unique(sizes, axis=1, return_inverse=True)[1].ravel()


def _enough(rows: TypeRows) -> bool:
    return len(rows.cold) >= LEAST_ROWS and len(np.unique(_shape_of(rows))) > 1


def _own(rows: TypeRows, quantise: Mapping[str, float]) -> FittedSet | None:
    """The set of a type, None with too few rows for one."""
    if not _enough(rows):
        return None
    counted = _with_quantising(
        rows, counted_kernel(rows.device, rows.scheme, experts=False), quantise
    )
    held_out, shape = gemm_held(rows.batch), _shape_of(rows)
    every = np.arange(len(held_out))
    if 0 < 2 * len(np.unique(shape[held_out])) < len(np.unique(shape)):
        train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        kernel = _fit(rows, counted, train)
        error = assess(rows.seconds(kernel, test), rows.batch.seconds[test], rows=len(train))
        note = "errors on a third of the shapes, kept back"
    else:
        predicted = np.empty(len(shape))
        for left in np.unique(shape):
            rest = _fit(rows, counted, every[shape != left])
            predicted[shape == left] = rows.seconds(rest, every[shape == left])
        error = assess(predicted, rows.batch.seconds, rows=len(every))
        kernel = _fit(rows, counted, every)
        note = "errors of each shape from a fit to the others"
    figures = {f"{name}_seconds": float(getattr(kernel, name)) for name in OF_A_TYPE}
    return _set(rows, rows.scheme, figures, error, note)


def _fit(one: TypeRows, counted: GgmlKernel, rows: NDArray[np.int64]) -> GgmlKernel:
    """The kernel with what the rows tell; what they do not, as counted."""
    m, cold = one.batch.columns["m"][rows], one.cold[rows]
    few, fixed = m <= counted.vector_rows, {"quantise": counted.quantise}
    if not few.any():
        fixed["vector"] = counted.vector
    if few.all():
        fixed["tile"] = counted.tile
    if len(np.unique(m[~few])) < 2 or counted.unpack == 0.0:
        fixed["unpack"] = counted.unpack
    if not (cold & few).any():
        fixed["memory"] = counted.memory
    wanted = [
        Parameter(
            name, max(start, 1e-18), max(start, 1e-18) / 30, max(start, 1e-18) * 30, "s", prior=1.5
        )
        for name in OF_A_TYPE
        for start in [getattr(counted, name)]
    ]

    def predict(p: Parameters) -> Array:
        return one.seconds(replace(counted, **{name: p[name] for name in OF_A_TYPE}), rows)

    fitted = fit(predict, one.batch.seconds[rows], wanted, fixed=fixed, starts=2)
    return replace(counted, **{name: float(fitted[name]) for name in OF_A_TYPE})


def _any(types: Sequence[TypeRows], quantise: Mapping[str, float], known: float) -> FittedSet:
    """What all types take in the mean of what was counted: the ratio of few tokens, of many, and
    what a type misses by that the others' ratios price; ``known``: what measured types miss by."""
    kernels = [
        _with_quantising(t, counted_kernel(t.device, t.scheme, experts=False), quantise)
        for t in types
    ]
    ratios = [_ratios(t, kernel) for t, kernel in zip(types, kernels, strict=True)]
    blocks = [i for i, t in enumerate(types) if runs_on_ggml(scheme_by_id(t.scheme))] or list(
        range(len(types))
    )
    few, many = (_mean([ratios[i][at] for i in blocks]) for at in (0, 1))
    misses = [
        abs(np.log(ratios[i][at] / _mean([ratios[j][at] for j in blocks if j != i])))
        for i in blocks
        for at in (0, 1)
        if np.isfinite(ratios[i][at]) and len(blocks) > 1
    ]
    apart = max(ANY_SIGMA, float(np.quantile(misses, 0.8)) / Z80 if misses else 0.0)
    sigma = float(np.hypot(apart, known))
    first, kernel = types[0], kernels[0]
    count = sum(len(t.cold) for t in types)
    error = FitError(
        rows=count,
        held_out=len(misses),
        mean=float(np.mean(misses or [0.0])),
        median=float(np.median(misses or [0.0])),
        bias=0.0,
        sigma=sigma,
        coverage=float(np.mean([m <= Z80 * sigma for m in misses] or [1.0])),
    )
    narrowing = [
        kernels[i].quantise
        / counted_kernel(types[i].device, types[i].scheme, experts=False).quantise
        for i in blocks
    ]
    figures = dict(
        zip(OF_ANY, (few, many, kernel.memory, kernel.launch, _mean(narrowing)), strict=True)
    )
    named = {"one": "one_factor", "many": "many_factor", "quantise": "quantise_factor"}
    figures = {named.get(name, f"{name}_seconds"): value for name, value in figures.items()}
    return _set(
        first,
        ANY_TYPE,
        figures,
        error,
        f"measured over counted times of {len(blocks)} types; errors of each from the rest",
    )


def _ratios(rows: TypeRows, counted: GgmlKernel) -> tuple[float, float]:
    """Median of measured over counted time with few tokens (weights in a cache where there are such
    rows) and with many; nan without rows."""
    m, ratio = rows.batch.columns["m"], rows.batch.seconds / rows.seconds(counted)
    few = m <= max(1.0, counted.vector_rows)
    warm = few & ~rows.cold
    few = warm if warm.any() else few
    many = m > counted.vector_rows
    return _median(ratio[few]), _median(ratio[many])


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _mean(ratios: Sequence[float]) -> float:
    """Geometric mean of those that are known, 1 without any."""
    known = [r for r in ratios if np.isfinite(r)]
    return float(np.exp(np.mean(np.log(known)))) if known else 1.0


def _quantising(rows: Rows, device: DeviceProfile, threads: float) -> dict[str, float]:
    """Seconds an activation by the type that it is narrowed to: rows of one thread are shared out
    over ``threads``."""
    seconds: dict[str, list[float]] = {}
    threaded_rows = [row for row in rows if threads_told(row.get("threads", "")) is not None]
    for batch in batches(
        threaded_rows,
        ("quant_dtype", "threads"),
        ("m", "k", "latency_us"),
        profiles={row.get("device", ""): device for row in rows},
    )[0]:
        if batch.software.lower().startswith(STACK):
            work = batch.columns["m"] * batch.columns["k"]
            ran = max(1.0, float(batch.words[1] or threads))
            seconds.setdefault(batch.words[0].lower(), []).extend(
                (batch.seconds / work * ran / max(ran, threads)).tolist()
            )
    return {name: float(np.median(times)) for name, times in seconds.items()}


def _with_quantising(
    rows: TypeRows, counted: GgmlKernel, quantise: Mapping[str, float]
) -> GgmlKernel:
    """``counted`` with the measured time of narrowing its activations, where there is one."""
    seconds = quantise.get(activation_type(rows.scheme))
    return counted if seconds is None else replace(counted, quantise=seconds)


def activation_type(scheme: str) -> str:
    """What ggml narrows activations to beside a type on CPUs."""
    kind = weight_type(scheme)
    return kind.inputs if kind is not None else {"fp16": "f16"}.get(scheme, scheme)


def _set(
    rows: TypeRows, variant: str, figures: Mapping[str, float], error: FitError, note: str
) -> FittedSet:
    return FittedSet(
        operator=OPERATOR,
        stack=STACK,
        software=rows.software,
        variant=variant,
        parameters=dict(figures),
        table={},
        error=error,
        kind="fitted",
        source="",
        date="",
        note=f"{_threads(rows.batch):g} threads; {note}",
    )
