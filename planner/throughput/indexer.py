"""The indexer of sparse attention: it scores the past and chooses what a query attends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention
from planner.placement.cache_entries import indexer_record_bytes, reads_fp8_cache
from planner.throughput.attended import causal_pairs
from planner.throughput.attention_fitted import Core, sparse_shape
from planner.throughput.attention_kernels import UNMEASURED, AttentionModel, attention_model
from planner.throughput.calibration import PRIOR, Certainty
from planner.throughput.forms import dsa
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, operator

INDEXER_KERNELS = 3
"""Launches after the score product: the choice of the best entries in two passes, the gather."""
SCORE_BYTES = 4.0


def indexer_parts(
    attention: Attention,
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
    stacks: Sequence[str] = (),
) -> Parts:
    """Scoring the past with a sparse-attention indexer, one layer, Parts [C, 1].

    By the measured kernels of the first of ``stacks`` that has them for latent attention, else by
    achieved fractions.
    """
    prefill = phase.name == "prefill"
    model = _model(attention, device, stacks, decode=not prefill)
    if model is None:
        return _plain(attention, device, pts, phase)
    core = Core(
        attention, "kv-latent", device, tuple(stacks), attention.heads / pts.tp, np.ones(len(pts))
    )
    shape = sparse_shape(core, phase, np.ones(1))
    parts = model.parts(
        lambda p, chip: dsa.dsa_indexer(p, chip, model.operator, shape), few=core.few[:, None]
    )
    return replace(parts, launch=parts.launch * column(phase.passes)) if prefill else parts


def indexer_certainty(
    attention: Attention, device: DeviceProfile, stacks: Sequence[str], *, decode: bool
) -> Certainty:
    """How the time of the indexer is found."""
    model = _model(attention, device, stacks, decode=decode)
    if model is None:
        return UNMEASURED if attention.kind == "csa" else PRIOR
    return model.certainty


def _model(
    attention: Attention, device: DeviceProfile, stacks: Sequence[str], *, decode: bool
) -> AttentionModel | None:
    """The engine's own fitted kernel, else a lent one; that over an FP8 cache before that over
    BF16, as indexer keys are FP8 beside both. Pooled keys are measured nowhere: the kernels stand
    for those of compressed entries, which are as wide, with a wider interval."""
    pooled = attention.kind == "csa"
    if (
        ((attention.kind != "mla" or attention.ratio > 1) and not pooled)
        or not attention.indexer_heads
        or device.rate("fp8") is None
    ):
        return None
    name = dsa.DECODE if decode else dsa.PREFILL
    attention_models = [
        attention_model(device, name, layout, stacks, compressed=pooled)
        for layout in ("fp8", "bf16")
    ]
    own = [
        model
        for model in attention_models
        if model is not None and model.certainty.basis == "fitted"
    ]
    return next((model for model in (*own, *attention_models) if model is not None), None)


def _plain(attention: Attention, device: DeviceProfile, pts: Points, phase: Phase) -> Parts:
    """By achieved fractions.

    Every query scores every earlier entry with ``indexer_heads`` heads (replicated over tp): a
    matrix product in FP8 (BF16 without a unit), at the fractions of block-scaled GEMMs; the heads'
    scores are summed in it. Choosing the best writes one FP32 score a pair and reads it twice, at
    the bandwidth of elementwise kernels.
    """
    fp8 = device.rate("fp8")
    rate = fp8 or device.rate("bf16")
    assert rate is not None
    product = device.achieved.get("fp8-block") if fp8 is not None else None
    product = product or device.achieved["bf16"]
    small = device.achieved["elementwise"]
    prefill = phase.name == "prefill"
    scored = phase.kv_len / attention.ratio
    pairs = (
        causal_pairs(phase.kv_len, 0) / attention.ratio * np.ones(len(pts))
        if prefill
        else phase.sequences * scored
    )
    size = indexer_record_bytes(attention, fp8=reads_fp8_cache(device))
    read = scored * phase.passes * np.ones(len(pts)) if prefill else pairs
    bandwidth = device.bandwidth_bytes_per_s.value
    score = operator(
        flop=(pairs * 2.0 * attention.indexer_heads * attention.indexer_dim)[:, None],
        moved_bytes=(read * size)[:, None],
        converted=np.zeros(1),
        launch=np.asarray(product.floor_seconds.value * column(phase.passes)),
        peak=np.asarray(rate.dense.value),
        compute_fraction=np.asarray(product.compute_fraction.value),
        bandwidth=bandwidth,
        bandwidth_fraction=np.asarray(product.bandwidth_fraction.value),
        conversion_rate=np.asarray(np.inf),
    )
    choose = operator(
        flop=np.zeros(1),
        moved_bytes=(3.0 * SCORE_BYTES * pairs)[:, None],
        converted=np.zeros(1),
        launch=np.asarray(INDEXER_KERNELS * small.floor_seconds.value * column(phase.passes)),
        peak=np.asarray(rate.dense.value),
        compute_fraction=np.ones(1),
        bandwidth=bandwidth,
        bandwidth_fraction=np.asarray(small.bandwidth_fraction.value),
        conversion_rate=np.asarray(np.inf),
    )
    return score.plus(choose)
