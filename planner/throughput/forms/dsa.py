"""Sparse latent attention with an indexer (DeepSeek-V3.2, GLM-5): calibrated decode and prefill.

Decode of b sequences of S cached entries, K = min(S, topk) of which are attended:

    indexer = start + b·S·132/(score·W) + choose·S·max(1, b/N)
    core    = floor + split·√K + token·b + (Tb⁴ + Tc⁴)^¼ + unit·b·h/64/N + R/(memory·W)
    Tb = b·K·(l + r)·kv/(gather·W);   Tc = 2·b·max(h, tile)·K·(2·l + r)/(compute·P)

Prefill of b prompts of S tokens behind ``past`` ones, m = b·S tokens, p (query, entry) pairs in all
and k attended by at most topk a query:

    indexer = start + query·m + 2·hi·di·p/(score·P8) + 8·p/(logit·W) + ragged·(m·b·(past + S) − p)
    core    = floor + sequence·b + token·m + entry·b·past + 2·max(h, tile)·k·(2·l + r)/(compute·P)
              + unit·m·max(h, tile)/64 + R/(memory·W)
    whole   = ((products + core + indexer)⁸ + (host + index host + narrow host)⁸)^⅛

hi heads of di elements score in FP8; scores are FP32, written and read; SGLang's matrix of them
spans all sequences of a batch (``ragged``), and it collects the entries of the past (``entry``).
``tile``: heads that the kernel pads to. R: bytes of forms.attention_rest. With ``whole`` 1 a query
gathers topk entries however few there are.

Parameters carry their unit behind the name used here.
Source: fits of this project to the attention-module tables of aiconfigurator-core 0.12.0, groups of
(heads, batch) held out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.throughput.forms.attention_rest import rest_bytes
from planner.throughput.forms.base import Parameter, Parameters, checked_parameters, power_sum
from planner.throughput.forms.mla import LatentShape
from planner.throughput.roofline import Parts, parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]

DECODE, PREFILL = "dsa-decode", "dsa-prefill"
RECORD_BYTES = 132.0
"""An indexer key in FP8 with its scale."""
LOGIT_BYTES = 8.0
UNIT_HEADS = 64.0
OVERLAP = 4.0

DECODE_PARAMETERS = (
    Parameter("floor_seconds", 15e-6, 1e-6, 3e-4, "s", device=True),
    Parameter("split_seconds", 3e-8, 1e-9, 1e-6, "s/sqrt(token)"),
    Parameter("token_seconds", 5e-8, 1e-10, 1e-6, "s"),
    Parameter("rest_fraction", 0.5, 0.02, 5.0),
    Parameter("gather_fraction", 0.6, 0.02, 1.2, device=True),
    Parameter("compute_fraction", 0.5, 0.02, 1.0),
    Parameter("unit_seconds", 2e-6, 1e-8, 1e-4, "s"),
    Parameter("index_seconds", 1e-5, 1e-7, 1e-4, "s", device=True),
    Parameter("score_fraction", 0.6, 0.02, 1.2, device=True),
    Parameter("choose_seconds", 1e-10, 1e-12, 1e-8, "s"),
)
PREFILL_PARAMETERS = (
    Parameter("floor_seconds", 3e-5, 1e-6, 5e-4, "s", prior=1.0, device=True),
    Parameter("sequence_seconds", 1e-7, 1e-9, 1e-4, "s"),
    Parameter("token_seconds", 2e-8, 1e-10, 1e-6, "s"),
    Parameter("entry_seconds", 1e-12, 1e-14, 1e-8, "s"),
    Parameter("rest_fraction", 0.5, 0.02, 5.0),
    Parameter("compute_fraction", 0.5, 0.02, 1.0, device=True),
    Parameter("unit_seconds", 1e-8, 1e-11, 1e-6, "s"),
    Parameter("index_seconds", 1e-5, 1e-7, 1e-4, "s"),
    Parameter("query_seconds", 2e-8, 1e-10, 1e-6, "s"),
    Parameter("score_fraction", 0.4, 0.02, 1.0, device=True),
    Parameter("logit_fraction", 0.6, 0.02, 2.0, device=True),
    Parameter("ragged_seconds", 1e-15, 1e-17, 1e-11, "s"),
    Parameter("host_seconds", 3e-4, 1e-7, 5e-3, "s", prior=3.0),
    Parameter("index_host_seconds", 3e-4, 1e-7, 5e-3, "s", prior=3.0),
    Parameter("narrow_host_seconds", 1e-4, 1e-7, 5e-3, "s", prior=3.0),
)
STRUCTURE = (Parameter("tile_heads", 64.0, 1.0, 128.0), Parameter("whole", 0.0, 0.0, 1.0))
"""What a stack's kernel is, not fitted in between: heads it pads to, and (prompts) whether a query
gathers all it may."""


@record
class SparseShape:
    """One call, arrays that broadcast. ``latent`` are batch, length (of the cache in decode, of the
    prompt else), heads, widths and bytes; ``topk`` entries attended at most; the indexer has
    ``index_heads`` of ``index_width`` elements. ``pairs``: (query, entry) pairs of one prompt where
    they are not those of ``topk``; ``pooled``: tokens that one key of the indexer stands for."""

    latent: LatentShape
    topk: float
    index_heads: float
    index_width: float
    pairs: Array | None = None
    pooled: float = 1.0


def dsa_core(parameters: Parameters, chip: Chip, operator: str, shape: SparseShape) -> Parts:
    """Seconds of the sparse core and what surrounds it, by mechanism.

    Raises:
        DataError: ``parameters`` are not those of this form.
        UnsupportedError: the device multiplies no BF16.
    """
    p, s = _checked(parameters, operator), shape.latent
    heads = np.maximum(s.heads, p["tile_heads"])
    peak = p["compute_fraction"] * chip.peak("bf16")
    per = 2.0 * heads * (2.0 * s.latent + s.rope) / peak
    if operator == DECODE:
        chosen = np.minimum(s.length, shape.topk)
        moved = s.batch * chosen * (s.latent + s.rope) * s.kv_bytes
        memory = moved / (p["gather_fraction"] * chip.bandwidth)
        compute = s.batch * chosen * per
        unit = p["unit_seconds"] * s.batch * s.heads / UNIT_HEADS / chip.multiprocessors
        tokens, busy = s.batch, power_sum(memory, compute, OVERLAP) + unit
        launch = p["floor_seconds"] + p["split_seconds"] * np.sqrt(chosen)
    else:
        tokens = s.batch * s.length
        pairs = tokens * shape.topk if p["whole"] else s.batch * pairs_of(s, shape.topk)
        if shape.pairs is not None:
            pairs = s.batch * shape.pairs
        unit = p["unit_seconds"] * tokens * heads / UNIT_HEADS
        compute = pairs * per + unit
        launch = np.asarray(p["floor_seconds"])
        memory = s.batch * (p["sequence_seconds"] + p["entry_seconds"] * s.past)
        busy = compute + memory
    rest = (
        rest_bytes(s, tokens) / (p["rest_fraction"] * chip.bandwidth) + p["token_seconds"] * tokens
    )
    return parts(compute=compute, memory=memory + rest, busy=busy + rest, launch=launch)


def dsa_indexer(parameters: Parameters, chip: Chip, operator: str, shape: SparseShape) -> Parts:
    """Seconds of the indexer's scores and its choice, without its products, by mechanism.

    Raises:
        DataError: ``parameters`` are not those of this form.
        UnsupportedError: the device multiplies no FP8.
    """
    p, s = _checked(parameters, operator), shape.latent
    if operator == DECODE:
        keys = s.length / shape.pooled
        memory = s.batch * keys * RECORD_BYTES / (p["score_fraction"] * chip.bandwidth)
        choose = p["choose_seconds"] * keys * np.maximum(1.0, s.batch / chip.multiprocessors)
        return parts(
            compute=choose,
            memory=memory,
            launch=np.asarray(p["index_seconds"]),
            busy=memory + choose,
        )
    pairs = s.batch * pairs_of(s, np.inf) / shape.pooled
    compute = (
        2.0
        * shape.index_heads
        * shape.index_width
        * pairs
        / (p["score_fraction"] * chip.peak("fp8"))
    )
    memory = LOGIT_BYTES * pairs / (p["logit_fraction"] * chip.bandwidth)
    tokens = s.batch * s.length
    apart = p["query_seconds"] * tokens + p["ragged_seconds"] * (
        tokens * s.batch * (s.past + s.length) / shape.pooled - pairs
    )
    return parts(
        compute=compute,
        memory=memory + apart,
        launch=np.asarray(p["index_seconds"]),
        busy=compute + memory + apart,
    )


def host_seconds(parameters: Parameters, *, indexer: bool, narrow: float) -> float:
    """What launching the kernels of a prompt takes where no graph is replayed. ``narrow``: how
    many kernels a product's format adds, 1 for block-scaled FP8, 2 for NVFP4."""
    p = _checked(parameters, PREFILL)
    return (
        p["host_seconds"]
        + narrow * p["narrow_host_seconds"]
        + (p["index_host_seconds"] if indexer else 0.0)
    )


def pairs_of(s: LatentShape, limit: float) -> Array:
    """(query, entry) pairs of one prompt behind ``past`` tokens, at most ``limit`` a query."""
    every = s.length * s.past + s.length * (s.length + 1.0) / 2.0
    if not np.isfinite(limit):
        return np.asarray(every)
    below = np.clip(limit - s.past, 0.0, s.length)
    some = below * s.past + below * (below + 1.0) / 2.0 + (s.length - below) * limit
    return np.asarray(np.where(s.past + s.length <= limit, every, some))


def parameters_of(operator: str) -> tuple[Parameter, ...]:
    """What is fitted of ``operator``."""
    return DECODE_PARAMETERS if operator == DECODE else PREFILL_PARAMETERS


def _checked(parameters: Parameters, operator: str) -> Parameters:
    return checked_parameters(parameters, (*parameters_of(operator), *STRUCTURE), operator)
