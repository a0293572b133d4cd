"""The view of ``plan devices NAME``: every figure with unit, kind, source, date, range, note."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_bytes, format_seconds
from planner.hardware.profile import DeviceProfile, FittedSet, Quantity
from planner.report.phrases import Phrases
from planner.report.view.record import Block, Fact, Items, Prose, Section, Table, View
from planner.report.view.verb_words import data_text, shared_word, verb_phrases, word

VERB = "devices"
_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6))
_LINKS = (
    "scale_up_bytes_per_s",
    "scale_up_floor_seconds",
    "scale_out_bytes_per_s",
    "scale_out_floor_seconds",
    "host_bytes_per_s",
)
HEADS = ("name", "value", "kind", "source", "date")
Figure = tuple[str, Quantity]


def device_view(device: DeviceProfile, lang: str) -> View:
    """Everything that the profile says."""
    t = verb_phrases(VERB, lang)
    sections = [
        Section(title, tuple(_figures(t, figures))) for title, figures in _sections(t, device)
    ]
    sections += [Section(title, (Items(tuple(texts)),)) for title, texts in _lists(t, device)]
    sources = tuple(
        Prose(t("fit.source", name=s.key, title=data_text(s.title, t.lang), date=s.date))
        for s in device.sources
    )
    sections.append(Section(t("section.sources"), sources))
    sections.append(Section(t("section.profile"), (Prose(f"sha256 {device.sha256}"),)))
    title = t("head.title", id=device.id, name=device.name)
    return View(title, tuple(_identity(t, device)), tuple(sections))


def _identity(t: Phrases, device: DeviceProfile) -> Iterator[Fact]:
    chip = (
        t("identity.capability", version=device.compute_capability)
        if device.compute_capability
        else ""
    )
    chip += f", {device.platform} {device.target}".rstrip() if device.target else ""
    yield Fact(
        t("fact.kind"),
        t(
            "identity.kind",
            kind=word(t, "kind", device.kind),
            architecture=device.architecture,
            chip=chip,
            status=shared_word(t, "status", device.status),
        ),
    )
    memory = "identity.unified" if device.unified_memory else "identity.memory"
    yield Fact(t("fact.memory"), t(memory, type=device.memory_type))
    yield Fact(
        t("fact.node"),
        t("identity.node", n=device.devices_per_node, domain=device.scale_up_devices),
    )
    if device.aliases:
        yield Fact(t("fact.aliases"), ", ".join(device.aliases))
    if device.classes:
        text = t("identity.inherits", classes=" → ".join(device.classes))
        yield Fact(t("fact.inherits"), text)


def _figures(t: Phrases, figures: list[Figure]) -> Iterator[Block]:
    """A table of the figures, then their ranges and notes."""
    rows = tuple(
        (
            name,
            show(quantity.value, quantity.unit),
            shared_word(t, "basis", quantity.kind),
            quantity.source,
            quantity.date,
        )
        for name, quantity in figures
    )
    heads = tuple(t(f"table.{head}") for head in HEADS)
    yield Table(heads, rows, (0, 2, 3, 4))
    remarks = tuple(
        t("remark.item", name=name, text=text)
        for name, quantity in figures
        if (text := _remark(t, quantity))
    )
    if remarks:
        yield Items(remarks)


def _remark(t: Phrases, quantity: Quantity) -> str:
    """The range and the note."""
    ends = [show(v, quantity.unit) for v in (quantity.low, quantity.high) if v is not None]
    texts = [t("remark.range", ends=t("remark.to").join(ends))] if ends else []
    texts += [data_text(quantity.note, t.lang)] if quantity.note else []
    return t("remark.join").join(texts)


def _sections(t: Phrases, device: DeviceProfile) -> Iterator[tuple[str, list[Figure]]]:
    memory = (
        ("label", device.label_bytes),
        ("driver", device.driver_bytes),
        ("capacity", device.capacity_bytes),
        ("usable", device.usable_fraction),
        ("bandwidth", device.bandwidth_bytes_per_s),
    )
    yield t("section.memory"), _given([(t(f"figure.{name}"), value) for name, value in memory])
    rates = [
        (f"{r.unit} {r.format}{suffix}", quantity)
        for r in device.rates.values()
        for suffix, quantity in (("", r.dense), (t("figure.sparse"), r.sparse))
    ]
    vector = ("vector fp32", device.vector_fp32_flop_per_s)
    yield t("section.rates"), _given([*rates, vector])
    for name, a in device.achieved.items():
        shares = (
            ("compute", a.compute_fraction),
            ("bandwidth", a.bandwidth_fraction),
            ("floor", a.floor_seconds),
        )
        yield (
            t("section.achieved", name=name),
            [(t(f"figure.{key}"), share) for key, share in shares],
        )
    if device.conversion:
        conversions = [
            (t("figure.from", name=name), quantity) for name, quantity in device.conversion.items()
        ]
        yield t("section.conversion"), conversions
    links = _given([(t(f"figure.{field}"), getattr(device.links, field)) for field in _LINKS])
    if links:
        yield t("section.links"), links
    if device.silicon is not None:
        chip = (
            ("multiprocessors", device.silicon.multiprocessors),
            ("cache", device.silicon.l2_bytes),
            ("exponentials", device.silicon.exp_per_s),
        )
        yield t("section.silicon"), _given([(t(f"figure.{name}"), value) for name, value in chip])
    costs = (("power", device.power_watts), ("price", device.price_usd_per_hour))
    other = _given([(t(f"figure.{name}"), value) for name, value in costs])
    if other:
        yield t("section.costs"), other


def _given(figures: list[tuple[str, Quantity | None]]) -> list[Figure]:
    return [(name, quantity) for name, quantity in figures if quantity is not None]


def _lists(t: Phrases, device: DeviceProfile) -> Iterator[tuple[str, list[str]]]:
    if device.unsupported:
        texts = [
            t("remark.item", name=name, text=data_text(why, t.lang))
            for name, why in device.unsupported.items()
        ]
        yield t("section.unsupported"), texts
    if device.fitted:
        yield t("section.fitted"), [_fit_line(t, fit) for fit in device.fitted.values()]
    if device.inherited:
        origins = [origin for origin, _, _ in device.inherited.values()]
        texts = [
            t("fit.inherited", n=origins.count(origin), origin=origin)
            for origin in dict.fromkeys(origins)
        ]
        yield t("section.inherited"), texts
    if device.cautions:
        yield t("section.cautions"), [data_text(text, t.lang) for text in device.cautions]


def _fit_line(t: Phrases, fit: FittedSet) -> str:
    error = fit.error
    kept = (
        t("fit.error", median=f"{error.median:.1%}", n=f"{error.held_out:,}")
        if error.held_out
        else ""
    )
    return t(
        "fit.line",
        name=" / ".join((fit.operator, fit.stack, fit.variant)),
        kept=kept,
        rows=f"{error.rows:,}",
        source=fit.source,
        software=fit.software,
    )


def show(value: float, unit: str) -> str:
    """A figure with its unit and an SI prefix; bytes in GiB and GB both mean what they say."""
    if unit == "s":
        return format_seconds(value)
    if unit == "1":
        return f"{value:.4g}"
    if unit == "B":
        gigabytes = value / 1e9
        return (
            f"{gigabytes:,.0f} GB"
            if gigabytes and gigabytes == int(gigabytes)
            else format_bytes(value)
        )
    if unit in ("W", "USD/h"):
        return f"{value:,.6g} {unit}"
    for prefix, size in _PREFIXES:
        if value >= size:
            return (
                f"{value / size:,.5g} {prefix}{unit}"
                if unit != "elements/s"
                else f"{value / size:,.5g} {prefix} elem/s"
            )
    return f"{value:,.5g} {unit}"
