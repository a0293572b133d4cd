"""Attention tables as groups of one kernel: variants, hold-out, exclusion rules, predictions.

What a fit must not see and a headline must not count is written here once, as rules on the rows:
``calibration`` fits on what is left, ``plan validate`` reports the rest apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows, batches, is_held_out
from planner.throughput.forms.attention_decode import DecodeShape, attention_decode_parts
from planner.throughput.forms.attention_prefill import PrefillShape, attention_prefill_parts
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.mla import LatentShape, mla_decode_parts, mla_prefill_parts
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FORMATS = {"bfloat16": "bf16", "bf16": "bf16", "float16": "fp16", "fp8": "fp8", "fp8_e4m3": "fp8"}
KV_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0}
MICROSECOND = 1e-6
MOST_HEADS: Mapping[str, float] = {"trtllm": 32.0}
"""Query heads a KV head beyond which a stack decodes with its kernel of ungrouped heads."""
OTHER_KERNELS: Mapping[str, Mapping[str, str]] = {
    "attention-prefill": {
        "vllm_triton_attn": "Triton runs heads of 192",
        "torch_flow_flashinfer": "FlashInfer runs what the engine's kernel does not",
    },
    "attention-decode": {"vllm_triton_attn": "Triton runs heads of 192"},
}
"""Kernels of a table that an engine runs beside its own for some shapes → why they are apart."""
OUTLIER = 2.0
MLA_WIDTHS = {"key": 192.0, "value": 128.0, "latent": 512.0, "rope": 64.0}
"""Widths of the MLA tables: DeepSeek-V3's."""

ONE_TOKEN = "a prompt of one token runs the decode kernel"
TOO_FAST = "faster than memory delivers"
SLOWER_THAN_MORE = "slower than a row with more work"


@dataclass(frozen=True)
class KernelRows:
    """Rows of one kernel on one device and stack. ``variant`` is ATTN/KV, with ``:mha`` or
    ``:window`` behind it for a kernel of ungrouped heads, or of windows, that has a set of its own.
    Arrays [n]: ``held_out`` rows are kept from the fit, ``reasons`` the rules that leave
    rows out ("" for none), ``seconds`` the measured times."""

    operator: str
    variant: str
    batch: Batch
    keys: tuple[str, ...]
    held_out: Mask
    reasons: tuple[str, ...]
    seconds: Array
    predict: Callable[[Parameters, Chip], Array]

    @property
    def included(self) -> Mask:
        """Rows that no rule leaves out [n]."""
        return np.array([not reason for reason in self.reasons], dtype=np.bool_)

    @property
    def formats(self) -> str:
        """ATTN/KV."""
        return self.variant.partition(":")[0]

    def take(self, mask: Mask, variant: str) -> KernelRows:
        """The rows where ``mask`` [n] holds, under another variant's name."""
        return _kernel(
            self.operator,
            variant,
            self.batch.take(mask),
            tuple(k for k, m in zip(self.keys, mask, strict=True) if m),
            tuple(w for w, m in zip(self.reasons, mask, strict=True) if m),
        )


def prefill_kernels(rows: Rows, profiles: Profiles = NO_PROFILES) -> KernelTable:
    """(kernels of a prefill table, malformed rows, groups of unknown formats)."""
    return _kernels(
        "attention-prefill",
        rows,
        ("attn_dtype", "kv_dtype"),
        ("batch", "isl", "heads", "kv_heads", "head_dim", "latency_us"),
        ("window",),
        profiles,
    )


def decode_kernels(rows: Rows, profiles: Profiles = NO_PROFILES) -> KernelTable:
    """(kernels of a decode table, malformed rows, groups of unknown formats)."""
    return _kernels(
        "attention-decode",
        rows,
        ("attn_dtype", "kv_dtype"),
        ("batch", "kv_len", "heads", "kv_heads", "head_dim", "latency_us"),
        ("window",),
        profiles,
    )


def mla_kernels(rows: Rows, profiles: Profiles = NO_PROFILES) -> KernelTable:
    """(kernels of an MLA table, both phases, malformed rows, groups of unknown words)."""
    return _kernels(
        "mla",
        rows,
        ("mla_dtype", "kv_dtype", "phase"),
        ("heads", "batch", "isl", "kv_len", "latency_us"),
        (),
        profiles,
    )


def attention_kernels(rows: Rows, profiles: Profiles = NO_PROFILES) -> KernelTable:
    """:func:`mla_kernels`, :func:`prefill_kernels` or :func:`decode_kernels` of a table, by the
    columns that it has."""
    listed = list(rows)
    columns = listed[0].keys() if listed else ()
    if "mla_dtype" in columns:
        return mla_kernels(listed, profiles)
    return (prefill_kernels if "isl" in columns else decode_kernels)(listed, profiles)


KernelTable = tuple[list[KernelRows], list[int], list[Batch]]
_PHASES = {"context": "mla-prefill", "generation": "mla-decode"}


def _kernels(
    operator: str,
    rows: Rows,
    words: Sequence[str],
    numbers: Sequence[str],
    zero: Sequence[str],
    profiles: Profiles,
) -> KernelTable:
    listed = list(rows)
    parsed, bad = batches(listed, words, (*numbers, *zero), zero=zero, profiles=profiles)
    kernels, unknown = [], []
    for batch in parsed:
        attn, kv = (FORMATS.get(w.lower()) for w in batch.words[:2])
        name = _PHASES.get(batch.words[2], "") if operator == "mla" else operator
        if attn is None or kv is None or not name:
            unknown.append(batch)
            continue
        kernels.append(
            _kernel(
                name,
                f"{attn}/{kv}",
                batch,
                _keys(name, batch),
                _reasons(name, batch, f"{attn}/{kv}", listed),
            )
        )
    return kernels, bad, unknown


def _kernel(
    operator: str, variant: str, batch: Batch, keys: tuple[str, ...], reasons: tuple[str, ...]
) -> KernelRows:
    predict = predictor(operator, variant, batch)
    seconds = batch.seconds
    return KernelRows(
        operator,
        variant,
        batch,
        keys,
        np.array([is_held_out(key) for key in keys], dtype=np.bool_),
        reasons,
        seconds,
        predict,
    )


def _keys(operator: str, batch: Batch) -> tuple[str, ...]:
    """The hold-out key of each row."""
    names = ("heads", "batch") if operator.startswith("mla") else ("heads", "kv_heads", "head_dim")
    columns = [batch.columns[name].astype(np.int64).tolist() for name in names]
    return tuple(",".join(map(str, row)) for row in zip(*columns, strict=True))


def _reasons(
    operator: str, batch: Batch, formats: str, rows: Sequence[Mapping[str, str]]
) -> tuple[str, ...]:
    """The rule that leaves each row out, or ""."""
    c = batch.columns
    if operator.startswith("mla"):
        slow = slower_than_more(c["heads"], c["batch"], c["kv_len"], c["latency_us"])
        return _words((slow, SLOWER_THAN_MORE))
    others = OTHER_KERNELS[operator]
    names = [rows[i].get("kernel", "") for i in batch.index.tolist()]
    rules = [
        (np.array([name == other for name in names], dtype=np.bool_), word)
        for other, word in others.items()
    ]
    rules.append(
        (_too_fast(batch, formats), TOO_FAST)
        if operator == "attention-decode"
        else (c["isl"] == 1, ONE_TOKEN)
    )
    return _words(*rules)


def _too_fast(batch: Batch, formats: str) -> Mask:
    """Rows whose cache, less what L2 may hold of it, would have come faster than memory delivers:
    their sequences share entries."""
    figures = chip(batch.profile) if batch.profile is not None else None
    if figures is None:
        return np.zeros(len(batch.index), dtype=np.bool_)
    c = batch.columns
    tokens = c["batch"] * np.where(
        c["window"] > 0, np.minimum(c["kv_len"], c["window"]), c["kv_len"]
    )
    cache = 2.0 * tokens * c["kv_heads"] * c["head_dim"] * KV_BYTES[formats.split("/")[1]]
    return np.asarray(cache - figures.l2_bytes > figures.bandwidth * batch.seconds)


def _words(*rules: tuple[Mask, str]) -> tuple[str, ...]:
    """The first rule that holds for each row."""
    names = np.full(len(rules[0][0]), "", dtype=object)
    for mask, word in reversed(rules):
        names[mask] = word
    return tuple(names.tolist())


def blackwell(batch: Batch) -> bool:
    """Whether the device is one of that generation."""
    return batch.profile is not None and batch.profile.architecture.startswith("Blackwell")


def slower_than_more(heads: Array, batch: Array, length: Array, seconds: Array) -> Mask:
    """Rows [n] that take more than twice as long as one of the same heads with at least their batch
    and length: the run was disturbed."""
    out = np.zeros(len(seconds), dtype=np.bool_)
    for count in np.unique(heads):
        rows = np.flatnonzero(heads == count)
        more = (batch[rows, None] <= batch[None, rows]) & (length[rows, None] <= length[None, rows])
        least = np.where(more, seconds[None, rows], np.inf).min(axis=1)
        out[rows] = seconds[rows] > OUTLIER * least
    return out


def predictor(operator: str, variant: str, batch: Batch) -> Callable[[Parameters, Chip], Array]:
    """Seconds [n] of the rows under given parameters, with L2 as warm as in the tables."""
    c = batch.columns
    kv_bytes = np.asarray(KV_BYTES[variant.partition(":")[0].split("/")[1]])
    if operator == "attention-prefill":
        prompt = PrefillShape(
            c["batch"], c["isl"], c["heads"], c["kv_heads"], c["head_dim"], kv_bytes, c["window"]
        )
        return lambda p, chip: attention_prefill_parts(p, chip, prompt).total()
    if operator == "attention-decode":
        windowed = c["window"] > 0
        seen = np.where(windowed, np.minimum(c["kv_len"], c["window"]), c["kv_len"])
        step = DecodeShape(
            c["batch"],
            seen,
            c["heads"],
            c["kv_heads"],
            c["head_dim"],
            kv_bytes,
            windowed,
            c["kv_len"],
        )
        return lambda p, chip: attention_decode_parts(p, chip, step, cold=False).total()
    latent = LatentShape(c["batch"], c["kv_len"], c["heads"], kv_bytes, **MLA_WIDTHS)
    if operator == "mla-prefill":
        return lambda p, chip: mla_prefill_parts(p, chip, latent).total()
    return lambda p, chip: mla_decode_parts(p, chip, latent, cold=False).total()


def branch(kernel: KernelRows, name: str) -> Mask:
    """Rows [n] that a kernel of their own may serve: ``window`` with a sliding window, ``mha`` with
    a KV head for every query head or, in decode, more query heads a KV head than the stack
    groups."""
    c, most = kernel.batch.columns, MOST_HEADS.get(kernel.batch.stack, np.inf)
    if name == "window":
        return np.asarray(c["window"] > 0)
    wide = c["heads"] > most * c["kv_heads"] if kernel.operator == "attention-decode" else False
    return np.asarray((c["heads"] == c["kv_heads"]) | wide)


def plain_work(kernel: KernelRows) -> tuple[Array, Array]:
    """(FLOP, bytes of the cache) of each row, without a kernel's tiles [n]."""
    c = kernel.batch.columns
    kv = KV_BYTES[kernel.formats.split("/")[1]]
    width = MLA_WIDTHS["latent"] + MLA_WIDTHS["rope"]
    if kernel.operator == "mla-decode":
        tokens = c["batch"] * c["kv_len"]
        return 2 * tokens * c["heads"] * (width + MLA_WIDTHS["latent"]), tokens * width * kv
    if kernel.operator == "mla-prefill":
        pairs = c["batch"] * c["kv_len"] * (c["kv_len"] + 1) / 2
        return (
            2 * pairs * c["heads"] * (MLA_WIDTHS["key"] + MLA_WIDTHS["value"]),
            c["batch"] * c["kv_len"] * width * kv,
        )
    length = c["kv_len" if kernel.operator == "attention-decode" else "isl"]
    seen = np.where(c["window"] > 0, np.minimum(length, c["window"]), length)
    queries = 1.0 if kernel.operator == "attention-decode" else length - seen / 2
    return (
        4 * c["batch"] * queries * seen * c["heads"] * c["head_dim"],
        2
        * c["batch"]
        * (seen if kernel.operator == "attention-decode" else length)
        * c["kv_heads"]
        * c["head_dim"]
        * kv,
    )
