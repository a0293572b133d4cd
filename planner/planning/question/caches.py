"""Cache layouts that a question tries: asked for, the release's own, or all that a device reads."""

from __future__ import annotations

import re

from planner.base.errors import InputError, UnsupportedError
from planner.base.units import format_layers
from planner.formats.kv import KV_LAYOUTS, is_common_cache, kv_layout
from planner.formats.spec import KvLayout
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Note, Text, message
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import CacheUnit, cache_units, stores
from planner.planning.engines.cache_rules import windowed_layers
from planner.planning.engines.defaults import PLAIN_CACHES, own_cache
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.ggml_attention import ggml_attention

BY_LAYER = "by-layer"
"""In place of a layout: the cache of each layer is chosen by itself."""
PART = "="
"""In a name: the layers before it take the layout behind it: ``fp8,windows=bf16``."""
WINDOWS, FULL = "windows", "full"
"""Layers that keep a window, and those that keep all of the past."""
_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
DOMINATED_KV = ("fp16", "fp32")
"""As large as BF16 or larger, and no quicker: tried where an engine has kernels of its own for
them, or keeps one unless it is told otherwise (which is then tried in place of BF16)."""
PLAIN_KV = "bf16"


def cache_layouts(
    spec: ModelSpec,
    device: DeviceProfile,
    given_values: GivenValues,
    *,
    by_search: bool,
    given: Plan | None,
    engine: str = ANY_ENGINE,
) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """The layouts to try, and notes of what was filled in: those of the plan ``given``; the one
    that is asked for; where a plan is ``by_search``, all legal ones; else the release's own (see
    :func:`released_kv`), or that which ``engine`` keeps where nobody says.

    Raises:
        UnsupportedError: device or model cannot hold the layout that is asked for.
        InputError: a choice by layer where one assignment is priced.
    """
    units = cache_units(spec)
    if given is not None:
        used = {u.kv_layout for u in given.units if u.kv_layout}
        layouts = [layout for k, layout in KV_LAYOUTS.items() if k in used]
        for layout in layouts:
            _demand_kv(device, units, layout, kv_refusal(device, layout))
        return tuple(layout.id for layout in layouts), ()
    name, notes = (
        (given_values.kv or "auto", ())
        if given_values.kv or by_search
        else released_kv(spec, device, engine)
    )
    if name == BY_LAYER:
        if not by_search:
            raise InputError(
                "kv by-layer chooses a layout for each layer, and this prices one assignment",
                hint="name layouts by layer: --kv fp8,0-1=bf16; `plan` takes by-layer",
            )
        name = "auto"
    by_layer = named_by_layer(spec, name)
    if by_layer:
        return _named_layouts(spec, device, by_layer), (*notes, *common_cache_notes(name))
    apart = named_apart(name)
    if apart:
        for kind, layout in zip(("kv-k", "kv-v"), map(kv_layout, apart), strict=True):
            mine = (kind, "kv-latent") if kind == "kv-k" else (kind,)
            missing = [u.kind for u in units if u.kind in mine and not stores(u, layout.id)]
            _demand_kv(
                device,
                units,
                layout,
                f"it does not store {missing[0]}" if missing else kv_refusal(device, layout),
            )
        return tuple(dict.fromkeys(apart)), (*notes, *common_cache_notes(name))
    if name != "auto":
        layout = kv_layout(name)
        missing = [u.kind for u in units if not stores(u, layout.id)]
        kinds = ", ".join(dict.fromkeys(u.kind for u in units))
        _demand_kv(
            device,
            units,
            layout,
            message("engines.it_does_not_store_has", k=missing[0], m=spec.id, kinds=kinds)
            if missing
            else kv_refusal(device, layout),
        )
        return (layout.id,), (*notes, *common_cache_notes(name))
    own = ggml_attention(device, engine)
    quicker = own.tiled - {"fp32"} if own is not None else frozenset()
    legal = _legal_kv(device, units)
    plain = _plain_type(spec, device, engine)
    left_out = {PLAIN_KV, *DOMINATED_KV} - {plain, *quicker}
    return tuple(k for k in legal if k not in left_out), ()


def common_cache_notes(name: str) -> tuple[Note, ...]:
    """Which layout each family's name in ``name`` was taken for; none for a layout's own."""
    parts = (part.rpartition(PART)[2] for word in name.split(",") for part in word.split("/"))
    return tuple(
        Note("kv", kv_layout(part).id, message("assumptions.commonest_variant_of", name=part))
        for part in dict.fromkeys(part.strip() for part in parts)
        if is_common_cache(part)
    )


def named_apart(name: str) -> tuple[str, ...]:
    """(layout of keys, layout of values) of ``q8_0/q4_0``; nothing where one is named for both.

    Raises:
        UnknownNameError: there is no such layout.
        InputError: more than two are named.
    """
    parts = name.split("/")
    if len(parts) == 1:
        return ()
    if len(parts) > 2:
        raise InputError(
            f"kv {name!r} names {len(parts)} layouts",
            hint="that of keys and that of values: q8_0/q4_0",
        )
    return tuple(kv_layout(part).id for part in parts)


def named_by_layer(spec: ModelSpec, name: str) -> tuple[str, ...]:
    """The layout of each layer's cache that ``fp8,windows=bf16`` names, empty for a layer without a
    cache; nothing where one layout is named for all layers.

    Raises:
        UnknownNameError: there is no such layout.
        InputError: no layout for all other layers, layers that keep no cache, or named twice.
    """
    if PART not in name:
        return ()
    first, *parts = (part.strip() for part in name.split(","))
    if not first or PART in first:
        raise InputError(
            f"kv {name!r}: no layout for all other layers",
            hint="begin with it: fp8,windows=bf16 or fp8,0-1=bf16",
        )
    cached = cached_layers(spec)
    chosen: dict[int, str] = {}
    for part in parts:
        word, _, layout = part.rpartition(PART)
        for layer in _layers_of(spec, name, word.strip()):
            if layer in chosen:
                raise InputError(
                    f"kv {name!r}: layer {layer} is named twice", hint="name each layer once"
                )
            chosen[layer] = kv_layout(layout.strip()).id
    rest = kv_layout(first).id
    return tuple(chosen.get(n, rest) if n in cached else "" for n in range(spec.layers))


def cached_layers(spec: ModelSpec) -> frozenset[int]:
    """The layers with a cache that has a layout of its own."""
    return frozenset(layer for unit in cache_units(spec) for layer in unit.layers)


def _layers_of(spec: ModelSpec, name: str, word: str) -> tuple[int, ...]:
    """The layers that a part of ``name`` is about: ``windows``, ``full``, ``3`` or ``0-3``."""
    cached, windowed = cached_layers(spec), windowed_layers(spec)
    found = _RANGE.fullmatch(word)
    if word in (WINDOWS, FULL):
        layers = windowed if word == WINDOWS else cached - windowed
    elif found is not None:
        first, last = int(found[1]), int(found[2] or found[1])
        layers = cached & frozenset(range(first, min(last, spec.layers) + 1))
        if last >= spec.layers or first > last:
            layers = frozenset()
    else:
        raise InputError(
            f"kv {name!r}: {word!r} names no layers",
            hint=f"{WINDOWS}, {FULL}, or numbers from 0 to {spec.layers - 1}: 0-1=bf16",
        )
    if not layers:
        raise InputError(
            f"kv {name!r}: {spec.id} has no cache in {word}",
            hint=f"its layers with caches: {format_layers(tuple(sorted(cached))) or 'none'}",
        )
    return tuple(sorted(layers))


def _named_layouts(
    spec: ModelSpec, device: DeviceProfile, by_layer: tuple[str, ...]
) -> tuple[str, ...]:
    """The layouts named by layer, in order of the catalogue.

    Raises:
        UnsupportedError: device or model cannot hold one of them there.
    """
    units = cache_units(spec)
    for layout in (kv_layout(name) for name in dict.fromkeys(filter(None, by_layer))):
        missing = [
            u.kind
            for u in units
            if any(by_layer[n] == layout.id for n in u.layers) and not stores(u, layout.id)
        ]
        refusal: Text = f"it does not store {missing[0]}" if missing else kv_refusal(device, layout)
        _demand_kv(device, units, layout, refusal)
    return tuple(name for name in KV_LAYOUTS if name in by_layer)


def released_kv(
    spec: ModelSpec,
    device: DeviceProfile,
    engine: str = ANY_ENGINE,
) -> tuple[str, tuple[Note, ...]]:
    """The layout that the release is calibrated for; where it names none or ``device`` cannot read
    it, that of an ``engine`` with a default of its own, else BF16. A note says so where it is not
    simply BF16."""
    own = spec.kv_scheme
    if not own or own == PLAIN_KV:
        return _engine_kv(spec, device, engine)
    why = kv_refusal(device, kv_layout(own))
    if why or not all(stores(u, own) for u in cache_units(spec)):
        kv, _ = _engine_kv(spec, device, engine)
        note = Note(
            "cache format",
            kv,
            message(
                "assumptions.release_asks_for",
                layout=own,
                reason=why or message("assumptions.it_does_not_store_every"),
            ),
        )
        return kv, (note,)
    note = Note(
        "cache format",
        own,
        message("assumptions.releases_own_kv_cache_quant"),
    )
    return own, (note,)


def _engine_kv(spec: ModelSpec, device: DeviceProfile, engine: str) -> tuple[str, tuple[Note, ...]]:
    """The cache that ``engine`` keeps by a default of its own, BF16 where it has none."""
    default = own_cache(engine, device, spec, (spec.quantization,))
    if (
        default is None
        or default.kv == PLAIN_KV
        or kv_refusal(device, kv_layout(default.kv))
        or not all(stores(u, default.kv) for u in cache_units(spec))
    ):
        return PLAIN_KV, ()
    why = message("assumptions.cache_of_engine", engine=engine, note=default.note)
    return default.kv, (Note("cache format", default.kv, why),)


def _plain_type(spec: ModelSpec, device: DeviceProfile, engine: str) -> str:
    """The plain type that stands for all of its size where caches are free: that which ``engine``
    keeps by itself, llama.cpp's F16, else BF16."""
    kv, _ = _engine_kv(spec, device, engine)
    return kv if kv in PLAIN_CACHES else PLAIN_KV


def kv_refusal(device: DeviceProfile, layout: KvLayout) -> Text:
    """Why ``device`` cannot read a cache layout; empty if it can."""
    key = layout.compute
    if not key or (device.kind == "cpu" and key in device.conversion):
        return ""
    if key in ("fp8", "nvfp4"):
        return "" if device.rate(key) is not None else device.why_not(key)
    if key in device.conversion:
        return ""
    return message("devices.has_no_conversion_rate_for", device=device.id, key=key)


def _demand_kv(
    device: DeviceProfile, units: tuple[CacheUnit, ...], layout: KvLayout, refusal: Text
) -> None:
    if refusal:
        raise UnsupportedError(
            message("engines.kv_layout_on", x=f"{layout.id!r}", d=device.id, y=refusal),
            hint=message("refusals.legal_here", x=", ".join(_legal_kv(device, units))),
        )


def eight_bit_caches(question: Question) -> tuple[str, ...]:
    """Layouts of eight bits that no search tries unless nothing else fits: llama.cpp's."""
    units = cache_units(question.spec)
    mine = ("q8_0",) if question.engine == "llama.cpp" else ()
    return tuple(name for name in mine if all(stores(u, name) for u in units))


def _legal_kv(device: DeviceProfile, units: tuple[CacheUnit, ...]) -> list[str]:
    return [
        k
        for k, layout in KV_LAYOUTS.items()
        if not layout.named_only
        and not kv_refusal(device, layout)
        and any(stores(u, k) for u in units)
    ]
