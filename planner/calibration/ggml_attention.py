"""Fit what an element of a (query, entry) pair takes in ggml's fused attention on a CPU.

Rows are those of op_attn_generation and op_attn_context whose software is llama.cpp's, of the most
threads: one figure a cache type and phase, the geometric mean of whole times over the elements that
they multiply, launch and bytes with them. Errors are those of each group of heads under the others'
mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.calibration.fit import assess
from planner.calibration.ggml import of_most_threads
from planner.hardware.profile import FittedSet
from planner.throughput.attended import causal_pairs
from planner.throughput.ggml import cpu_unit, on_cpu, rules
from planner.throughput.ggml_attention import OPERATOR, PROMPT, STEP
from planner.throughput.ggml_fitted import STACK
from planner.validation.op_rows import Batch, Profiles, Rows, batches

Array = NDArray[np.float64]
LAYOUTS = {"f16": "fp16", "bf16": "bf16", "f32": "fp32"}
GROUP = ("heads", "kv_heads", "head_dim")
LEAST_ROWS = 3


def steps(rows: Rows, profiles: Profiles) -> list[tuple[str, FittedSet]]:
    """(device, set) of decode steps by cache type."""
    return _sets(rows, profiles, STEP, "kv_len")


def prompts(rows: Rows, profiles: Profiles) -> list[tuple[str, FittedSet]]:
    """(device, set) of prompts by cache type."""
    return _sets(rows, profiles, PROMPT, "isl")


def _sets(rows: Rows, profiles: Profiles, phase: str,
          length: str) -> list[tuple[str, FittedSet]]:
    mine, most = of_most_threads(rows)
    found = []
    for batch in batches(mine, ("kv_dtype",), ("batch", length, *GROUP, "latency_us"),
                         profiles=profiles)[0]:
        layout = LAYOUTS.get(batch.words[0].lower())
        if layout is not None and len(batch.index) >= LEAST_ROWS and batch.profile is not None \
                and on_cpu(batch.profile) and cpu_unit(batch.profile) is not None:
            found.append((batch.device, _set(batch, f"{phase}:{layout}", length, most)))
    return found


def _set(batch: Batch, variant: str, length: str, threads: int) -> FittedSet:
    work = _elements(batch.columns, variant, length)
    each = batch.seconds / work
    groups = np.stack([batch.columns[name] for name in GROUP])
    place = np.unique(groups, axis=1, return_inverse=True)[1].ravel()
    if len(set(place.tolist())) < 2:
        place = np.arange(len(place))
    judged = np.empty(len(each))
    for one in np.unique(place):
        judged[place == one] = _mean(each[place != one]) * work[place == one]
    error = assess(judged, batch.seconds, rows=len(each))
    return FittedSet(
        operator=OPERATOR, stack=STACK, software=batch.software.partition(" ")[2],
        variant=variant, parameters={"element_seconds": _mean(each)}, table={}, error=error,
        kind="fitted", source="", date="",
        note=f"{max(threads, 1)} threads; errors of each group of heads from the others")


def _elements(columns: Mapping[str, Array], variant: str, length: str) -> Array:
    """Elements of keys and values that the queries of a row multiply with."""
    tokens = columns[length]
    pairs: Array = tokens
    if variant.startswith(PROMPT):
        tile = float(rules()["cpu"]["attention"]["tile_rows"])
        tiled = (tokens >= tile) & (not variant.endswith("bf16"))
        pairs = np.asarray(causal_pairs(tokens, 0)) + np.where(tiled, tokens * tile / 2.0, 0.0)
    return np.asarray(columns["batch"] * pairs * columns["heads"] * 2.0 * columns["head_dim"])


def _mean(values: Array | Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
