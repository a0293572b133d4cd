"""Recurrent cores of linear attention: a fixed state a sequence is read and written, [C, 1].

A gated delta net keeps one (key width dk, value width dv) matrix a value head. A decode step reads
and writes it once and does about four products with a vector (decay, read by the key, outer-product
update, read by the query). A prompt runs in chunks of C tokens:

    FLOP a token and head = 2·(C·(3·dk + 2·dv) + 3·dk·dv)

(products of keys, inverse times keys and values, queries with keys, scores with values; state read
twice and written once). Source: Gated Delta Networks, arXiv:2412.06464, chunkwise form.

Measured kernels (forms.delta) price both where the device or a relative has them; else the achieved
fractions. Other recurrences are approximations, each with its name and a wider interval: Kimi delta
attention takes the delta net's kernels (the same products; its decay is a vector), Mamba-2 the
bytes of its states and the FLOP of the state-space dual form (arXiv:2405.21060, section 6):

    FLOP a token and head = 2·(C·(n/h_g + p) + 2·n·p)        [n states, p wide, h_g heads a group]

Mamba-1 and short convolutions are bound by their bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from planner.formats.elements import element
from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention
from planner.placement.cache_entries import state_bytes
from planner.throughput.calibration import PRIOR, Certainty
from planner.throughput.delta_kernels import delta_model
from planner.throughput.forms.delta import DeltaShape
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, operator

CHUNK = 64
"""Tokens of a chunk of a prompt (flash-linear-attention's kernels)."""
KERNELS = 2
"""Launches of a layer: the short convolution, the recurrence."""
BF16_BYTES = 2.0
APPROXIMATED = {
    "kda": "Kimi delta attention as a gated delta net",
    "mamba2": "Mamba-2 by the bytes of its states and SSD FLOP",
    "mamba1": "Mamba-1 by the bytes of its states",
    "conv": "a short convolution by its bytes",
}
"""Recurrences without kernels of their own: what stands for them."""
_WIDER = 0.47
"""Log-space deviation of an approximation: an 80 % interval of ×/÷ 1.83, beside the 1.6 of a kernel
class whose fractions are known. An assumption."""


def recurrent_parts(
    attention: Attention,
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
    stacks: Sequence[str] = (),
) -> Parts:
    """The recurrent core of one layer on one rank, Parts [C, 1]; ``attention`` is linear.

    The kernels of the first of ``stacks`` that were measured, else the achieved fractions.
    """
    decode = phase.name == "decode"
    model = delta_model(device, stacks, decode=decode) if _delta(attention) else None
    if model is None:
        return _plain(attention, device, pts, phase)
    parts = model.parts(_shape(attention, pts, phase))
    return parts if decode else parts.scaled(column(phase.passes))


def recurrent_certainty(
    attention: Attention, device: DeviceProfile, stacks: Sequence[str], *, decode: bool
) -> Certainty:
    """How the time of the recurrent core is found."""
    model = delta_model(device, stacks, decode=decode) if _delta(attention) else None
    if attention.rule in APPROXIMATED:
        wide = math.hypot(_WIDER, model.certainty.sigma) if model is not None else _WIDER
        return Certainty(PRIOR.basis, wide, APPROXIMATED[attention.rule])
    return PRIOR if model is None else model.certainty


def _delta(attention: Attention) -> bool:
    """Whether the kernels of a gated delta net stand for the recurrence."""
    return attention.rule in ("delta", "kda")


def _shape(attention: Attention, pts: Points, phase: Phase) -> DeltaShape:
    """One pass on one rank: heads are divided over tp, and copied beyond their number."""
    batch = phase.sequences[:, None]
    length = np.ones_like(batch) if phase.name == "decode" else phase.tokens[:, None] / batch
    heads, keys = (
        np.maximum(count / pts.tp, 1.0)[:, None] for count in (attention.heads, attention.kv_heads)
    )
    width = (
        attention.conv_elements
        / (2 * attention.kv_heads * attention.key_dim + attention.heads * attention.head_dim)
        + 1.0
    )
    state = element(attention.state_dtype).bits / 8 if attention.state_dtype else 4.0
    return DeltaShape(
        batch,
        length,
        keys,
        heads,
        float(attention.key_dim),
        float(attention.head_dim),
        width=width,
        state_bytes=state,
    )


def _plain(attention: Attention, device: DeviceProfile, pts: Points, phase: Phase) -> Parts:
    """By the achieved fractions of attention kernels."""
    decode = phase.name == "decode"
    reached = device.achieved["attention-decode"]
    heavy = device.achieved["attention-prefill"]
    rate = device.rate("bf16")
    assert rate is not None
    heads = attention.heads / pts.tp
    state = np.array([state_bytes(attention, int(tp)) for tp in pts.tp], dtype=np.float64)
    moved = 2.0 * state * phase.sequences * phase.passes
    tokens = phase.tokens * phase.passes
    per_token = (
        2 * attention.kv_heads * attention.key_dim + 2 * attention.heads * attention.head_dim
    ) / pts.tp
    moved = moved + tokens * per_token * BF16_BYTES
    flop = tokens * heads * _flop(attention, decode)
    if not decode and attention.rule not in ("mamba1", "conv"):
        matrix = attention.key_dim * attention.head_dim * BF16_BYTES
        moved = moved + 2.0 * tokens / CHUNK * heads * matrix
    return operator(
        flop=flop[:, None],
        moved_bytes=moved[:, None],
        converted=np.zeros(1),
        launch=np.asarray(KERNELS * reached.floor_seconds.value * column(phase.passes)),
        peak=np.asarray(rate.dense.value),
        compute_fraction=np.asarray(heavy.compute_fraction.value),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(reached.bandwidth_fraction.value),
        conversion_rate=np.asarray(np.inf),
    )


def _flop(attention: Attention, decode: bool) -> float:
    """FLOP of one token and value head."""
    dk, dv = attention.key_dim, attention.head_dim
    if attention.rule == "conv":
        return 2.0 * dv * (attention.conv_elements / (attention.heads * dv) + 1.0)
    if attention.rule == "mamba1":
        return 6.0 * dk * dv
    if attention.rule == "mamba2":
        shared = attention.heads / attention.kv_heads
        return 6.0 * dk * dv if decode else 2.0 * (CHUNK * (dk / shared + dv) + 2 * dk * dv)
    if decode:
        return 8.0 * dk * dv
    return 2.0 * (CHUNK * (3 * dk + 2 * dv) + 3 * dk * dv)
