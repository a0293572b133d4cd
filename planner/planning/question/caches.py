"""Cache layouts that a question tries: asked for, the release's own, or all that a device reads."""

from __future__ import annotations

from planner.base.errors import InputError, UnsupportedError
from planner.formats.kv import KV_LAYOUTS, is_common_cache, kv_layout
from planner.formats.spec import KvLayout
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Note, Text, message
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import CacheUnit, cache_units, stores
from planner.planning.engines.defaults import PLAIN_CACHES, own_cache
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.ggml_attention import ggml_attention

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
    return tuple(
        Note("kv", kv_layout(part).id, message("assumptions.commonest_variant_of", name=part))
        for part in dict.fromkeys(name.split("/"))
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
