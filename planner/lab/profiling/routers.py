"""Router margins of a checkpoint: the stored router on real inputs, else on synthetic ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from planner.lab.profiling.jobs import MatrixJob, six
from planner.lab.profiling.scan import inputs_of
from planner.lab.profiling.source import MatrixSource, ReadError, tiles_of
from planner.models.spec import ModelSpec
from planner.numerics.engines import Engine
from planner.numerics.tiles import FloatArray
from planner.quality.profile import RouterStatistics
from planner.quality.routing import RATES, flip_rate, margins
from planner.quality.synthetic import activations, linear_kind

INPUT_KIND = "experts-gate-up"  # what follows the same norm


def router_statistics(
    spec: ModelSpec, jobs: tuple[MatrixJob, ...], *, seed: int, inputs: Path | None, engine: Engine
) -> tuple[RouterStatistics, ...]:
    """Margins and flip rates of every layer's router; one that cannot be read is left out (its
    record says why)."""
    experts = spec.experts
    if experts is None:
        return ()
    out = []
    for job in jobs:
        if job.kind != "router" or job.rows != experts.count or job.refused:
            continue
        real = inputs_of(job, inputs)
        x = (
            real
            if real is not None
            else activations(INPUT_KIND, seed, linear_kind(INPUT_KIND, job.columns, job.rows))
        )
        try:
            weight = _matrix_values(job, engine)
        except ReadError:
            continue
        logits = x.astype(np.float64) @ weight.astype(np.float64).T
        if not np.isfinite(logits).all() or not logits.std(axis=1).all():
            continue
        margin = margins(logits, experts.per_token)
        out.append(
            RouterStatistics(
                job.layer,
                "measured on real inputs"
                if real is not None
                else f"the stored router on synthetic inputs (seed {seed})",
                six(float(np.median(margin))),
                {f"{e:g}": six(flip_rate(margin, e)) for e in RATES},
            )
        )
    return tuple(out)


def _matrix_values(job: MatrixJob, engine: Engine) -> FloatArray:
    out = np.empty((job.rows, job.columns), np.float32)
    with MatrixSource(job, engine) as source:
        for tile in tiles_of(job):
            tile.of(out)[...] = source.tile(tile)
    return out
