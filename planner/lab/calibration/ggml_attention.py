"""Fit what an element of a (query, entry) pair takes in ggml's fused attention on a CPU.

Rows are those of op_attn_generation and op_attn_context whose software is llama.cpp's, of the most
threads: one figure a cache type and phase, seconds an element s of

    t = launch + elements · s

by least squares of ln t, bytes in s; the launch is the device's own, which predictions add. Errors
are those of each group of heads under a fit to the others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import FittedSet
from planner.lab.calibration.fit import assess
from planner.lab.calibration.ggml import of_most_threads
from planner.lab.validation.op_rows import Batch, Profiles, Rows, batches
from planner.throughput.attended import causal_pairs
from planner.throughput.ggml import cpu_unit, on_cpu, rules
from planner.throughput.ggml_attention import OPERATOR, PROMPT, STEP
from planner.throughput.ggml_fitted import STACK

Array = NDArray[np.float64]
LAYOUTS = {"f16": "fp16", "bf16": "bf16", "f32": "fp32"}
GROUP = ("heads", "kv_heads", "head_dim")
LEAST_ROWS = 3
LEAST_NET = 0.1
"""Share of a time that is left to its elements at first, where the launch is longer than the rest.
"""
STEPS, CLOSE = 60, 1e-12


def fit_tables(rows: Rows, profiles: Profiles) -> list[tuple[str, FittedSet]]:
    """(device, set) by cache type of prompts (a table with ``isl``) or decode steps; none of a
    table of MLA."""
    mine, most = of_most_threads(rows)
    columns = mine[0].keys() if mine else ()
    if "mla_dtype" in columns:
        return []
    phase, length = (PROMPT, "isl") if "isl" in columns else (STEP, "kv_len")
    sets = []
    for batch in batches(
        mine, ("kv_dtype",), ("batch", length, *GROUP, "latency_us"), profiles=profiles
    )[0]:
        layout = LAYOUTS.get(batch.words[0].lower())
        if (
            layout is not None
            and len(batch.index) >= LEAST_ROWS
            and batch.profile is not None
            and on_cpu(batch.profile)
            and cpu_unit(batch.profile) is not None
        ):
            sets.append((batch.device, _set(batch, f"{phase}:{layout}", length, most)))
    return sets


def _set(batch: Batch, variant: str, length: str, threads: int) -> FittedSet:
    work = _elements(batch.columns, variant, length)
    launch = _launch_seconds(batch, variant)
    groups = np.stack([batch.columns[name] for name in GROUP])
    place = np.unique(groups, axis=1, return_inverse=True)[1].ravel()
    if len(set(place.tolist())) < 2:
        place = np.arange(len(place))
    judged = np.empty(len(work))
    for group in np.unique(place):
        rest = _element_seconds(batch.seconds[place != group], work[place != group], launch)
        judged[place == group] = launch + rest * work[place == group]
    error = assess(judged, batch.seconds, rows=len(work))
    return FittedSet(
        operator=OPERATOR,
        stack=STACK,
        software=batch.software.partition(" ")[2],
        variant=variant,
        table={},
        error=error,
        kind="fitted",
        source="",
        date="",
        parameters={"element_seconds": _element_seconds(batch.seconds, work, launch)},
        note=f"{max(threads, 1)} threads; errors of each group of heads from the others",
    )


def _launch_seconds(batch: Batch, variant: str) -> float:
    """What predictions add to the elements of a row, keys and values together."""
    assert batch.profile is not None
    reached = "attention-decode" if variant.startswith(STEP) else "attention-prefill"
    return batch.profile.achieved[reached].floor_seconds.value


def _elements(columns: Mapping[str, Array], variant: str, length: str) -> Array:
    """Elements of keys and values that the queries of a row multiply with."""
    tokens = columns[length]
    pairs: Array = tokens
    if variant.startswith(PROMPT):
        tile = float(rules()["cpu"]["attention"]["tile_rows"])
        tiled = (tokens >= tile) & (not variant.endswith("bf16"))
        pairs = np.asarray(causal_pairs(tokens, 0)) + np.where(tiled, tokens * tile / 2.0, 0.0)
    return np.asarray(columns["batch"] * pairs * columns["heads"] * 2.0 * columns["head_dim"])


def _element_seconds(seconds: Array, work: Array, launch: float) -> float:
    """The module's s, by Gauss-Newton steps in ln s: rows that are mostly launch count for
    little."""
    net = np.maximum(seconds - launch, LEAST_NET * seconds)
    logarithm = float(np.mean(np.log(net / work)))
    for _ in range(STEPS):
        predicted = launch + work * np.exp(logarithm)
        slope = 1.0 - launch / predicted
        if not slope.any():  # no time is longer than the launch: elements take nothing that shows
            break
        step = float(slope @ np.log(seconds / predicted) / (slope @ slope))
        logarithm += min(max(step, -1.0), 1.0)
        if abs(step) < CLOSE:
            break
    return float(np.exp(logarithm))
