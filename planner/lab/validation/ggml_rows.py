"""Products of llama.cpp in GEMM tables: predicted by ggml's kernels on the device."""

from __future__ import annotations

import numpy as np

from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.lab.validation.op_rows import Z80, Batch, Profiles, Rows, batches, missing, predicted
from planner.lab.validation.records import Outcome
from planner.throughput.ggml import (
    GgmlArrays,
    as_arrays,
    cpu_unit,
    ggml_certainty,
    ggml_kernel,
    ggml_parts,
    on_cpu,
)
from planner.throughput.ggml_fitted import certainty_of

STACK, CACHED = "llama.cpp", "mul_mat_cached"
PLAIN = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}


def is_ggml(batch: Batch) -> bool:
    """Whether rows are of llama.cpp."""
    return batch.software.lower().startswith(STACK)


def ggml_batches(rows: Rows, profiles: Profiles) -> list[Batch]:
    """Rows of llama.cpp by device, version, type and kernel."""
    found = batches(
        rows, ("w_a_dtype", "kernel"), ("m", "n", "k", "latency_us"), profiles=profiles
    )[0]
    return [batch for batch in found if is_ggml(batch)]


def ggml_outcomes(table: str, batch: Batch) -> list[Outcome]:
    """Predictions of rows of one type, whose weights a cache holds or memory."""
    name, measured = batch.words[0].lower(), batch.seconds
    scheme = PLAIN.get(name, name if name.startswith("ggml-") else f"ggml-{name}")
    device = batch.profile
    why = (
        "unknown device"
        if device is None
        else "unknown format"
        if scheme not in SCHEMES
        else ""
        if on_cpu(device)
        and (unit := cpu_unit(device)) is not None
        and scheme in unit[1]["products"]
        else "not executable"
    )
    if why or device is None:
        return missing(table, batch, why, format=scheme, measured=measured)
    m, n, k = (batch.columns[key][:, None] for key in ("m", "n", "k"))
    held = n * k * bits_per_element(scheme_by_id(scheme).weight) / 8
    kernels = GgmlArrays(
        np.zeros(1, dtype=np.int64), False, as_arrays([ggml_kernel(device, scheme, experts=False)])
    )
    found = ggml_parts(
        kernels,
        rows=m,
        judged=m,
        matrices=np.ones_like(m),
        outputs=n,
        inputs=k,
        stored=np.zeros_like(held) if batch.words[1] == CACHED else held,
        kinds=1,
    )
    how = certainty_of(device, scheme, ggml_certainty(device))
    return predicted(
        table,
        batch,
        format=scheme,
        measured=measured,
        seconds=np.asarray(found.total()[:, 0]),
        regimes=[how.basis] * len(measured),
        spread=Z80 * how.sigma,
        basis=f"{how.basis}: {how.origin}",
    )
