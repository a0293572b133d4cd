"""Rows of a memory table: numbers, settings and names read, runs and their siblings found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.base.units import GIB
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme
from planner.formats.spec import TensorFormat
from planner.lab.validation.cells import BEYOND, LEAST_VALUE, MOST_VALUE, parse_int
from planner.lab.validation.names import (
    MOST_GIB,
    DeviceName,
    EngineName,
    FormatName,
    ModelName,
    device_name,
    engine_name,
    format_name,
    model_name,
    unit_bytes,
)
from planner.lab.validation.records import NotCoveredError
from planner.memory.engines.records import Case, Settings
from planner.memory.resident import as_released
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, layout_problem

COUNTS = ("kv_tokens_per_replica", "kv_blocks", "max_concurrency")
"""Quantities without bytes."""
_RUN = (
    "source",
    "engine",
    "engine_version",
    "model",
    "checkpoint_dtype",
    "kv_dtype",
    "device",
    "n_devices",
    "tp",
    "pp",
    "dp",
    "ep",
    "gpu_memory_utilization",
    "max_model_len",
    "max_num_batched_tokens",
    "block_size",
)
_SIBLING = (
    "source",
    "engine",
    "engine_version",
    "model",
    "device",
    "n_devices",
    "tp",
    "pp",
    "dp",
    "ep",
    "max_num_batched_tokens",
)
_QUANTITIES = {"available_kv_gib": "kv_gib_per_gpu", "kv_cache_tokens": "kv_tokens_per_replica"}
"""Quantities as vLLM's log words them."""
_IN_NOTES = re.compile(r"\b(max_num_seqs|max_num_batched_tokens)\b\W{1,4}(\d+)")
_ARGUMENTS = "args {"
"""Notes with it hold every argument that was given: the others have the engine's defaults."""
_NOT_STATED = re.compile(r"max_num_seqs\b.*\braised, not stated")
_BY_HAND = re.compile(r"max_total_tokens ?= ?(\d+)")
_MLA = re.compile(r"\bmla (\d)\b")
_SEQUENCES = re.compile(r"(\d+) ?x ?(\d+) ?seqs?")


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One measured figure with its settings; ``value`` in bytes or as a count.

    ``half_digit`` is half of the last printed digit in the same unit. ``fraction`` is None where
    none is stated. ``run`` and ``sibling`` are
    keys of rows of the same start, and of starts that share the engine's activations.
    """

    index: int
    text: Mapping[str, str]
    engine: EngineName | None
    device: DeviceName
    model: ModelName | None
    format: FormatName | None
    quantity: str
    value: float
    half_digit: float
    tp: int
    pp: int
    dp: int
    ep: int
    fraction: float | None
    context: int | None
    sequences: int | None
    batched_tokens: int | None
    block_tokens: int | None
    by_hand: int | None
    set_by_hand: bool
    mla: int | None
    run: tuple[str, ...]
    sibling: tuple[str, ...]

    @property
    def high(self) -> bool:
        """The settings that the quantity needs are stated."""
        return self.text.get("confidence", "").lower() == "high"

    @property
    def plain(self) -> str:
        """fp32 where the run computes in it, else empty."""
        return "fp32" if "fp32" in self.text["checkpoint_dtype"].lower() else ""


def read_row(index: int, text: Mapping[str, str]) -> MemoryRow | None:
    """The row, or None where a number in it cannot be read."""
    try:
        return _row(index, text)
    except (ValueError, OverflowError):  # thousands of digits, or beyond a double
        return None


def _row(index: int, text: Mapping[str, str]) -> MemoryRow | None:
    engine = engine_name(text["engine"], text["engine_version"])
    unit = unit_bytes(text["unit"], engine.engine.name if engine else "")
    value = _number(text["value"])
    sizes = [_count(text.get(name, "") or "1") for name in ("tp", "pp", "dp", "ep")]
    quantity = text["quantity"].strip().lower()
    quantity = _QUANTITIES.get(quantity, quantity)
    if (
        unit is None
        or value is None
        or value <= 0
        or None in sizes
        or (quantity in COUNTS and unit != 1)
        or ("gib" in quantity and unit == 1)
    ):
        return None
    tp, pp, dp, ep = (size or 1 for size in sizes)
    notes = text.get("notes", "")
    noted = {name: parse_int(digits) for name, digits in _IN_NOTES.findall(notes)}
    context, sequences = _context(text["max_model_len"])
    device = device_name(text["device"])
    if device.total_bytes >= MOST_GIB * GIB or (engine and BEYOND in engine.engine.version.release):
        return None
    hand, mla = _BY_HAND.search(notes), _MLA.search(notes)
    return MemoryRow(
        index=index,
        text=text,
        engine=engine,
        device=device,
        model=model_name(text["model"]),
        format=format_name(text["checkpoint_dtype"], notes),
        quantity=quantity,
        value=value * unit,
        half_digit=_half_digit(text["value"], text["unit"]) * unit,
        tp=tp,
        pp=pp,
        dp=dp,
        ep=ep,
        fraction=_fraction(text["gpu_memory_utilization"]) or _default_fraction(engine, notes),
        context=context,
        sequences=sequences or noted.get("max_num_seqs"),
        batched_tokens=_count(text.get("max_num_batched_tokens", ""))
        or noted.get("max_num_batched_tokens"),
        block_tokens=_count(text["block_size"]),
        by_hand=_count(hand[1]) if hand else None,
        set_by_hand="by hand" in notes or _NOT_STATED.search(notes) is not None,
        mla=int(mla[1]) if mla else None,
        run=tuple(text.get(name, "") for name in _RUN),
        sibling=tuple(text.get(name, "") for name in _SIBLING),
    )


def _default_fraction(engine: EngineName | None, notes: str) -> float | None:
    """The engine's own, where the notes hold every argument and none says otherwise."""
    if engine is None or engine.engine.name != "vllm" or _ARGUMENTS not in notes:
        return None
    return engine.engine.number("utilisation")


def cache_types(text: str) -> tuple[str, str]:
    """llama.cpp's types of keys and values in a table's word, e.g. ``K q8_0 / V f16``."""
    both = re.search(r"K (\w+) ?/ ?V (\w+)", text)
    if both:
        return both[1], both[2]
    word = text.strip().lower() or "f16"
    return ("f16", "f16") if word.startswith("auto") else (word, word)


def cache_word(text: str) -> str | None:
    """A table's cache type as a layout or ``auto``; None where it is not known."""
    lower = text.strip().lower()
    inner = re.match(r"auto ?\((\w+)\)", lower)
    if inner:
        return inner[1] if inner[1] in KV_LAYOUTS else None
    if lower in ("", "auto"):
        return "auto"
    if "ds_mla" in lower:
        return "fp8-ds-mla"
    if lower.startswith("fp8"):
        return "fp8"
    return lower if lower in KV_LAYOUTS else None


def first_value(rows: Sequence[MemoryRow], quantity: str) -> MemoryRow | None:
    """The first of ``rows`` with that quantity."""
    return next((row for row in rows if row.quantity == quantity), None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == 0 or LEAST_VALUE <= abs(value) <= MOST_VALUE else None


def _count(text: str) -> int | None:
    """A whole number ≥ 1 at the start of ``text``, or None. Raises ValueError beyond 2^53."""
    digits = re.match(r"\d+", text.strip())
    count = int(digits[0]) if digits else 0
    if count > 1 << 53:
        raise ValueError("larger than any count of tokens, ranks or sequences")
    return count or None


def _fraction(text: str) -> float | None:
    digits = re.match(r"\d*\.?\d+", text.strip())
    if digits is None:
        return None
    value = float(digits[0])
    return value if 0 < value <= 1 else None


def _context(text: str) -> tuple[int | None, int | None]:
    """(context, sequences): ``131072 x 2 seqs`` is a cache of 262,144 cells for two."""
    several = _SEQUENCES.match(text.strip())
    if several:
        each, sequences = (_count(number) or 1 for number in several.groups())
        return _count(str(each * sequences)), sequences
    return _count(text), None


def _half_digit(value: str, unit: str) -> float:
    """Half of the last digit of a printed number; counts are exact. ``6392.0`` was 6392.00."""
    if unit.strip() in ("tokens", "blocks"):
        return 0.5
    digits = len(value.partition(".")[2].rstrip("0"))
    return 0.5 * 10.0 ** -max(digits, 2)


FormatOf = Callable[[str, int], TensorFormat | None]
SERVED = ("main", "lookup")
WITH_ENCODERS = (*SERVED, "vision", "audio")
"""What a server loads unless it is told to leave out encoders of images, which no log states."""
_PLAIN_FAMILIES = ("bf16", "fp16", "fp32")


def case_of(row: MemoryRow, *, weights: bool) -> Case:
    """The model, layout, device and formats of ``row``; ``weights``: their size is needed.

    Raises:
        NotCoveredError: a name without a match, or a layout that cannot hold the model.
    """
    if row.model is None:
        raise NotCoveredError("unknown model")
    spec = row.model.spec
    layout = Layout(row.tp // row.dp if _dp_inside_tp(row) else row.tp, row.dp, row.pp, row.ep)
    if layout_problem(spec, layout):
        raise NotCoveredError("not legal")
    formats: FormatOf = as_released
    if weights:
        if row.model.missing:
            raise NotCoveredError("parts missing")
        formats = format_rule(row, spec)
    large = row.device.large or not row.device.total_bytes
    return Case(
        spec=spec,
        layout=layout,
        total_bytes=row.device.total_bytes or 1,
        format_of=formats,
        plain=row.plain,
        large=large,
        capability=row.device.capability,
        max_positions=row.model.positions,
        parts=WITH_ENCODERS if weights else SERVED,
    )


def _dp_inside_tp(row: MemoryRow) -> bool:
    """SGLang writes attention data parallel inside tp."""
    engine = row.engine.engine.name if row.engine else ""
    return engine == "sglang" and row.dp > 1 and row.tp % row.dp == 0


def format_rule(row: MemoryRow, spec: ModelSpec) -> FormatOf:
    """Formats by module kind of the row's checkpoint.

    Raises:
        NotCoveredError: an unknown format, or one whose tensors the name does not determine.
    """
    named = row.format
    if named is None:
        raise NotCoveredError("unknown format")
    if named.scheme == "gguf":
        raise NotCoveredError("gguf mixture")
    own = {_family(row.scheme) for row in spec.rows if row.scheme is not None} or {
        _family(spec.quantization)
    }
    if named.scheme == "released" or named.family in own:
        return as_released  # of several schemes (V4: FP8 and FP4) engines name the first
    if named.family in _PLAIN_FAMILIES and own <= set(_PLAIN_FAMILIES):
        return as_released
    fmt = scheme(named.scheme).weight
    if named.zero_point and fmt.scale is not None:
        fmt = replace(fmt, scale=replace(fmt.scale, zero_point=True))
    if named.rows and fmt.scale is not None:
        fmt = replace(fmt, scale=replace(fmt.scale, block_columns=0))
    if named.group and fmt.scale is not None and fmt.scale.block_rows == 1:
        fmt = replace(fmt, scale=replace(fmt.scale, block_columns=named.group))
    kept, plain = frozenset(named.keep), scheme("bf16").weight
    return lambda kind, layer: plain if kind in kept else fmt


def _family(scheme_id: str) -> str:
    """The word of tables for a scheme: fp8, int4, nvfp4 …"""
    return "fp8" if scheme_id.startswith("fp8") else scheme_id.split("-")[0]


def settings_of(row: MemoryRow) -> Settings:
    """The engine's flags as far as the row states them.

    Raises:
        NotCoveredError: a cache type that is not in the catalogue.
    """
    if row.engine is not None and row.engine.engine.name == "llama.cpp":
        type_k, type_v = cache_types(row.text["kv_dtype"])
        mla = row.mla if row.engine.fork else None
        return Settings(
            context=row.context,
            batched_tokens=row.batched_tokens,
            max_seqs=row.sequences,
            type_k=type_k,
            type_v=type_v,
            mla=mla,
            swa_full=row.engine.fork,
        )
    word = cache_word(row.text["kv_dtype"])
    if word is None:
        raise NotCoveredError("unknown format")
    return Settings(
        utilisation=row.fraction,
        context=row.context,
        batched_tokens=row.batched_tokens,
        max_seqs=row.sequences,
        block_tokens=row.block_tokens,
        kv=word,
        total_tokens=row.by_hand,
    )
