"""Attention cores by calibrated kernels, Parts [C, K]: candidates × layouts, None where none fits.

A server finds its cache cold, so the whole of it is read from memory. Keys and values of a layer
run in one kernel: each of kv-k and kv-v carries its share of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.formats.kv import kv_layout
from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention
from planner.placement.cache_entries import head_entry_bytes
from planner.throughput.attended import COMPRESSED, decode_entries, prompt_pairs
from planner.throughput.attention_kernels import (
    UNMEASURED,
    AttentionModel,
    attention_model,
)
from planner.throughput.calibration import PRIOR, Certainty
from planner.throughput.forms import dsa
from planner.throughput.forms.attention_decode import DecodeShape, attention_decode_parts
from planner.throughput.forms.attention_prefill import PrefillShape, attention_prefill_parts
from planner.throughput.forms.attention_rest import rest_parts
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.mla import LatentShape, mla_decode_parts, mla_prefill_parts
from planner.throughput.points import Phase, column
from planner.throughput.roofline import Parts, from_every, zero_parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]
Form = Callable[[Parameters, Chip], Parts]
FEW_HEADS = 32
"""vLLM's sparse kernels below so many heads of a rank are others."""


@record
class Core:
    """One cache unit of an attention group on the ranks of C candidates.

    ``heads`` and ``kv_heads`` of a rank, [C]; ``stacks`` are asked in order for a kernel.
    """

    attention: Attention
    kind: str
    device: DeviceProfile
    stacks: tuple[str, ...]
    heads: Array
    kv_heads: Array

    def operators(self, decode: bool) -> tuple[str, ...]:
        """The operators whose tables measure this core, the nearest first; a sparse step without
        one of its own gathers what a dense one reads."""
        form, phase = self.attention.kind, "decode" if decode else "prefill"
        if form == "mla":
            if self.attention.indexer_topk:
                return (dsa.DECODE, "mla-decode") if decode else (dsa.PREFILL,)
            return (f"mla-{phase}",)
        if form in COMPRESSED:
            return (dsa.DECODE if decode else dsa.PREFILL,)
        if form == "gqa" and not self.attention.indexer_topk:
            return (f"attention-{phase}",)
        return ()

    def models(self, layouts: Sequence[str], decode: bool) -> list[AttentionModel | None]:
        """The kernel of each layout, None where only the achieved fractions are known."""
        return [self._model(kv_layout(name).id, decode) for name in layouts]

    def _model(self, layout: str, decode: bool) -> AttentionModel | None:
        sparse, window = bool(self.attention.indexer_topk), self.attention.window * self.windowed
        if self.attention.kind in COMPRESSED:
            return attention_model(
                self.device, self.operators(decode)[0], layout, self.stacks, compressed=True
            )
        for operator in self.operators(decode):
            model = attention_model(
                self.device,
                operator,
                layout,
                self.stacks,
                window=window,
                sparse=sparse and operator not in (dsa.DECODE, dsa.PREFILL),
            )
            if model is not None:
                return model
        return None

    @property
    def few(self) -> NDArray[np.bool_]:
        """Whether the rank has too few heads for the kernel of larger ones [C]."""
        return np.asarray(self.heads < FEW_HEADS, dtype=np.bool_)

    @property
    def windowed(self) -> bool:
        """A sliding window; fixed chunks run the full kernel on each."""
        return bool(self.attention.window) and not self.attention.chunked

    @property
    def share(self) -> float:
        """The unit's part of the kernel."""
        if self.kind == "kv-latent":
            return 1.0
        value = self.attention.value_dim or self.attention.head_dim
        mine = value if self.kind == "kv-v" else self.attention.head_dim
        return mine / (self.attention.head_dim + value)

    @property
    def width(self) -> float:
        """Elements of a cache entry of a head that the unit's bytes are divided by."""
        if self.kind == "kv-latent":
            return (
                float(self.attention.kv_lora_rank + self.attention.rope_dim)
                if self.attention.kind == "mla"
                else float(self.attention.head_dim)
            )
        return float(
            (self.attention.value_dim or self.attention.head_dim)
            if self.kind == "kv-v"
            else self.attention.head_dim
        )


def fitted(core: Core, layouts: Sequence[str], phase: Phase, plain: Callable[[], Parts]) -> Parts:
    """Layouts by their calibrated kernels, [C, K]; those without one from ``plain``."""
    decode = phase.name == "decode"
    models = core.models(layouts, decode)
    groups = _groups(models)
    if not groups:
        return plain()
    if len(groups[0][1]) == len(layouts):
        return _parts(core, groups[0][0], layouts, phase, decode)
    shape = (len(core.heads), len(layouts))
    start = zero_parts(shape) if all(models) else plain()
    columns = [np.array(np.broadcast_to(array, shape)) for array in start.every()]
    for model, index in groups:
        parts = _parts(core, model, [layouts[i] for i in index], phase, decode)
        for full_column, array in zip(columns, parts.every(), strict=True):
            full_column[:, index] = array
    return from_every(columns)


def certainties(core: Core, layouts: Sequence[str], *, decode: bool) -> tuple[Certainty, ...]:
    """How each layout's time is found; a branch's (windows, ungrouped heads) own error counts."""
    by_layout = []
    for model in core.models(layouts, decode):
        if model is None:
            by_layout.append(UNMEASURED if core.attention.kind in COMPRESSED else PRIOR)
            continue
        sigma = model.sigma(
            np.asarray(core.windowed),
            model.is_ungrouped(core.heads, core.kv_heads),
            len(core.heads),
        )
        by_layout.append(replace(model.certainty, sigma=float(np.max(sigma))))
    return tuple(by_layout)


def _groups(models: Sequence[AttentionModel | None]) -> list[tuple[AttentionModel, list[int]]]:
    """Layouts that one kernel reads, together: they differ in bytes alone. One with a kernel of its
    own (``lent``) stands apart."""
    groups: dict[tuple[str, bool, float], tuple[AttentionModel, list[int]]] = {}
    for i, model in enumerate(models):
        if model is not None:
            key = (model.certainty.origin, model.convert, model.lent)
            groups.setdefault(key, (model, []))[1].append(i)
    return list(groups.values())


def _parts(
    core: Core, model: AttentionModel, layouts: Sequence[str], phase: Phase, decode: bool
) -> Parts:
    """Seconds of the unit's share, [C, K]."""
    records = [kv_layout(name) for name in layouts]
    kv_bytes = (
        np.array([head_entry_bytes(core.attention, record, core.kind) for record in records])
        / core.width
    )
    form = (
        _sparse_form(core, phase, kv_bytes, model.operator)
        if model.operator in (dsa.DECODE, dsa.PREFILL)
        else (_decode_form if decode else _prefill_form)(core, phase, kv_bytes)
    )
    parts = model.parts(
        form,
        windowed=np.asarray(core.windowed),
        few=core.few[:, None],
        ungrouped=model.is_ungrouped(core.heads, core.kv_heads)[:, None],
    )
    if model.rest is not None:
        parts = parts.plus(_outside_core(core, model, phase, kv_bytes, decode))
    if not decode:
        parts = replace(parts, launch=parts.launch * column(phase.passes))
    elif model.convert:
        rates = [core.device.conversion.get(record.compute) for record in records]
        each = np.array([0.0 if rate is None else 1.0 / rate.value for rate in rates])
        entries = phase.sequences * decode_entries(core.attention, phase.kv_len) * core.kv_heads
        conversion = entries[:, None] * core.width / core.share * each
        parts = replace(parts, conversion=conversion, busy=np.maximum(parts.busy, conversion))
    return parts.scaled(np.full((len(core.heads), len(layouts)), core.share))


def _decode_form(core: Core, phase: Phase, kv_bytes: Array) -> Form:
    a, batch = core.attention, phase.sequences[:, None]
    length = np.asarray(column(decode_entries(a, phase.kv_len)))
    if a.kind == "mla":
        latent = _latent(core, batch, length, kv_bytes)
        return lambda p, chip: mla_decode_parts(p, chip, latent, cold=True)
    step = DecodeShape(
        batch,
        length,
        core.heads[:, None],
        core.kv_heads[:, None],
        _width(a),
        kv_bytes,
        np.asarray(core.windowed),
        np.asarray(column(phase.kv_len)),
    )
    return lambda p, chip: attention_decode_parts(p, chip, step, cold=True)


def _prefill_form(core: Core, phase: Phase, kv_bytes: Array) -> Form:
    a, batch = core.attention, phase.sequences[:, None]
    length = np.asarray(column(phase.kv_len))
    if a.kind == "mla":
        latent = _latent(core, batch, length, kv_bytes)
        return lambda p, chip: mla_prefill_parts(p, chip, latent)
    if a.chunked and a.window:
        batch = np.where(length > a.window, batch * (length / a.window), batch)
        length = np.minimum(length, float(a.window))
    prompt = PrefillShape(
        batch,
        length,
        core.heads[:, None],
        core.kv_heads[:, None],
        _width(a),
        kv_bytes,
        float(a.window) if core.windowed else 0.0,
    )
    return lambda p, chip: attention_prefill_parts(p, chip, prompt)


def _sparse_form(core: Core, phase: Phase, kv_bytes: Array, operator: str) -> Form:
    if core.attention.kind in COMPRESSED:
        return _compressed_form(core, phase, kv_bytes, operator)
    shape = sparse_shape(core, phase, kv_bytes)
    return lambda p, chip: dsa.dsa_core(p, chip, operator, shape)


def sparse_shape(core: Core, phase: Phase, kv_bytes: Array) -> dsa.SparseShape:
    """What a sparse core and its indexer compute [N, C]: the entries of the cache, those they
    select."""
    a = core.attention
    latent = _latent(core, phase.sequences[:, None], np.asarray(column(phase.kv_len)), kv_bytes)
    return dsa.SparseShape(
        latent,
        float(a.indexer_topk),
        float(a.indexer_heads),
        float(a.indexer_dim),
        pooled=float(a.ratio),
    )


def _compressed_form(core: Core, phase: Phase, kv_bytes: Array, operator: str) -> Form:
    """A core that reads a window and compressed entries: in decode all that it reads, of a prompt
    the pairs that it has. The terms of the sparse kernel itself are kept, its floor is the class's:
    the measured one holds what DeepSeek-V3.2's modules run beside it, which compressed attention
    does otherwise (throughput.compressor). No entry is read faster than memory is."""
    a, length = core.attention, np.asarray(column(phase.kv_len))
    decode = phase.name == "decode"
    read = np.asarray(decode_entries(a, length)) if decode else length
    latent = _latent(core, phase.sequences[:, None], read, kv_bytes)
    shape = dsa.SparseShape(latent, np.inf, 0.0, 0.0, pairs=np.asarray(prompt_pairs(a, length)))
    reached = core.device.achieved["attention-decode" if decode else "attention-prefill"]
    own = {
        "floor_seconds": reached.floor_seconds.value,
        "token_seconds": 0.0,
        "rest_fraction": np.inf,
    }
    if decode:
        return lambda p, chip: dsa.dsa_core(
            {**p, **own, "gather_fraction": min(p["gather_fraction"], 1.0)}, chip, operator, shape
        )
    return lambda p, chip: dsa.dsa_core({**p, **own}, chip, operator, shape)


def _outside_core(
    core: Core, model: AttentionModel, phase: Phase, kv_bytes: Array, decode: bool
) -> Parts:
    """What runs beside a latent core; a prompt's tokens pass once, whatever its chunks."""
    batch, length = phase.sequences[:, None], np.asarray(column(phase.kv_len))
    assert model.rest is not None
    shape = _latent(core, batch, length, kv_bytes)
    return rest_parts(
        model.rest, model.chip, model.operator, shape, tokens=batch if decode else batch * length
    )


def _latent(core: Core, batch: Array, length: Array, kv_bytes: Array) -> LatentShape:
    """One call of a latent core; a vector that is key and value of all heads is a latent without
    a rotary part of its own."""
    a = core.attention
    joined = a.kind in COMPRESSED
    return LatentShape(
        batch,
        length,
        core.heads[:, None],
        kv_bytes,
        key=a.nope_dim + a.rope_dim,
        value=a.value_dim,
        latent=a.head_dim if joined else a.kv_lora_rank,
        rope=0 if joined else a.rope_dim,
    )


def _width(attention: Attention) -> Array:
    """Mean width of a head's key and value."""
    value = attention.value_dim or attention.head_dim
    return np.asarray((attention.head_dim + value) / 2)
